"""DVC's own lock, so that gitdata and DVC exclude each other: a flock on ``.dvc/tmp/lock``.

Called through ``Repository.lock``. The file is never removed (another process may just be waiting on it); the kernel
frees the lock of a process that dies.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gitdata.errors import BusyError

SECONDS = 3.0  # as long as DVC itself waits


@contextmanager
def dvc_lock(root: Path) -> Iterator[None]:
    """Hold the lock of the repository at ``root``. Raises BusyError."""
    folder = root / ".dvc/tmp"
    folder.mkdir(exist_ok=True)
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _acquire(descriptor, root)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f" {os.getpid()}\n".encode(), 0)
        _respect_claims(folder / "rwlock")
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, root: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 64, 0).decode(errors="replace").strip() or "unknown"
                raise BusyError(
                    f"another gitdata or DVC process (pid {holder}) works in {root}", hint="wait for it and try again"
                ) from error
            time.sleep(0.05)


def _respect_claims(file: Path) -> None:
    """`dvc repro` drops the lock while a command runs, and keeps its claims in this file."""
    try:
        claims = json.loads(file.read_bytes() or b"{}")
    except (FileNotFoundError, ValueError):
        return
    for path, holder in _holders(claims):
        pid = holder.get("pid")
        if isinstance(pid, int) and pid > 0 and pid != os.getpid() and _alive(pid):
            command = str(holder.get("cmd", ""))[:80]
            raise BusyError(f"{path} is in use by {command!r} (pid {pid})", hint="wait for it")


def _holders(claims: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(path, claim) of all claims that have the shape in which DVC writes them."""
    for kind in ("write", "read"):
        paths = claims.get(kind) if isinstance(claims, dict) else None
        for path, found in paths.items() if isinstance(paths, dict) else ():
            for holder in found if isinstance(found, list) else [found]:
                if isinstance(holder, dict):
                    yield path, holder


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
