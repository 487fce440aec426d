"""What a data folder holds: a walk over it, by the rules by which DVC decides what belongs to it.

Called by add, put, status and the hooks. Reads only; hashes only what the stat index does not know. Symlinks to files
are followed, to folders skipped; empty folders, a repository's own files and what a kill left half-written are left
out; what cannot be versioned faithfully is refused by name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from gitdata.data.scratch import is_scratch
from gitdata.data.statindex import StatIndex
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.formats.dvcdir import check_relpath
from gitdata.model import Entry, Listing

Ignored: TypeAlias = Callable[[str, bool], bool]
"""(path relative to the repository, whether it is a folder) -> whether `.dvcignore` excludes it."""

_OURS = frozenset({".git", ".hg", ".dvc"})
MAX_DEPTH = 100


def hash_path(index: StatIndex, path: str, ignored: Ignored | None = None) -> Listing | Entry:
    """The files of the data folder ``path`` (relative to the index's root), or the one file that it is."""
    full = index.root / path
    try:
        found = full.stat()
    except FileNotFoundError as error:
        raise MissingDataError(f"{path}: no such file or folder") from error
    if stat.S_ISDIR(found.st_mode):
        return hash_folder(index, path, ignored)
    digest = index.digest(path)
    return Entry(path.rpartition("/")[2], digest.md5, digest.size, bool(found.st_mode & 0o100), digest.sha256)


def hash_folder(index: StatIndex, path: str, ignored: Ignored | None = None) -> Listing:
    """All files of a folder, ordered, with sizes and sha256."""
    skip = len(path) + 1
    entries: list[Entry] = []
    unknown: list[str] = []
    for name, found in scan(index.root, path, ignored):
        digest = index.known(name, found)
        if digest is None:
            unknown.append(name)
        else:
            entries.append(Entry(name[skip:], digest.md5, digest.size, False, digest.sha256))
    for name, digest in index.hash_many(unknown).items() if unknown else ():
        entries.append(Entry(name[skip:], digest.md5, digest.size, False, digest.sha256))
    entries.sort(key=_path)
    return tuple(entries)


def _path(entry: Entry) -> str:
    return entry.path


def scan(root: Path, path: str, ignored: Ignored | None = None) -> list[tuple[str, os.stat_result]]:
    """(path relative to ``root``, stat) of every file that belongs to the data folder ``path``, in no order."""
    files: list[tuple[str, os.stat_result]] = []
    folders = [path]
    while folders:
        folder = folders.pop()
        if folder.count("/") > MAX_DEPTH + path.count("/"):
            raise InvalidInputError(f"{folder[:200]}: nested too deeply")
        _scan_one(root, folder, files, folders, ignored)
    skip = len(path) + 1
    for name, _ in files:
        check_relpath(name[skip:], path)
    return files


def _scan_one(
    root: Path,
    folder: str,
    files: list[tuple[str, os.stat_result]],
    folders: list[str],
    ignored: Ignored | None,
) -> None:
    with os.scandir(f"{root}/{folder}") as entries:
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.name in _OURS:
                if entry.name == ".dvc":
                    raise InvalidInputError(
                        f"{folder}: holds a DVC repository of its own, which DVC leaves out of the data",
                        hint=f"move it away, or remove {name}",
                    )
                continue
            if is_scratch(entry.name):
                continue
            if ignored is not None and ignored(name, entry.is_dir(follow_symlinks=False)):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
                continue
            found = _stat_file(entry, name)
            if found is not None:
                files.append((name, found))


def _stat_file(entry: os.DirEntry[str], name: str) -> os.stat_result | None:
    """The ``stat`` of a file or of what a symlink names; None for a symlink to a folder."""
    try:
        found = entry.stat()
    except FileNotFoundError as error:
        if not entry.is_symlink():
            raise
        raise InvalidInputError(f"{name}: a symlink to nothing", hint="remove it or restore its target") from error
    if stat.S_ISDIR(found.st_mode):
        return None
    if not stat.S_ISREG(found.st_mode):
        raise InvalidInputError(f"{name}: neither a file nor a folder (a pipe, socket or device)", hint="remove it")
    if entry.name == ".dvcignore":
        raise InvalidInputError(f"{name}: DVC refuses a .dvcignore inside data", hint="move it to the folder above")
    return found
