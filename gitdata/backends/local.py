"""An object store in a folder: a DVC remote on a disk or a network share.

Called through ``stores.open_store``. Objects are written beside their final name, made durable, then renamed, with mode
0444 as DVC leaves them (DVC takes that mode for "verified"). It must never follow a key out of its folder.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from gitdata.backends.objects import ObjectInfo
from gitdata.errors import InvalidInputError, MissingDataError, RemoteError

CHUNK = 1024 * 1024
_STREAM = 4 * CHUNK


def check_key(key: str, *, prefix: bool = False) -> str:
    """Refuse keys that could mean another place. A prefix ends in ``/`` or is empty."""
    parts = key.removesuffix("/").split("/") if prefix else key.split("/")
    if (prefix and not key) or (all(p not in ("", ".", "..") for p in parts) and "\0" not in key):
        return key
    raise InvalidInputError(f"not a key of an object store: {key!r}")


class LocalStore:
    """Keys are paths below ``root``. shared: DVC's ``shared = group``: new folders are the whole group's."""

    def __init__(self, root: Path, url: str = "", *, shared: bool = False) -> None:
        self.root = root
        self.url = url or str(root)
        self._shared = shared

    def read(self, key: str) -> bytes:
        try:
            return self._path(key).read_bytes()
        except OSError as error:
            raise self._error(error, "read", key) from error

    def stream(self, key: str) -> Iterator[bytes]:
        try:
            with self._path(key).open("rb", buffering=0) as file:
                while piece := file.read(_STREAM):
                    yield piece
        except OSError as error:
            raise self._error(error, "read", key) from error

    def write(self, key: str, data: bytes) -> None:
        self._store(key, iter((data,)))

    def upload(self, key: str, path: Path, md5: str) -> None:
        self._store(key, verified(path, md5))

    def head(self, key: str) -> ObjectInfo | None:
        try:
            found = self._path(key).stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise self._error(error, "read", key) from error
        return ObjectInfo(key, found.st_size, found.st_mtime)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_key(prefix, prefix=True)
        folders = [prefix]
        while folders:
            folder = folders.pop()
            try:
                with os.scandir(self.root / folder) as entries:
                    for entry in entries:
                        if entry.is_dir(follow_symlinks=False):
                            folders.append(f"{folder}{entry.name}/")
                        elif entry.is_file() and not _is_scratch(entry.name):
                            found = entry.stat()
                            yield ObjectInfo(folder + entry.name, found.st_size, found.st_mtime)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise self._error(error, "list", folder) from error

    def delete(self, key: str) -> None:
        try:
            self._path(key).unlink(missing_ok=True)
        except NotADirectoryError:
            return
        except OSError as error:
            raise self._error(error, "delete", key) from error

    def fresh(self) -> LocalStore:
        return self

    def _path(self, key: str) -> Path:
        return self.root / check_key(key)

    def _store(self, key: str, pieces: Iterator[bytes]) -> None:
        target = self._path(key)
        scratch = target.with_name(f".{os.urandom(11).hex()}.tmp")
        try:
            make_folders(target.parent, shared=self._shared)
            try:
                with scratch.open("xb", buffering=0) as file:
                    for piece in pieces:
                        write_all(file.fileno(), piece)
                    os.fchmod(file.fileno(), 0o444)
                    os.fsync(file.fileno())
                scratch.rename(target)
            except BaseException:
                scratch.unlink(missing_ok=True)
                raise
            sync_folder(target.parent)
        except OSError as error:
            raise self._error(error, "write", key) from error

    def _error(self, error: OSError, verb: str, key: str) -> MissingDataError | RemoteError | OSError:
        if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
            return MissingDataError(f"{self.url}: no object {key}")
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            # The command line says it for every full disk alike; which disk it is, only we know.
            return OSError(error.errno, error.strerror, str(self.root / key))
        transient = error.errno in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EBUSY)
        said = f"{self.url}: cannot {verb} {key}: {error.strerror}"
        if error.errno in (errno.EACCES, errno.EPERM):
            where = closed_place(self.root / key)
            return RemoteError(f"{said} ({where})", hint=group_rights(where, "dvc remote modify NAME shared group"))
        hint = "mount it writable, or use another remote" if error.errno == errno.EROFS else ""
        return RemoteError(said, hint=hint, transient=transient)


def closed_place(path: Path) -> Path:
    """Of a path that this user may not read or write: the folder, or else the file, whose mode says so."""
    nearest = path
    for place in (*reversed(path.parents), path):
        if not place.exists():
            break
        nearest = place
        if place.is_dir() and not os.access(place, os.X_OK):
            break
    return nearest


def group_rights(place: Path, setting: str) -> str:
    """What lets several users share a folder."""
    return f"its owner runs `chmod -R g+rwX {place}`, and `{setting}`, so that what is new is the whole group's"


def _is_scratch(name: str) -> bool:
    """DVC's own temporary names look the same: neither is an object."""
    return name.startswith(".") and name.endswith(".tmp")


def verified(path: Path, md5: str) -> Iterator[bytes]:
    """The bytes of a file in pieces; the last one comes only when all of them have the md5.

    Raises InvalidInputError if they have not, FileNotFoundError and the like as they are.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb", buffering=0) as file:
        piece = file.read(CHUNK)
        while following := file.read(CHUNK):
            digest.update(piece)
            yield piece
            piece = following
    digest.update(piece)
    if digest.hexdigest() != md5:
        raise InvalidInputError(
            f"{path}: its bytes have the md5 {digest.hexdigest()}, not {md5}",
            hint="it changed or is damaged; remove it and run `gitdata add` or `gitdata pull` again",
        )
    yield piece


def write_all(descriptor: int, data: bytes) -> None:
    """``os.write`` may write less than it is given."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def make_folders(folder: Path, *, shared: bool = False) -> None:
    """``mkdir -p``, each new name durable in its parent. shared: what is new is the whole group's, as DVC makes it."""
    if folder.is_dir():
        return
    make_folders(folder.parent, shared=shared)
    try:
        folder.mkdir()
        if shared:
            with suppress(PermissionError):  # some network file systems have no modes
                folder.chmod(0o2775)
    except FileExistsError:  # another process just made it: its mode is theirs to change
        if not folder.is_dir():
            raise
    sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync_names(descriptor)
    finally:
        os.close(descriptor)


def sync_names(folder: int) -> None:
    """Make the names in a folder durable. Some file systems cannot, and need not: a network's, Windows's below WSL."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise


def sync_filesystem(folder: Path, function: str = "syncfs") -> None:
    """Make everything that was written to the file system of ``folder`` durable: one flush for many files.

    function: the C library's own; where it has none of this name, all file systems are flushed.
    """
    # Deferred: costs 10 ms to import, and only large writes come here.
    import ctypes

    syncfs = getattr(ctypes.CDLL(None, use_errno=True), function, None)
    if syncfs is None:  # not Linux
        os.sync()
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(descriptor)
