"""The controller's own bare clone: a cache under a lock of this process, mended or made anew when it is broken.

``gitdata controller`` opens it, ``watch`` fetches into it. Nobody else writes there, so that locks of git in it are of
a process that was killed. Only ``gitdata/`` in it is kept when it is made anew: the journal of mails (``journal``).
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from pathlib import Path
from typing import IO

from gitdata.backends.git import Git, GitError
from gitdata.errors import BusyError

_OURS = "gitdata"


def open_clone(cache_home: Path, origin: str) -> tuple[Git, IO[str]]:
    """The clone, and the lock that keeps it this process's; made if it is not there.

    It may be deleted; ``look`` makes it again. A second controller on this machine gets a clone of its own.
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
        if not is_there(git):
            make_clone(git)
        _remove_locks(path)
        return git, lock
    raise BusyError("64 controllers of this repository run on this machine", hint="stop some of them")


def is_there(git: Git) -> bool:
    """Whether git takes it for a repository: somebody may have emptied the cache, or a disk lost what was written."""
    there = (git.path / "HEAD").is_file()
    return there and git.call("--git-dir=.", "for-each-ref", "--count=1").returncode == 0


def is_damaged(git: Git, error: GitError | None = None) -> bool:
    """Whether something in it is not what git wrote. Slow: for when git has failed at it. error: what git said then."""
    if not is_there(git) or (error is not None and "corrupt" in error.stderr):
        return True
    return git.call("fsck", "--connectivity-only", "--no-dangling", "--no-progress").returncode != 0


def make_clone(git: Git) -> None:
    """An empty clone, in place of what is there."""
    if not git.path.is_dir():
        git.path.unlink(missing_ok=True)
        git.path.mkdir(parents=True)
    for entry in git.path.iterdir():
        if entry.name == _OURS:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    git.run("init", "--quiet", "--bare", ".")


def _remove_locks(path: Path) -> None:
    """What a git that was killed left: a ref, the list of refs or the configuration would stay locked for ever."""
    for file in path.rglob("*.lock"):
        if file.relative_to(path).parts[0] != _OURS and file.is_file():
            file.unlink(missing_ok=True)
