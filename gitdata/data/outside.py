"""Whether settings that came with a push may make this clone write outside of its repository: not without a question.

Called by ``repository`` where the cache, DVC's temporary folder or DVC's own classes are used, by ``sending`` before
something is sent to a folder, and by ``init``. What a person says for this clone or machine counts without a question
(``.dvc/config.local``, DVC's global and system configuration). It must never take a committed file for an answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.data.dvcsettings import config_files, read_config
from gitdata.errors import InvalidInputError
from gitdata.formats.dvcconfig import Config
from gitdata.formats.remoteurl import parse_remote_url
from gitdata.text import quoted

ALLOWED = "gitdata.allowOutside"
# Where DVC itself writes, beside the cache. A remote may have one of the latter.
_FOLDERS = (("core", "site_cache_dir"), ("state", "dir"), ("index", "dir"))
_FILES = ("gdrive_user_credentials_file",)
# What may lie in the folder of a data remote: DVC's and gitdata's own, and what systems put into every folder.
_OF_A_STORE = re.compile(
    r"files|gitdata|runs|tmp|[0-9a-f]{2}|lost\+found|\.DS_Store|\.snapshots?|\.Trash.*|@eaDir|\.nfs.*|Thumbs\.db"
)


def check_cache(root: Path, git: Git, folder: Path) -> None:
    """Raises InvalidInputError where the cache that a commit names is outside, and nobody has said that it may."""
    committed = _committed(root)
    named = committed.get("cache", {}).get("dir", "")
    if named and Path(named) == folder:
        _check(root, git, folder, f"cache.dir in .dvc/config is {folder}")
    else:
        check_links(root, git, ".dvc/cache")


def check_links(root: Path, git: Git, place: str) -> None:
    """The same for ``.dvc`` and a folder in it: a commit can hold a link in their stead."""
    for name in (".dvc", place):
        if (root / name).is_symlink() and git.run("ls-files", "--", name):
            _check(root, git, root / name, f"{name} is a symlink that is committed, to {(root / name).readlink()}")


def check_dvc(root: Path, git: Git, remote: str) -> None:
    """The same for what DVC's own classes write when they open this remote."""
    committed = _committed(root)
    for section, key in (*_FOLDERS, *((f"remote.{remote}", name) for name in _FILES)):
        value = committed.get(section, {}).get(key, "")
        if value:
            place = Path(root, ".dvc", Path(value).expanduser())
            _check(root, git, place, f"{section}.{key} in .dvc/config is {value}")


def check_remote_folder(root: Path, git: Git, name: str, url: str) -> None:
    """The same before data is sent: a folder with something else in it is no data remote."""
    named = _committed(root).get(f"remote.{name}", {}).get("url", "")
    place = parse_remote_url(url)
    if not named or place.kind != "folder":
        return
    folder = Path(place.path)
    other = _other(folder)
    if other:
        _check(
            root, git, folder, f"the data remote {name} in .dvc/config is {folder}, which holds other things ({other})"
        )


def remember(root: Path, git: Git, folder: Path) -> None:
    """A person has named this folder here: it may be written to from this clone."""
    if not _is_inside(root, folder) and not _is_allowed(git, folder):
        git.run("config", "--local", "--add", ALLOWED, str(folder.resolve()))


def _check(root: Path, git: Git, place: Path, what: str) -> None:
    if _is_inside(root, place) or _is_allowed(git, place):
        return
    raise InvalidInputError(
        f"{what}: outside of this repository, and such a setting comes with anybody's push",
        hint=f"if this clone may write there: git config --add {ALLOWED} {quoted(str(place.resolve()))}",
    )


def _committed(root: Path) -> Config:
    """What counts of the repository's own file: where no private one says otherwise."""
    *_, repository, private = config_files(root)
    found, own = read_config(repository), read_config(private)
    return {section: dict(_left(options, own.get(section, {}))) for section, options in found.items()}


def _left(options: Mapping[str, str], own: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    return ((key, value) for key, value in options.items() if key not in own)


def _is_inside(root: Path, place: Path) -> bool:
    """Of the working tree and not of git's own folder, whatever links lead to."""
    real, top = place.resolve(), root.resolve()
    return real.is_relative_to(top) and not real.is_relative_to(top / ".git")


def _is_allowed(git: Git, place: Path) -> bool:
    said = git.call("config", "--null", "--get-all", ALLOWED).stdout.decode(errors="surrogateescape")
    words = [word for word in said.split("\0") if word]
    if any(word.lower() in ("true", "yes", "on", "1") for word in words):
        return True
    return any(word.startswith(("/", "~")) and Path(word).expanduser().resolve() == place.resolve() for word in words)


def _other(folder: Path) -> str:
    """Something in a folder that has no place in a store; "" if it is one, is empty, or is not there."""
    try:
        names = [path.name for path in folder.iterdir()]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ""  # who opens it says so
    if Path(folder, "files/md5").is_dir():
        return ""
    return next((name for name in sorted(names) if not _OF_A_STORE.fullmatch(name)), "")
