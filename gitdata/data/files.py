"""Small files of our own, replaced whole: a reader sees the old text or the new one, never half of it.

Called for pointers, ``.gitignore`` and the records below ``<git-dir>/gitdata``. It must never write through a symlink:
the new file takes the name.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gitdata.backends.local import sync_folder, write_all
from gitdata.data.scratch import claim, scratch_name


def write_whole(path: Path, data: bytes) -> None:
    """Replace or create ``path``; its mode stays, a new file's is the umask's."""
    try:
        mode = stat.S_IMODE(path.lstat().st_mode) if not path.is_symlink() else None
    except FileNotFoundError:
        mode = None
    scratch = path.with_name(scratch_name())
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    try:
        claim(descriptor)
        write_all(descriptor, data)
        if mode is not None:
            os.fchmod(descriptor, mode)
        os.fsync(descriptor)
        scratch.replace(path)
        sync_folder(path.parent)
    finally:
        os.close(descriptor)
        scratch.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line at the end, after a newline where the last line has none; all other bytes stay."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    if data and not data.endswith(b"\n"):
        data += b"\n"
    write_whole(path, data + line.encode(errors="surrogateescape") + b"\n")
