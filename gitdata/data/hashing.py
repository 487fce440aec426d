"""md5 and sha256 of bytes and files, in one reading: the start of everything that names content.

Called by the stat index, the cache, transfers and workers. Never trusts a name or a size; a file that changes while it
is read is a conflict, because a digest of bytes that never existed together would name nothing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from gitdata.errors import ConflictError, InvalidInputError

CHUNK = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Digest:
    """md5 and sha256 in hex, size in bytes."""

    md5: str
    sha256: str
    size: int


class Hasher:
    """Takes bytes piece by piece. Both hashes let other threads run meanwhile."""

    __slots__ = ("_md5", "_sha256", "size")

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self.size = 0

    def update(self, piece: bytes) -> None:
        self._md5.update(piece)
        self._sha256.update(piece)
        self.size += len(piece)

    def digest(self) -> Digest:
        return Digest(self._md5.hexdigest(), self._sha256.hexdigest(), self.size)


def hash_bytes(data: bytes) -> Digest:
    hasher = Hasher()
    hasher.update(data)
    return hasher.digest()


def hash_file(path: Path) -> Digest:
    """Raises ConflictError if the file changes meanwhile, InvalidInputError if it is no regular file."""
    return hash_open_file(path)[0]


def hash_open_file(path: Path) -> tuple[Digest, os.stat_result]:
    """The digest, and the ``stat`` that was the same before and after."""
    # Without O_NONBLOCK, opening a FIFO would wait for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise InvalidInputError(f"{path}: not a regular file", hint="remove it from the data")
        hasher = Hasher()
        while piece := os.read(descriptor, CHUNK):
            hasher.update(piece)
        after = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    if fingerprint(before) != fingerprint(after) or hasher.size != after.st_size:
        raise ConflictError(f"{path}: it changed while it was read", hint="try again when nothing writes to it")
    return hasher.digest(), after


def fingerprint(found: os.stat_result) -> tuple[int, int, int, int]:
    """What changes when a file's bytes change."""
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
