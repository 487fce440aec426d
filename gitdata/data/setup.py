"""Making a repository ready: the files that `dvc init` writes, and a remote in DVC's configuration.

Called by ``init``. Adds what is missing and never changes what is there: both tools go on reading the same files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from gitdata.backends.stores import open_store
from gitdata.data.dvcsettings import load_config
from gitdata.data.files import write_whole
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError, InvalidInputError
from gitdata.formats.dvcconfig import remotes, set_option, set_remote

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


def make_folder(repo: Repository) -> list[str]:
    """DVC's folder and files; the paths that were missing."""
    if (repo.root / ".dvc").is_symlink() or ((repo.root / ".dvc").exists() and not (repo.root / ".dvc").is_dir()):
        raise InvalidInputError(f"{repo.root}/.dvc is not a folder", hint="move it away")
    (repo.root / ".dvc").mkdir(exist_ok=True)
    missing = [name for name in _FILES if not os.path.lexists(repo.root / name)]
    for name in missing:
        write_whole(repo.root / name, _FILES[name].encode())
    return missing


def add_remote(repo: Repository, name: str, url: str, options: Mapping[str, str]) -> list[str]:
    """Make ``url`` the default data remote; the files that changed and belong into git."""
    if "@" in url.partition("://")[2].partition("/")[0]:
        raise InvalidInputError("a URL with a user or password in it would be committed", hint="use --option or AWS_*")
    shared = {key: value for key, value in options.items() if key not in _SECRET}
    secret = {key: value for key, value in options.items() if key in _SECRET}
    absolute = url if "://" in url else os.path.normpath(Path.cwd() / Path(url).expanduser())
    open_store(absolute, options)  # refuses what gitdata cannot use, before anything is written
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
