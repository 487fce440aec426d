"""The objects of DVC 2, which have no ``files/md5`` in their keys: sent as they are, so that `dvc pull` finds them.

Called by ``sending`` alone. Their names are md5 sums of text with its line ends changed, so that bytes cannot be
checked against them; gitdata brings none of them into a workspace.
"""

from __future__ import annotations

from gitdata.backends.objects import ObjectStore
from gitdata.data.cache import Cache
from gitdata.data.hashing import hash_file
from gitdata.data.transfer import Transferred
from gitdata.formats.dvcdir import parse_dir


def send_legacy(store: ObjectStore, cache: Cache, oid: str, path: str) -> tuple[Transferred, list[tuple[str, str]]]:
    """Send one output; and (path, oid) of what is neither here nor there. The listing of a folder goes last."""
    objects = [(path, oid)]
    if oid.endswith(".dir"):
        file = cache.folder / _key(oid)
        if file.is_file() or store.head(_key(oid)) is not None:
            listing = parse_dir(file.read_bytes() if file.is_file() else store.read(_key(oid)), oid)
            objects = [(f"{path}/{entry.path}", entry.oid) for entry in listing] + objects
    moved = size = 0
    lost: list[tuple[str, str]] = []
    for name, one in objects:
        file = cache.folder / _key(one)
        if store.head(_key(one)) is not None:
            continue
        if not file.is_file():
            lost.append((name, one))
        elif not lost:
            digest = hash_file(file)
            store.upload(_key(one), file, digest.md5)
            moved, size = moved + 1, size + digest.size
    return Transferred(moved, size, len(objects) - moved - len(lost)), lost


def _key(oid: str) -> str:
    return f"{oid[:2]}/{oid[2:]}"
