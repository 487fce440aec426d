"""What is half-written: it lies beside its place, under a name that git and gitdata's own scans leave out.

Called by whoever writes a file or a folder whole. Its writer holds a lock on it, which the kernel frees with that
process: what nobody holds was left by a kill. It must never remove what somebody still writes.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path

from gitdata.formats.dvcdir import SCRATCH

IGNORE_LINE = ".*.gitdata-tmp"


def scratch_name() -> str:
    return f".{secrets.token_hex(8)}.gitdata-tmp"


def is_scratch(name: str) -> bool:
    return name.endswith(".gitdata-tmp") and SCRATCH.fullmatch(name) is not None


def claim(descriptor: int) -> None:
    """Say that the file or folder is being written, for as long as the descriptor is open."""
    with suppress(OSError):  # a file system without locks: nothing is swept there either
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sweep(folder: Path) -> None:
    """Remove what killed processes left in a folder. The caller holds the repository's lock."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if is_scratch(entry.name)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for name in names:
        with suppress(OSError):  # gone, a symlink, in use, or somebody else's
            descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                delete(folder / name)
            finally:
                os.close(descriptor)


def delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
