"""What ``doctor`` looks at on this machine and in this repository: each check one function, each finding one line.

A check returns its good news or raises GitdataError, whose message and hint are then the finding. Nothing is changed:
the one object that is written to the remote is the empty file, which is named by its content like any other.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gitdata.backends.builders import find_builder
from gitdata.backends.containers import find_engine
from gitdata.backends.git import Git
from gitdata.backends.git_records import hide_password
from gitdata.backends.machine import cache_home
from gitdata.data.hooknames import CLIENT
from gitdata.data.hooks import survey
from gitdata.data.links import DEFAULT
from gitdata.data.repository import Repository, is_initialised
from gitdata.data.revisions import git_remote
from gitdata.errors import GitdataError, MachineError, NotARepositoryError
from gitdata.worker.sandbox import ability

_GIT = (2, 36)  # core.fsync
_EMPTY = "files/md5/d4/1d8cd98f00b204e9800998ecf8427e"
_ROOM = 1 << 30


@dataclass(frozen=True, slots=True)
class Finding:
    """state: ``ok``, ``missing`` or ``hint`` (not needed for everything). code: what the verb then exits with."""

    name: str
    state: str
    text: str
    hint: str = ""
    code: int = 0


Check = tuple[str, Callable[[], str], bool]  # name, what to do, whether nothing works without it


def findings(checks: Iterable[Check]) -> Iterator[Finding]:
    """Do them one after another."""
    for name, look, needed in checks:
        try:
            yield Finding(name, "ok", look())
        except GitdataError as error:
            state = "missing" if needed else "hint"
            yield Finding(name, state, error.message, error.hint, error.exit_code if needed else 0)
        except OSError as error:
            text = f"{error.filename or ''}: {error.strerror or error}".lstrip(": ")
            yield Finding(name, "missing" if needed else "hint", text, code=1 if needed else 0)


def of_machine() -> list[Check]:
    return [
        ("git", _git, True),
        ("cache folder", _cache, True),
        ("stages of folders", _sandbox, False),
        ("stages of images", lambda: f"{find_engine().program} runs containers", False),
        ("building images", lambda: f"{find_builder('auto')} builds images", False),
    ]


def of_repository(remote: str | None) -> list[Check]:
    """Those of the repository one is in; elsewhere one that says so."""
    try:
        repository = Repository.open()
    except NotARepositoryError as error:
        is_one = is_initialised(Git(Path.cwd()), "HEAD")  # only that it is not checked out
        return [("repository", functools.partial(_raise, error), is_one)]
    return [
        ("repository", lambda: str(repository.root), True),
        ("hooks", lambda: _hooks(repository.git), True),
        ("cache.type", lambda: _links(repository), False),
        ("git remote", lambda: _git_remote(repository.git), False),
        ("data remote", lambda: _read(repository, remote), True),
        ("data remote, writing", lambda: _write(repository, remote), True),
    ]


def _raise(error: GitdataError) -> str:
    raise error


def _git() -> str:
    said = Git(Path.cwd()).text("--version")
    found = re.search(r"(\d+)\.(\d+)", said)
    if found is None or (int(found[1]), int(found[2])) < _GIT:
        raise MachineError(f"{said} is too old", hint=f"install git {_GIT[0]}.{_GIT[1]} or newer")
    return said


def _cache() -> str:
    folder = cache_home()
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise MachineError(f"{folder}: may not be written", hint="set XDG_CACHE_HOME")
    free = shutil.disk_usage(folder).free
    if free < _ROOM:
        raise MachineError(f"{folder}: only {free >> 20} MiB are free", hint="free some space, or set XDG_CACHE_HOME")
    return f"{folder}, {free >> 30} GiB free"


def _sandbox() -> str:
    users = ability()
    return f"namespaces work here ({'with' if users else 'without'} a user namespace, Python {sys.version.split()[0]})"


def _hooks(git: Git) -> str:
    bad = [f"{hook.name} is {hook.state}" for hook in survey(git, CLIENT) if hook.state != "installed"]
    if bad:
        raise MachineError("; ".join(bad), hint="gitdata hooks install")
    return f"{len(CLIENT)} installed"


def _links(repository: Repository) -> str:
    links = repository.links
    why = links.try_all(repository.root / ".dvc")
    kind = next((kind for kind in links.types if kind not in why), "copy")
    lacking = "; ".join(f"no {kind}: {words}" for kind, words in why.items())
    if links.types[0] in why and links.types != DEFAULT:
        raise MachineError(
            f"{', '.join(links.types)} with the cache at {links.cache.folder}: {lacking}; data here is made by {kind}",
            hint="keep the cache on the filesystem of the workspace, or change cache.type",
        )
    return f"data here is made by {kind}" + (f" ({lacking})" if lacking else "")


def _git_remote(git: Git) -> str:
    name = git_remote(git)
    url = git.config(f"remote.{name}.url")
    if not url:
        raise NotARepositoryError(f"no git remote {name}", hint="git remote add origin URL, to share and to deploy")
    return f"{name}: {hide_password(url)}, {len(git.ls_remote(url))} refs"


def _read(repository: Repository, remote: str | None) -> str:
    store = repository.remote(remote)
    store.head(_EMPTY)
    return f"{store.url} answers"


def _write(repository: Repository, remote: str | None) -> str:
    store = repository.remote(remote)
    store.write(_EMPTY, b"")
    return f"{store.url} may be written"
