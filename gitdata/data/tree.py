"""What a data folder holds: a walk over it, by the rules by which DVC decides what belongs to it.

Called by add, put, status and the hooks. Reads only; hashes only what the stat index does not know. Symlinks to files
are followed; symlinks to folders, a repository's own files and what a kill left half-written are left out, and the
caller is told; empty folders are no data; what cannot be versioned faithfully is refused by name.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from gitdata.data.hashing import Digest
from gitdata.data.scratch import is_scratch
from gitdata.data.statindex import StatIndex
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.formats.dvcdir import DVCIGNORE, LEFT_OUT, check_relpath
from gitdata.model import Entry, Listing
from gitdata.text import quoted

CameWith: TypeAlias = Callable[[str], bool]
Ignored: TypeAlias = Callable[[str, bool], bool]
"""(path relative to the repository, whether it is a folder) -> whether `.dvcignore` excludes it."""

MAX_DEPTH = 100


@dataclass(frozen=True, slots=True)
class Scan:
    """What a walk over a data folder found.

    files: (path relative to the root, stat) of each file that belongs to the data, in no order. left_out: the paths of
    symlinks to folders and of repositories' own folders, which do not. broken: symlinks to nothing, where they are
    allowed.
    """

    files: list[tuple[str, os.stat_result]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)


def hash_path(
    index: StatIndex, path: str, ignored: Ignored | None = None, held: CameWith | None = None
) -> Listing | Entry:
    """The files of the data folder ``path`` (relative to the index's root), or the one file that it is.

    held: whether a ``.dvcignore`` at a path inside came with the data, as stages could once write it.
    """
    try:
        found = (index.root / path).stat()
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: no such file or folder") from error
    except OSError as error:
        raise unreadable(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        return hash_folder(index, path, ignored, held)
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInputError(f"{path}: neither a file nor a folder (a pipe, socket or device)", hint="remove it")
    digest = _hash_all(index, path, [path])[path]
    return Entry(path.rpartition("/")[2], digest.md5, digest.size, bool(found.st_mode & 0o100), digest.sha256)


def hash_folder(index: StatIndex, path: str, ignored: Ignored | None = None, held: CameWith | None = None) -> Listing:
    """All files of a folder, ordered, with sizes and sha256."""
    return hash_scan(index, path, scan(index.root, path, ignored, held=held))


def hash_scan(index: StatIndex, path: str, walk: Scan) -> Listing:
    """The files that a walk over ``path`` found, ordered, with sizes and sha256."""
    skip = len(path) + 1
    entries: list[Entry] = []
    unknown: list[str] = []
    for name, found in walk.files:
        digest = index.known(name, found)
        if digest is None:
            unknown.append(name)
        else:
            entries.append(Entry(name[skip:], digest.md5, digest.size, False, digest.sha256))
    for name, digest in _hash_all(index, path, unknown).items() if unknown else ():
        entries.append(Entry(name[skip:], digest.md5, digest.size, False, digest.sha256))
    entries.sort(key=_path)
    return tuple(entries)


def _hash_all(index: StatIndex, path: str, names: list[str]) -> dict[str, Digest]:
    try:
        return {names[0]: index.digest(names[0])} if names == [path] else index.hash_many(names)
    except PermissionError as error:
        raise unreadable(os.path.relpath(error.filename or path, index.root), error) from error


def _path(entry: Entry) -> str:
    return entry.path


def scan(
    root: Path, path: str, ignored: Ignored | None = None, *, allow_broken: bool = False, held: CameWith | None = None
) -> Scan:
    """Walk over the data folder ``path``. Raises InvalidInputError for what cannot be versioned; with ``allow_broken``
    not for symlinks to nothing. held: as of ``hash_path``.
    """
    walk = Scan()
    folders = [path]
    while folders:
        folder = folders.pop()
        if folder.count("/") > MAX_DEPTH + path.count("/"):
            raise InvalidInputError(f"{folder[:200]}: nested too deeply")
        try:
            _scan_one(root, folder, walk, folders, ignored)
        except PermissionError as error:
            raise unreadable(os.path.relpath(error.filename or folder, root), error) from error
    if walk.broken and not allow_broken:
        name = min(walk.broken)
        hint = (
            f"`gitdata checkout {quoted(path)}` brings the file"
            if into_cache(root / name)
            else "remove it or restore its target"
        )
        raise InvalidInputError(f"{name}: a symlink to nothing", hint=hint)
    skip = len(path) + 1
    for name, _ in walk.files:
        check_relpath(name[skip:], path)
        if name.endswith(f"/{DVCIGNORE}") and not (held and held(name[skip:])):
            raise InvalidInputError(f"{name}: DVC refuses a .dvcignore inside data", hint="move it to the folder above")
    return walk


def into_cache(link: Path) -> bool:
    """Whether a symlink leads into a cache of DVC's: with `cache.type = symlink` the data is such links."""
    return "/files/md5/" in os.readlink(link)  # noqa: PTH115


def unreadable(path: str, error: OSError) -> InvalidInputError:
    """What to say of a path that the system does not let us read."""
    if error.errno == errno.ELOOP:
        return InvalidInputError(f"{path}: a symlink that leads to itself", hint="remove it")
    if error.errno in (errno.EACCES, errno.EPERM):
        return InvalidInputError(f"{path}: permission denied", hint="give yourself the right to read it")
    return InvalidInputError(f"{path}: {error.strerror}")


def _scan_one(root: Path, folder: str, walk: Scan, folders: list[str], ignored: Ignored | None) -> None:
    with os.scandir(f"{root}/{folder}") as entries:
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.name in LEFT_OUT:
                if entry.name == ".dvc":
                    raise InvalidInputError(
                        f"{folder}: holds a DVC repository of its own, which DVC leaves out of the data",
                        hint=f"move it away, or remove {quoted(name)}",
                    )
                walk.left_out.append(name)
                continue
            if is_scratch(entry.name):
                continue
            if ignored is not None and ignored(name, entry.is_dir(follow_symlinks=False)):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
                continue
            _scan_file(entry, name, walk)


def _scan_file(entry: os.DirEntry[str], name: str, walk: Scan) -> None:
    try:
        found = entry.stat()
    except OSError as error:
        if not entry.is_symlink() or error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        walk.broken.append(name)
        return
    if stat.S_ISDIR(found.st_mode):
        walk.left_out.append(name)
        return
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInputError(f"{name}: neither a file nor a folder (a pipe, socket or device)", hint="remove it")
    walk.files.append((name, found))
