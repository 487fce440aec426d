"""Putting new files into data folders, whole or not at all.

Called by ``put`` under the lock. A file is complete in ``.dvc/tmp`` before it takes its name, so that a killed
`put` leaves nothing half-written in the data. It must never write through a symlink, or outside of the repository.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from gitdata.backends.local import sync_names, write_all
from gitdata.data.folders import opened, remove
from gitdata.data.hashing import CHUNK
from gitdata.data.scratch import scratch_name
from gitdata.errors import ConflictError
from gitdata.formats.dvcdir import check_relpath


def place(root: Path, path: str, pieces: Iterable[bytes], *, executable: bool = False) -> int:
    """Make the file ``path`` (relative to ``root``) hold these bytes; returns their number."""
    check_relpath(path)
    folder = root / ".dvc/tmp"
    folder.mkdir(exist_ok=True)
    scratch = folder / f"put-{secrets.token_hex(8)}"
    size = 0
    try:
        descriptor = os.open(
            scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o777 if executable else 0o666
        )
        try:
            for piece in pieces:
                write_all(descriptor, piece)
                size += len(piece)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _move(root, scratch, root / path)
    finally:
        scratch.unlink(missing_ok=True)
    return size


def _move(root: Path, scratch: Path, dest: Path) -> None:
    with opened(dest.parent, root) as parent:
        if dest.is_dir():
            raise ConflictError(f"{dest} is a folder", hint=f"name the file: {dest}/NAME")
        try:
            os.rename(scratch, dest.name, dst_dir_fd=parent)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            # The data lies on another filesystem than .dvc/tmp: copy beside the place, then rename there.
            near = scratch_name()
            try:
                _copy(scratch, parent, near)
                os.rename(near, dest.name, src_dir_fd=parent, dst_dir_fd=parent)
            finally:
                remove(parent, near)
        sync_names(parent)


def _copy(source: Path, parent: int, name: str) -> None:
    made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=parent)
    try:
        for piece in read_file(source):
            write_all(made, piece)
        os.fchmod(made, stat.S_IMODE(source.stat().st_mode))
        os.fsync(made)
    finally:
        os.close(made)


def read_file(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while piece := file.read(CHUNK):
            yield piece
