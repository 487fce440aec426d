"""The folder in which a local job works: its workers' ``/pfs``, ``/tmp`` and shared objects. Called by local_job.

It is removed when the job ends. After a kill -9 the next executor removes it: the lock on it has ended with its owner.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from pathlib import Path

from gitdata.backends.containers import Engine
from gitdata.errors import MachineError
from gitdata.worker.container import JOB_LABEL
from gitdata.worker.datum import remove_tree

_ENGINE = "engine"


class Scratch:
    """``with Scratch(cache_home, name) as folder``: a new locked folder. engine: what makes containers for the job."""

    def __init__(self, cache_home: Path, name: str, engine: Engine | None = None) -> None:
        self._home, self._name, self._engine = cache_home / "jobs", name, engine

    def __enter__(self) -> Path:
        self._home.mkdir(parents=True, exist_ok=True)
        # Made under a name that is not swept, and renamed when its lock is held.
        made = Path(tempfile.mkdtemp(prefix=".new-", dir=self._home))
        self._lock = _try_lock(made)
        self._folder = made.rename(self._home / f"{self._name}{made.name.removeprefix('.new')}")
        (self._folder / "objects").mkdir()
        if self._engine is not None:
            (self._folder / _ENGINE).write_text(self._engine.program)
        return self._folder

    def __exit__(self, *_: object) -> None:
        remove_tree(self._folder)
        if self._lock is not None:
            os.close(self._lock)


def sweep(cache_home: Path) -> set[str]:
    """Remove the folders of jobs whose process is gone, and first the containers that may still write to them.

    The names of these jobs.
    """
    names = set()
    for folder in cache_home.glob("jobs/[!.]*"):
        lock = _try_lock(folder)
        if lock is not None:
            if _without_containers(folder):
                remove_tree(folder)
            os.close(lock)
            names.add(folder.name.rpartition("-")[0])
    return names


def _without_containers(folder: Path) -> bool:
    """Whether none is left: an engine that says nothing now is asked when the next executor begins."""
    try:
        Engine((folder / _ENGINE).read_text()).remove(f"{JOB_LABEL}={folder}")
    except FileNotFoundError:
        pass
    except MachineError as error:
        return not error.transient  # it is no longer installed
    return True


def _try_lock(folder: Path) -> int | None:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
