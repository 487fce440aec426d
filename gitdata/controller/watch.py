"""Watch: what the remote says now. Push events are hints; ``git ls-remote`` is the truth.

Called by ``loop`` at every turn. Keeps the controller's own bare clone up to date below ``refs/seen/`` and tells which
branches count. Never writes to the remote.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import IO

from gitdata.backends.git import Git
from gitdata.errors import BusyError

HEADS = "refs/heads/"
OUTPUTS = "refs/heads/gitdata/"
ARCHIVE = "refs/gitdata/archive/"
REQUESTS = "refs/gitdata/requests/"

_SEEN = (
    "+refs/heads/*:refs/seen/heads/*",
    "+refs/notes/gitdata/*:refs/seen/notes/*",
    "+refs/gitdata/*:refs/seen/gitdata/*",
)


@dataclass(frozen=True, slots=True)
class Remote:
    """The remote's refs at one moment: full name -> sha. default: the branch that its HEAD names, "" for none."""

    refs: Mapping[str, str] = field(default_factory=dict)
    default: str = ""

    def branches(self, patterns: Sequence[str]) -> dict[str, str]:
        """Watched source branches -> tips. Never what gitdata wrote, nor a branch in its place."""
        found = {}
        for ref, sha in self.refs.items():
            name = ref.removeprefix(HEADS)
            ours = ref.startswith(OUTPUTS) or name == "gitdata"
            if ref.startswith(HEADS) and not ours and any(fnmatchcase(name, pattern) for pattern in patterns):
                found[name] = sha
        return found

    def orphans(self) -> dict[str, str]:
        """Output branches whose source branch is gone -> tips."""
        return {
            ref.removeprefix(OUTPUTS): sha
            for ref, sha in self.refs.items()
            if ref.startswith(OUTPUTS) and HEADS + ref.removeprefix(OUTPUTS) not in self.refs
        }


def look(git: Git, origin: str, last: Remote) -> Remote:
    """The remote's refs, fetched where they moved. Raises RemoteError."""
    if not (git.path / "HEAD").exists():  # somebody emptied the cache
        _make_clone(git)
        last = Remote()
    refs, head = git.refs_and_head(origin)
    now = Remote(refs, head.removeprefix(HEADS))
    if now.refs != last.refs:
        git.fetch(origin, *_SEEN, prune=True)
    return now


def open_clone(cache_home: Path, origin: str) -> tuple[Git, IO[str]]:
    """The controller's own bare clone, and the lock that keeps it this process's; made if it is not there.

    A cache: it may be deleted; ``look`` makes it again. A second controller on this machine gets a clone of its own.
    """
    name = hashlib.sha256(origin.encode()).hexdigest()[:20]
    for number in range(64):
        path = cache_home / "clones" / f"{name}-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        git = Git(path, sealed=True)
        if not (path / "HEAD").exists():
            _make_clone(git)
        return git, lock
    raise BusyError("64 controllers of this repository run on this machine", hint="stop some of them")


def _make_clone(git: Git) -> None:
    git.path.mkdir(parents=True, exist_ok=True)
    git.run("init", "--quiet", "--bare", ".")
