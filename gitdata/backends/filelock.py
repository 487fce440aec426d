"""A lock between processes of this machine that ends with its holder, however that ends.

Used where a folder image, its environment or a shared input is made once for all that want it.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gitdata.errors import BusyError

_GLANCE = 0.1  # seconds


@contextmanager
def locked(file: Path, stopped: Callable[[], bool] | None = None) -> Iterator[int]:
    """Hold the lock ``file``, which is made if it is missing and never removed; waits for another holder.

    Yields its descriptor: a program that gets it holds the lock too, should this process be killed, until it ends.
    stopped: whether to wait no longer. Raises BusyError then.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if stopped is None:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        while stopped is not None and not _taken(descriptor):
            if stopped():
                raise BusyError(f"{file}: another process holds this lock, and it is not waited for any more")
            time.sleep(_GLANCE)
        yield descriptor
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)  # whoever else has the descriptor
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
