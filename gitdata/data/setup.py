"""Making a repository ready: the files that `dvc init` writes, and a remote in DVC's configuration.

Called by ``init``. Adds what is missing and never changes what is there: both tools go on reading the same files.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from gitdata.backends.git_records import hide_password
from gitdata.backends.objects import OtherKindError
from gitdata.backends.stores import open_store
from gitdata.data.dvcsettings import load_config
from gitdata.data.files import write_whole
from gitdata.data.outside import remember
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError, InvalidInputError
from gitdata.formats.dvcconfig import remotes, set_option, set_remote
from gitdata.formats.remoteurl import parse_remote_url

REMOTE = "storage"

_FILES = {
    ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
    ".dvc/config": "",
    ".dvcignore": "# Add patterns of files dvc should ignore, which could improve\n"
    "# the performance. Learn more at\n"
    "# https://dvc.org/doc/user-guide/dvcignore\n",
}
# What must not be committed goes to the file that git ignores.
_SECRET = frozenset({"access_key_id", "secret_access_key", "session_token", "sse_customer_key", "password"})
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def check_layout(repo: Repository) -> None:
    """Raises InvalidInputError where DVC projects lie in subfolders: their pointers would be taken for this one's."""
    listed = repo.git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "*/.dvc/config")
    names = sorted({os.fsdecode(row).removesuffix("/.dvc/config") for row in listed.split(b"\0")[:-1]})
    if names:
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        raise InvalidInputError(
            f"{repo.root}: DVC projects lie in subfolders (`dvc init --subdir`): {', '.join(names[:5])}{more};"
            " gitdata works with one project, at the top",
            hint="go on with `dvc` in them, or move their data into one project",
        )


def make_folder(repo: Repository) -> list[str]:
    """DVC's folder and files; the paths that were missing."""
    if (repo.root / ".dvc").is_symlink() or ((repo.root / ".dvc").exists() and not (repo.root / ".dvc").is_dir()):
        raise InvalidInputError(f"{repo.root}/.dvc is not a folder", hint="move it away")
    (repo.root / ".dvc").mkdir(exist_ok=True)
    missing = [name for name in _FILES if not os.path.lexists(repo.root / name)]
    for name in missing:
        write_whole(repo.root / name, _FILES[name].encode())
    return missing


def check_remote(repo: Repository, url: str, options: Mapping[str, str]) -> str:
    """The URL, or the absolute path, of a remote that may be set here. Raises InvalidInputError; writes nothing."""
    place = parse_remote_url(url)
    if hide_password(url) != url:
        raise InvalidInputError("a URL with a user or password in it would be committed", hint="use --option or AWS_*")
    for key, value in options.items():
        if not value.isprintable():
            raise InvalidInputError(f"--option {key}: a control character is in {value!r}")
    absolute = url if "://" in url else os.path.normpath(Path.cwd() / Path(url).expanduser())
    if place.kind == "folder":
        check_folder(repo, Path(absolute.removeprefix("file://") if "://" in url else absolute))
    try:
        open_store(absolute, options)
    except OtherKindError as error:
        raise InvalidInputError(
            error.message, hint=f"`dvc remote add -d {REMOTE} {url}`, then `gitdata init` without --remote"
        ) from error
    return absolute


def check_folder(repo: Repository, folder: Path) -> None:
    """Refuse a folder in which a remote would harm the repository, or the repository the remote."""
    real, root = folder.resolve(), repo.root.resolve()
    if real.exists() and not real.is_dir():
        raise InvalidInputError(f"{folder}: not a folder", hint="name a folder; it is made if it is not there")
    if real == root:
        raise InvalidInputError(f"{folder}: the data remote cannot be the working tree itself", hint="name another")
    owners = {
        "git's own folder": (repo.git_dir, repo.common_dir),
        "the cache": (repo.cache.folder,),
        "DVC's own folder": (root / ".dvc",),
    }
    for what, places in owners.items():
        for place in places:
            if real.is_relative_to(place.resolve()):
                raise InvalidInputError(f"{folder}: this is in {what}, {place}", hint="name another folder")
    for parent in (real, *real.parents):
        if parent != root and parent.is_relative_to(root) and parent.with_name(f"{parent.name}.dvc").is_file():
            raise InvalidInputError(f"{folder}: this is in the data folder {parent}", hint="name another folder")


def add_remote(repo: Repository, name: str, url: str, options: Mapping[str, str]) -> list[str]:
    """Make ``url`` the default data remote; the files that changed and belong into git. Raises as ``check_remote``."""
    if not _NAME.fullmatch(name):
        raise InvalidInputError(f"{name!r} cannot be the name of a remote", hint="use letters, digits, . - and _")
    absolute = check_remote(repo, url, options)
    shared = {key: value for key, value in options.items() if key not in _SECRET}
    secret = {key: value for key, value in options.items() if key in _SECRET}
    config = load_config(repo.root)
    known = remotes(config)
    current = config.get("core", {}).get("remote", "").lower()
    same = current in known and known[current].url.rstrip("/") == absolute.rstrip("/")
    if current and not same:
        raise ConflictError(
            f"the data remote is {current} already ({known[current].url if current in known else 'without a url'})",
            hint=f"dvc remote modify {current} url {url}",
        )
    target = current or name.lower()
    if not same and target in known and known[target].url.rstrip("/") != absolute.rstrip("/"):
        raise ConflictError(f"a remote {target} exists with another url: {known[target].url}", hint="use --name")
    file = repo.root / ".dvc/config"
    old = file.read_text()
    new = old if same else set_remote(old, target, _stored(repo, url, absolute), default=True)
    for key, value in shared.items():
        new = set_option(new, f"remote.{target}", key, value)
    if secret:
        _write_secret(repo, target, secret)
    if parse_remote_url(absolute).kind == "folder":
        remember(repo.root, repo.git, Path(absolute.removeprefix("file://")))
    if new == old:
        return []
    write_whole(file, new.encode())
    return [".dvc/config"]


def _stored(repo: Repository, url: str, absolute: str) -> str:
    """As DVC stores it: a relative folder is relative to the configuration file."""
    if "://" in url or Path(url).expanduser().is_absolute():
        return url if "://" in url else absolute
    return Path(os.path.relpath(absolute, repo.root / ".dvc")).as_posix()


def _write_secret(repo: Repository, name: str, secret: Mapping[str, str]) -> None:
    file = repo.root / ".dvc/config.local"
    text = file.read_text() if file.exists() else ""
    for key, value in secret.items():
        text = set_option(text, f"remote.{name}", key, value)
    write_whole(file, text.encode())
    file.chmod(0o600)


def about_remote(repo: Repository) -> str:
    """What a person must know of the default data remote: "" where gitdata itself reaches it, or none is set."""
    if not repo.config.get("core", {}).get("remote"):
        return ""
    config = repo.remote_config()
    try:
        open_store(config.url, config.options)
        return ""
    except OtherKindError:
        pass
    try:
        repo.remote()
    except OtherKindError as error:
        return (
            f"the data remote {config.name} is left to DVC: `dvc push` sends its data and `dvc pull` brings it,"
            f" git pushes are not held back ({error.message})"
        )
    kind = parse_remote_url(config.url).kind
    return f"the data remote {config.name} ({kind}) is reached through DVC; push, pull and the hooks do so themselves"
