"""Listings become files: the last step of checkout, pull and get.

Called with a listing that passed ``parse_dir`` and a source of bytes. Every byte is hashed while it is written, or once
it is linked, and all files of one output are ready beside their places before the first one is moved there: a wrong
object, a full disk or a kill before that changes nothing. It must never write through a symlink: every folder is opened
from its parent.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from gitdata.backends.local import sync_names, write_all
from gitdata.data.folders import FOLDER, Folders, exists, opened, remove
from gitdata.data.hashing import Digest, Hasher
from gitdata.data.links import Links
from gitdata.data.scratch import claim, is_scratch, scratch_name
from gitdata.errors import ConflictError, MissingDataError
from gitdata.formats.dvcdir import alike, check_paths
from gitdata.model import Entry, Listing

Source: TypeAlias = Callable[[str], Iterable[bytes]]
"""oid -> its bytes in pieces: ``cache.stream``, or one that reads a remote."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write_listing(
    listing: Listing,
    source: Source,
    dest: Path,
    *,
    old: Listing | None = None,
    within: Path | None = None,
    links: Links | None = None,
) -> Listing:
    """Make the folder ``dest`` hold ``listing``; returns it with the sizes and sha256 of the files that were written.

    old: what the folder is known to hold now; files of it that stay the same are not touched, files that are gone from
    the listing are removed, everything else in the folder is left alone. Without ``old`` the folder must not exist.
    within: a folder from which on no part of ``dest``'s path may be a symlink (the root of the repository).
    links: the files may be links to the cache's objects; without it they are copies.
    """
    check_paths([entry.path for entry in listing])
    before = {entry.path: entry.oid for entry in old or ()}
    todo = [entry for entry in listing if before.get(entry.path) != entry.oid]
    with opened(dest.parent, within) as parent:
        if old is None and exists(parent, dest.name):
            raise ConflictError(f"{dest} exists", hint="move it away, or choose another place")
        scratch = scratch_name()
        os.mkdir(scratch, 0o777, dir_fd=parent)
        try:
            staging = os.open(scratch, FOLDER, dir_fd=parent)
            try:
                claim(staging)
                _check_names(staging, listing)
                written = _stage(staging, todo, source, links, fresh=old is None)
                if old is not None:
                    gone = sorted(before.keys() - {entry.path for entry in listing})
                    _apply(parent, dest.name, staging, todo, set(before), gone)
            finally:
                os.close(staging)
            if old is None:
                os.rename(scratch, dest.name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            shutil.rmtree(scratch, ignore_errors=True, dir_fd=parent)
        sync_names(parent)
    return tuple(written.get(entry.path, entry) for entry in listing)


def _check_names(folder: int, listing: Listing) -> None:
    """Refuse two files of a listing that this filesystem takes for one: the second would overwrite the first."""
    for first, second in alike(entry.path for entry in listing):
        one, other = next((a, b) for a, b in zip(first.split("/"), second.split("/"), strict=False) if a != b)
        os.close(os.open(one, _NEW, 0o600, dir_fd=folder))
        same = exists(folder, other)
        remove(folder, one)
        if same:
            raise ConflictError(
                f"'{first}' and '{second}' are one name on this filesystem",
                hint="rename one of them on a machine that tells them apart, such as Linux",
            )


def write_file(
    entry: Entry,
    source: Source,
    dest: Path,
    *,
    replace: bool = False,
    within: Path | None = None,
    links: Links | None = None,
) -> Entry:
    """One file, executable if the entry says so. Without ``replace`` it must not exist."""
    with opened(dest.parent, within) as parent:
        if not replace and exists(parent, dest.name):
            raise ConflictError(f"{dest} exists", hint="move it away, or choose another place")
        scratch = scratch_name()
        try:
            digest = _make(parent, scratch, entry, source, links)
            os.rename(scratch, dest.name, src_dir_fd=parent, dst_dir_fd=parent)
        finally:
            remove(parent, scratch)
        sync_names(parent)
    return Entry(entry.path, entry.oid, digest.size, entry.exec, digest.sha256)


def _stage(
    staging: int, todo: Listing | list[Entry], source: Source, links: Links | None, *, fresh: bool
) -> dict[str, Entry]:
    """Write all files: in their places if the folder is fresh, else under numbers."""
    written = {}
    with Folders(staging) as folders:
        for number, entry in enumerate(todo):
            parent, _, name = entry.path.rpartition("/")
            folder, file = (folders.make(parent), name) if fresh else (staging, str(number))
            digest = _make(folder, file, entry, source, links)
            written[entry.path] = Entry(entry.path, entry.oid, digest.size, entry.exec, digest.sha256)
    return written


def _apply(parent: int, name: str, staging: int, todo: list[Entry], before: set[str], gone: list[str]) -> None:
    """Move what is ready to its places and remove what is gone. Only renames and unlinks: nothing that fills a disk."""
    target = os.open(name, FOLDER, dir_fd=parent)
    try:
        new = {entry.path for entry in todo}
        needed = {above for path in new for above in _above(path)}
        clash = [path for path in gone if path in needed or any(above in new for above in _above(path))]
        with Folders(target) as folders:
            _check_room(folders, sorted(new - before), set(gone))
            _unlink_all(folders, clash)
            for number, entry in enumerate(todo):
                folder, _, file = entry.path.rpartition("/")
                os.rename(str(number), file, src_dir_fd=staging, dst_dir_fd=folders.make(folder))
            _unlink_all(folders, sorted(set(gone) - set(clash)))
    finally:
        os.close(target)


def _above(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _check_room(folders: Folders, added: list[str], gone: set[str]) -> None:
    """Refuse, before anything moves, to take the place of something that is not ours."""
    for path in added:
        if any(above in gone for above in _above(path)):
            continue  # a file of ours stands there and goes
        parent, _, name = path.rpartition("/")
        folder = folders.open(parent)
        if folder is None or not exists(folder, name):
            continue
        foreign = [path]
        if any(path in _above(old) for old in gone):
            foreign = [found for found in _files_below(folder, name, path) if found not in gone]
        if foreign:
            raise ConflictError(f"{foreign[0]} is in the way and is not tracked", hint="move it away, or remove it")


def _files_below(folder: int, name: str, path: str) -> Iterator[str]:
    for place, _, files, _ in os.fwalk(name, dir_fd=folder):
        for file in files:
            yield f"{path}{place.removeprefix(name)}/{file}"


def _unlink_all(folders: Folders, paths: list[str]) -> None:
    for path in paths:
        folder, _, name = path.rpartition("/")
        descriptor = folders.open(folder)
        if descriptor is not None:
            remove(descriptor, name)
    for folder in sorted({p.rpartition("/")[0] for p in paths}, key=len, reverse=True):
        folders.prune(folder)


def _make(folder: int, name: str, entry: Entry, source: Source, links: Links | None) -> Digest:
    return (links.make(entry, folder, name) if links else None) or _write(folder, name, entry, source)


def _write(folder: int, name: str, entry: Entry, source: Source) -> Digest:
    hasher = Hasher()
    descriptor = os.open(name, _NEW, 0o777 if entry.exec else 0o666, dir_fd=folder)
    try:
        if is_scratch(name):
            claim(descriptor)
        for piece in source(entry.oid):
            hasher.update(piece)
            write_all(descriptor, piece)
    finally:
        os.close(descriptor)
    digest = hasher.digest()
    if digest.md5 != entry.oid:
        raise MissingDataError(
            f"{entry.path}: the object {entry.oid} has other bytes (their md5 is {digest.md5})",
            hint="remove it from the cache and run `gitdata pull`",
        )
    return digest
