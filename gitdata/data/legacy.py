"""The objects of DVC 2, which have no ``files/md5`` in their keys: sent as they are, so that `dvc pull` finds them.

Called by ``sending`` and ``lacking``. Their names are md5 sums of text with its line ends changed, so that bytes cannot
be checked against them; gitdata brings none of them into a workspace.
"""

from __future__ import annotations

from pathlib import Path

from gitdata.backends.objects import ObjectStore
from gitdata.data.cache import Cache
from gitdata.data.hashing import hash_file
from gitdata.data.transfer import Transferred
from gitdata.formats.dvcdir import parse_dir


def send_legacy(store: ObjectStore, cache: Cache, oid: str, path: str) -> tuple[Transferred, list[tuple[str, str]]]:
    """Send one output; and (path, oid) of what is neither here nor there. The listing of a folder goes last."""
    moved = size = present = 0
    lost: list[tuple[str, str]] = []
    for name, one, key, file in legacy_objects(store, cache, oid, path):
        if store.head(key) is not None:
            present += 1
        elif file is None:
            lost.append((name, one))
        elif not lost:
            digest = hash_file(file)
            store.upload(key, file, digest.md5)
            moved, size = moved + 1, size + digest.size
    return Transferred(moved, size, present), lost


def legacy_objects(store: ObjectStore, cache: Cache, oid: str, path: str) -> list[tuple[str, str, str, Path | None]]:
    """(path, oid, key, file in the cache or None) of all objects of an output, as far as its listing is to be had."""
    objects = [(path, oid)]
    if oid.endswith(".dir"):
        file = cache.folder / _key(oid)
        if file.is_file() or store.head(_key(oid)) is not None:
            listing = parse_dir(file.read_bytes() if file.is_file() else store.read(_key(oid)), oid)
            objects = [(f"{path}/{entry.path}", entry.oid) for entry in listing] + objects
    found = []
    for name, one in objects:
        file = cache.folder / _key(one)
        found.append((name, one, _key(one), file if file.is_file() else None))
    return found


def _key(oid: str) -> str:
    return f"{oid[:2]}/{oid[2:]}"
