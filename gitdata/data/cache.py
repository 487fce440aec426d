"""The local object cache, ``.dvc/cache``: the same folder, layout and modes as DVC's.

Called by add, push, pull and checkout. An object appears whole, durable and with mode 0444, or not at all; DVC (and
gitdata) trust an object of that mode without reading it, so nothing unverified may ever get it. Two contents with one
md5 are an error, never a silent swap.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitdata.backends.local import closed_place, group_rights, make_folders, sync_folder, write_all
from gitdata.data.batch import FLUSH_SECONDS, Batch, sweep
from gitdata.data.hashing import CHUNK, Digest, Hasher, fingerprint, hash_file
from gitdata.errors import ConflictError, GitdataError, InvalidInputError, MachineError, MissingDataError
from gitdata.formats.dvcdir import object_key, parse_dir
from gitdata.model import Listing


class Cache:
    """``folder``: the cache's root, which holds ``files/md5``. shared: DVC's ``cache.shared = group``."""

    def __init__(self, folder: Path, *, shared: bool = False) -> None:
        self.folder = folder
        self._shared = shared
        self._known: set[Path] = set()
        self._batch: Batch | None = None

    def path(self, oid: str) -> Path:
        return self.folder / object_key(oid)

    def has(self, oid: str) -> bool:
        """Whether the object is here and sound: one with another mode than 0444 is read and verified first."""
        path = self.path(oid)
        try:
            found = path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISREG(found.st_mode):
            return False
        if stat.S_IMODE(found.st_mode) == 0o444:
            return True
        try:
            sound = hash_file(path).md5 == oid.removesuffix(".dir")
        except (FileNotFoundError, ConflictError):  # another process is just writing or healing it
            return False
        if sound:
            self._protect(path)
        return sound

    def find(self, oid: str) -> os.stat_result | None:
        """The ``stat`` of an object's file, sound or not; None if there is none."""
        try:
            return self.path(oid).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def size(self, oid: str) -> int | None:
        found = self.find(oid)
        return found.st_size if found else None

    def distrust(self, oid: str) -> None:
        """Take the mode away by which an object is believed: it was found to have other bytes than its name says."""
        with suppress(OSError):  # another user's: then each who wants it finds that out anew
            self.path(oid).chmod(0o644)

    def read(self, oid: str) -> bytes:
        """The bytes of an object. Raises MissingDataError."""
        return b"".join(self.stream(oid))

    def stream(self, oid: str) -> Iterator[bytes]:
        if not self.has(oid):
            raise MissingDataError(f"{oid} is not in the cache", hint="`gitdata pull` brings it from the remote")
        with self.path(oid).open("rb", buffering=0) as file:
            while piece := file.read(CHUNK):
                yield piece

    def listing(self, oid: str) -> Listing:
        """The files of a ``.dir`` object, sizes from the cache where the members are here."""
        return parse_dir(self.read(oid), oid)

    def add_bytes(self, data: bytes, *, directory: bool = False) -> Digest:
        """Keep ``data``; with ``directory`` it is a listing and its oid ends in ``.dir``."""
        with self.writer() as writer:
            writer.write(data)
            return writer.keep(".dir" if directory else "")

    def add_file(self, path: Path) -> Digest:
        """Keep a copy of a file; the file itself is not touched. Raises ConflictError if it changes meanwhile."""
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            before = os.fstat(descriptor)
            if not stat.S_ISREG(before.st_mode):
                raise InvalidInputError(f"{path}: not a regular file", hint="remove it from the data")
            with self.writer() as writer:
                while piece := os.read(descriptor, CHUNK):
                    writer.write(piece)
                if fingerprint(before) != fingerprint(os.fstat(descriptor)):
                    raise ConflictError(
                        f"{path}: it changed while it was read", hint="try again when nothing writes to it"
                    )
                return writer.keep()
        finally:
            os.close(descriptor)

    @contextmanager
    def writer(self) -> Iterator[Writer]:
        """A new object in the making; without ``keep`` nothing of it stays."""
        folder = self.folder / "files/md5"
        self._make(folder)
        scratch = folder / f".{os.urandom(11).hex()}.tmp"
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        writer = Writer(self, scratch, descriptor)
        try:
            yield writer
        finally:
            os.close(descriptor)
            if not writer.waits:
                scratch.unlink(missing_ok=True)

    @contextmanager
    def batch(self, *, most_seconds: float = FLUSH_SECONDS) -> Iterator[None]:
        """What is added inside gets its names together, after one flush; until then it is not there.

        That is at the end, also after an error (what was finished stays), and now and then before it: after
        ``most_seconds`` at the latest. Not to be nested.
        """
        folder = self.folder / "files/md5"
        self._make(folder)
        sweep(folder)
        batch = self._batch = Batch(folder, most_seconds=most_seconds)
        try:
            try:
                yield
            finally:
                batch.finish()
        finally:
            self._batch = None
            batch.abandon()

    def tick(self) -> None:
        """Let what waits in the batch have its names, if it is time."""
        if self._batch:
            self._batch.tick()

    def settle(self, scratch: Path, descriptor: int, digest: Digest, suffix: str) -> bool:
        """Give the finished file its name, unless a sound object has it already; True if it waits for its batch."""
        target = self.path(digest.md5 + suffix)
        if self._same(target, digest):
            return False
        self._make(target.parent)
        os.fchmod(descriptor, 0o444)
        if self._batch:
            self._batch.add(scratch, target, digest)
            return True
        os.fsync(descriptor)
        scratch.rename(target)
        sync_folder(target.parent)
        return False

    def _same(self, target: Path, digest: Digest) -> bool:
        """Whether the object exists with these very bytes; a damaged one is replaced, a twin is an error."""
        found = self._batch.digest(target) if self._batch else None
        if found is None:
            if not target.is_file() or target.is_symlink():
                return False
            try:
                found = hash_file(target)
            except (FileNotFoundError, ConflictError):  # another process is just writing or healing it
                return False
            if found == digest:
                self._protect(target)
        if found == digest:
            return True
        if found.md5 == digest.md5:
            raise GitdataError(
                f"two different contents have the md5 {digest.md5}: sha256 {digest.sha256} (new), {found.sha256}",
                hint="md5 collisions are made on purpose: find out where this file comes from; it was not stored",
            )
        return False

    def _protect(self, path: Path) -> None:
        if stat.S_IMODE(path.stat().st_mode) != 0o444:
            path.chmod(0o444)

    def _make(self, folder: Path) -> None:
        if folder in self._known:
            return
        try:
            make_folders(folder, shared=self._shared)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError
        except PermissionError as error:
            where = closed_place(folder)
            raise MachineError(
                f"{where}: the cache may not be written by this user",
                hint=group_rights(where, "dvc config cache.shared group"),
            ) from error
        self._known.add(folder)


class Writer:
    """One object that is being written: ``write`` its bytes, then ``keep`` it."""

    def __init__(self, cache: Cache, scratch: Path, descriptor: int) -> None:
        self._cache = cache
        self._scratch = scratch
        self._descriptor = descriptor
        self._hasher = Hasher()
        self.waits = False

    def write(self, piece: bytes) -> None:
        self._hasher.update(piece)
        write_all(self._descriptor, piece)
        self._cache.tick()

    def keep(self, suffix: str = "", *, expect: str = "") -> Digest:
        """Name the object by its content. With ``expect``, an oid: raises MissingDataError if the bytes are others."""
        digest = self._hasher.digest()
        if expect and expect != digest.md5 + suffix:
            raise MissingDataError(f"{expect}: the bytes that came have the md5 {digest.md5}")
        self.waits = self._cache.settle(self._scratch, self._descriptor, digest, suffix)
        return digest
