"""Folders by file descriptor: how untrusted paths are walked without ever following a symlink.

Called by ``materialize``. Each folder is opened from the one above it with ``O_NOFOLLOW``, so a link that someone puts
in the way is an error, whenever it appears.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitdata.errors import ConflictError

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def opened(folder: Path, within: Path | None) -> Iterator[int]:
    """``folder``, made if need be; below ``within`` no part of its path may be a symlink."""
    if within is None:
        folder.mkdir(parents=True, exist_ok=True)
        top, rest = folder, ""
    else:
        top, rest = within, folder.relative_to(within).as_posix()
    descriptor = os.open(top, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with Folders(descriptor) as folders:
            yield folders.make("" if rest == "." else rest)
    finally:
        os.close(descriptor)


def exists(folder: int, name: str) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


def remove(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


class Folders:
    """The folders below one that is open; the last one used stays open, since neighbours come in a row."""

    def __init__(self, top: int) -> None:
        self._top = top
        self._path = ""
        self._descriptor = top

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_: object) -> None:
        self._use("", self._top)

    def make(self, path: str) -> int:
        """Open ``path``, making what is missing. Raises ConflictError where a file or a symlink is in the way."""
        if path != self._path:
            self._use(path, self._walk(path, make=True))
        return self._descriptor

    def open(self, path: str) -> int | None:
        """Open ``path``, or None if it is not there (any more)."""
        if path != self._path:
            try:
                self._use(path, self._walk(path, make=False))
            except FileNotFoundError:
                return None
        return self._descriptor

    def prune(self, path: str) -> None:
        """Remove ``path`` and the folders above it as far as they are empty."""
        while path:
            parent, _, name = path.rpartition("/")
            descriptor = self.open(parent)
            if descriptor is None:
                return
            try:
                os.rmdir(name, dir_fd=descriptor)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT, errno.ENOTDIR, errno.EBUSY):
                    return
                raise
            path = parent

    def _use(self, path: str, descriptor: int) -> None:
        if self._descriptor != self._top:
            os.close(self._descriptor)
        self._path, self._descriptor = path, descriptor

    def _walk(self, path: str, *, make: bool) -> int:
        current = self._top
        try:
            for name in path.split("/") if path else ():
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o777, dir_fd=current)
                following = os.open(name, FOLDER, dir_fd=current)
                if current != self._top:
                    os.close(current)
                current = following
        except OSError as error:
            if current != self._top:
                os.close(current)
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise ConflictError(
                    f"{path}: a file or a symlink stands where a folder is needed", hint="move it away"
                ) from error
            raise
        return current
