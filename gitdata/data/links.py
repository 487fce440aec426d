"""What data in the workspace is made of: copies of the cache's objects, or links to them (DVC's ``cache.type``).

Called by ``bring`` and ``relink``. An object is read and compared with its name before anything leads to it, so that a
wrong one never enters the workspace; its digest is what the stat index needs. A link must never be made where an edit
or a ``chmod`` that is meant for the workspace would change the object for all: executable files are copied.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gitdata.data.cache import Cache
from gitdata.data.hashing import Digest, hash_file
from gitdata.data.scratch import scratch_name
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.model import Entry

DEFAULT = ("reflink", "copy")  # DVC's
TYPES = ("reflink", "hardlink", "symlink", "copy")
SHARED = ("hardlink", "symlink")

_FICLONE = 0x40049409  # linux/fs.h; Python has no name for it
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_UNABLE = (
    errno.EXDEV, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOTTY, errno.EINVAL, errno.ENOSYS, errno.EPERM,
)  # fmt: skip


def read_types(setting: str | None) -> tuple[str, ...]:
    """``cache.type`` as DVC reads it. Raises InvalidInputError."""
    if setting is None:
        return DEFAULT
    types = tuple(kind.strip() for kind in setting.split(","))
    unknown = [kind for kind in types if kind not in TYPES]
    if unknown:
        raise InvalidInputError(
            f"cache.type: {unknown[0]!r} is no type of link", hint=f"dvc config cache.type {'|'.join(TYPES)}"
        )
    return types


class Links:
    """The types of one repository, in the order of preference; one that does not work here is not tried again."""

    def __init__(self, cache: Cache, types: Sequence[str] = DEFAULT) -> None:
        self.cache = cache
        self.types = tuple(types)
        self._usable = list(types)
        self._why: dict[str, str] = {}
        self._probed = False

    @property
    def shares(self) -> bool:
        """Whether files of the workspace may be the cache's own."""
        return any(kind in SHARED for kind in self.types)

    def remark(self) -> str:
        """What a person should know of the types that do not work here; "" where the next one was asked for as well."""
        if self._usable or not self._why:
            return ""
        why = "; ".join(f"{kind}: {words}" for kind, words in self._why.items())
        return f"cache.type: data is copied, because no other type works with the cache {self.cache.folder} ({why})"

    def probe(self, folder: Path) -> None:
        """Find out, once, which types work between the cache and a folder of the workspace."""
        if not self._probed:
            self._probed = True
            for kind, why in self.try_all(folder).items():
                self._give_up(kind, why)

    def _give_up(self, kind: str, why: str) -> None:
        if kind in self._usable:
            self._usable.remove(kind)
            self._why[kind] = why

    def try_all(self, folder: Path) -> dict[str, str]:
        """Why a type does not work between the cache and a folder of the workspace, for each that does not."""
        digest = self.cache.add_bytes(b"")  # named by its content like any other object
        entry = Entry("", digest.md5)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        why = {}
        try:
            for kind in self.types:
                name = scratch_name()
                try:
                    if kind != "copy":
                        self._make(kind, entry, descriptor, name)
                        os.unlink(name, dir_fd=descriptor)
                except OSError as error:
                    why[kind] = error.strerror or str(error)
        finally:
            os.close(descriptor)
        return why

    def make(self, entry: Entry, folder: int, name: str) -> Digest | None:
        """Make the new file ``name`` of an open folder from the entry's object; None if it has to be copied.

        Raises MissingDataError for an object that has other bytes.
        """
        found = self.cache.find(entry.oid) if self._usable[:1] not in ([], ["copy"]) else None
        if found is None or not self.cache.has(entry.oid):
            return None  # copying says what is wrong
        for kind in list(self._usable):
            # One empty object may have more links than a filesystem allows: DVC makes empty files of their own, too.
            if kind == "copy" or (kind in SHARED and (entry.exec or found.st_size == 0)):
                return None
            try:
                self._make(kind, entry, folder, name)
            except OSError as error:
                if error.errno in _UNABLE:
                    self._give_up(kind, error.strerror or str(error.errno))
                elif error.errno != errno.EMLINK:
                    raise
            else:
                return self._verified(entry, folder, name)
        return None

    def fits(self, entry: Entry, found: os.stat_result, target: str | None) -> bool:
        """Whether a file of the workspace is of a type that is preferred here. target: of a symlink."""
        ours = self.cache.path(entry.oid)
        size = entry.size if entry.size is not None else found.st_size
        for kind in self._usable:
            if kind in SHARED and (entry.exec or size == 0):
                continue
            if kind == "symlink":
                return target == str(ours)
            if kind == "hardlink":
                same = self.cache.find(entry.oid)
                return same is not None and (same.st_ino, same.st_dev) == (found.st_ino, found.st_dev)
            break
        return target is None and (found.st_nlink == 1 or size == 0)

    def _verified(self, entry: Entry, folder: int, name: str) -> Digest:
        digest = hash_file(self.cache.path(entry.oid))
        if digest.md5 == entry.oid:
            return digest
        os.unlink(name, dir_fd=folder)
        self.cache.distrust(entry.oid)
        raise MissingDataError(
            f"{entry.path}: the object {entry.oid} in the cache was changed (a linked file was edited in place?)",
            hint="`gitdata pull` brings it from the remote again",
        )

    def _make(self, kind: str, entry: Entry, folder: int, name: str) -> None:
        source = str(self.cache.path(entry.oid))
        if kind == "hardlink":
            os.link(source, name, dst_dir_fd=folder, follow_symlinks=False)
        elif kind == "symlink":
            os.symlink(source, name, dir_fd=folder)
        else:
            _reflink(source, folder, name, 0o777 if entry.exec else 0o666)


def _reflink(source: str, folder: int, name: str, mode: int) -> None:
    """A copy that shares its blocks until one of the two is written to (btrfs, XFS)."""
    if sys.platform == "linux":
        reader = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            writer = os.open(name, _NEW, mode, dir_fd=folder)
            try:
                fcntl.ioctl(writer, _FICLONE, reader)
            except OSError:
                os.unlink(name, dir_fd=folder)
                raise
            finally:
                os.close(writer)
        finally:
            os.close(reader)
    else:
        raise OSError(errno.ENOTSUP, "not supported on this system")
