"""What a command left in ``/pfs/out``, read as hostile, stored, and described.

Called by worker.datum when the command and everything it started is gone. Folders are opened one from the other
and nothing is followed; a symlink is a text that is looked up in the datum's own listing and never a place to read.
It must never store a byte that is not below ``/pfs/out``.
"""

from __future__ import annotations

import os
import posixpath
import stat
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gitdata.backends.objects import ObjectStore
from gitdata.data.folders import FOLDER
from gitdata.data.hashing import Digest, hash_file
from gitdata.errors import GitdataError, InvalidInputError
from gitdata.formats.dvcdir import check_data_path, check_relpath, object_key
from gitdata.model import Entry, Listing
from gitdata.worker.staging import OUT, Staged

MAX_FILES = 1_000_000
_AT_ONCE = 8
_LINKS_IN_A_ROW = 40
_ASK_FIRST = 64 << 10


class OutputError(GitdataError):
    """The output cannot be stored as it is; the datum has failed."""


@dataclass(slots=True)
class _Tree:
    """files: path -> executable. links: path -> the text of the symlink."""

    files: dict[str, bool] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)


class OutputStore:
    """Stores outputs and remembers what is there already."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._there: set[str] = set()
        self._lock = threading.Lock()
        self.bytes_up = 0

    def store(self, pfs: Path, staged: Staged) -> Listing:
        """Upload all of ``pfs/out`` and list it. Raises OutputError, RemoteError."""
        try:
            out = os.open(pfs / OUT, FOLDER)
        except OSError as error:
            raise OutputError("/pfs/out was replaced by something that is no folder") from error
        try:
            tree = _Tree()
            _scan(out, "", tree)
            self._there.update(staged.digests)
            entries = dict(zip(tree.files, self._upload_all(out, tree.files), strict=True))
        except PermissionError as error:
            raise OutputError(f"/pfs/out: {error.filename or 'a file'} cannot be read") from error
        finally:
            os.close(out)
        linked = [entry for path in tree.links for entry in _resolve(path, tree, entries, staged)]
        return tuple(sorted((*entries.values(), *linked), key=lambda e: e.path))

    def _upload_all(self, out: int, files: Mapping[str, bool]) -> list[Entry]:
        if len(files) < 3:
            return [self._upload(out, path, executable) for path, executable in files.items()]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return list(pool.map(lambda item: self._upload(out, *item), files.items()))

    def _upload(self, out: int, path: str, executable: bool) -> Entry:
        with _opened(out, path) as descriptor:
            # The open file under a name: the store reads the very inode that was checked and hashed.
            name = Path(f"/proc/self/fd/{descriptor}")
            digest = hash_file(name)
            if digest.md5 not in self._there:
                self._send(name, digest)
        return Entry(path, digest.md5, digest.size, executable, digest.sha256)

    def _send(self, name: Path, digest: Digest) -> None:
        key = object_key(digest.md5)
        there = self._store.head(key) if digest.size >= _ASK_FIRST else None
        if there is None or there.size != digest.size:
            self._store.upload(key, name, digest.md5)
            with self._lock:
                self.bytes_up += digest.size
        self._there.add(digest.md5)


def _scan(folder: int, prefix: str, tree: _Tree) -> None:
    for name in sorted(os.listdir(folder)):
        path = prefix + name
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        try:
            # Of a folder the depth too, which bounds the recursion.
            check_relpath(path) if stat.S_ISDIR(found.st_mode) else check_data_path(path)
        except InvalidInputError as error:
            raise OutputError(f"/pfs/out: {error.message}") from error
        if stat.S_ISDIR(found.st_mode):
            inner = os.open(name, FOLDER, dir_fd=folder)
            try:
                _scan(inner, f"{path}/", tree)
            finally:
                os.close(inner)
        elif stat.S_ISREG(found.st_mode):
            tree.files[path] = bool(found.st_mode & 0o111)
        elif stat.S_ISLNK(found.st_mode):
            tree.links[path] = os.readlink(name, dir_fd=folder)
        else:
            raise OutputError(f"/pfs/out/{path} is neither a file, a folder nor a symlink")
        if len(tree.files) + len(tree.links) > MAX_FILES:
            raise OutputError(f"/pfs/out has more than {MAX_FILES} files")


@contextmanager
def _opened(out: int, path: str) -> Iterator[int]:
    *folders, name = path.split("/")
    with ExitStack() as stack:
        current = out
        for folder in folders:
            current = os.open(folder, FOLDER, dir_fd=current)
            stack.callback(os.close, current)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        current = os.open(name, flags, dir_fd=current)
        stack.callback(os.close, current)
        yield current


def _resolve(path: str, tree: _Tree, entries: Mapping[str, Entry], staged: Staged) -> list[Entry]:
    """What a symlink stands for: files of an input, by reference, or another file of the output."""
    place = path
    for _ in range(_LINKS_IN_A_ROW):
        text = tree.links[place]
        target = posixpath.normpath(posixpath.join(f"/pfs/{OUT}/{posixpath.dirname(place)}", text))
        target = "/" + target.lstrip("/")
        inside = target.removeprefix("/pfs/")
        if inside == target or not inside:
            raise OutputError(f"/pfs/out/{path} is a symlink to {text!r}, which is outside /pfs")
        if inside != OUT and not inside.startswith(f"{OUT}/"):
            return _referenced(path, text, inside, staged)
        place = inside[len(OUT) + 1 :]
        if place in entries:
            return [replace(entries[place], path=path)]
        if place not in tree.links:
            break
    raise OutputError(
        f"/pfs/out/{path} is a symlink to {text!r}, which is no file of the output",
        hint="link to a file, or copy the folder",
    )


def _referenced(path: str, text: str, inside: str, staged: Staged) -> list[Entry]:
    entry = staged.files.get(inside)
    if entry is not None:
        found = {"": entry}
    else:
        below = f"{inside}/"
        found = {f"/{p[len(below) :]}": e for p, e in staged.files.items() if p.startswith(below)}
    if not found:
        raise OutputError(f"/pfs/out/{path} is a symlink to {text!r}, which is no file of this datum")
    entries = []
    for rest, e in found.items():
        try:
            check_data_path(path + rest)
        except InvalidInputError as error:
            raise OutputError(f"/pfs/out: {error.message}") from error
        digest = staged.digests[e.oid]
        entries.append(Entry(path + rest, e.oid, digest.size, e.exec, digest.sha256))
    return entries
