"""Several remotes as one to read from: the default one, and for objects that it lacks those that pointers name.

Used by ``run`` and ``plan`` on a person's machine. Never writes; only objects are looked for beside the default one,
so that nobody else's records count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gitdata.backends.objects import ObjectInfo, ObjectStore
from gitdata.errors import ConflictError

_OBJECTS = "files/md5/"


class BesideStore:
    """first: the default remote. others: opened only when an object is not there."""

    def __init__(self, first: ObjectStore, others: Sequence[Callable[[], ObjectStore]]) -> None:
        self.first, self.others = first, others
        self.url = first.url

    def read(self, key: str) -> bytes:
        return self._holder(key).read(key)

    def stream(self, key: str) -> Iterator[bytes]:
        return self._holder(key).stream(key)

    def head(self, key: str) -> ObjectInfo | None:
        return self._holder(key).head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self.first.list(prefix)

    def write(self, key: str, data: bytes) -> None:
        raise ConflictError(f"{self.url}: {key} is not written from here")

    def upload(self, key: str, path: Path, md5: str) -> None:
        raise ConflictError(f"{self.url}: {key} is not written from here")

    def delete(self, key: str) -> None:
        raise ConflictError(f"{self.url}: {key} is not removed from here")

    def fresh(self) -> BesideStore:
        return BesideStore(self.first.fresh(), self.others)

    def _holder(self, key: str) -> ObjectStore:
        if self.others and key.startswith(_OBJECTS) and self.first.head(key) is None:
            for opened in self.others:
                store = opened()
                if store.head(key) is not None:
                    return store
        return self.first
