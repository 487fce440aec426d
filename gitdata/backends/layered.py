"""Two stores as one: what is written goes to the upper, what is read comes from the upper or else the lower.

Used by ``gitdata run`` (the cache over the remote), which must work without writing to the remote. Never writes below.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gitdata.backends.objects import ObjectInfo, ObjectStore
from gitdata.errors import MissingDataError


class LayeredStore:
    """An ``ObjectStore`` over two. Keys in both are listed once: a key names its content."""

    def __init__(self, upper: ObjectStore, lower: ObjectStore) -> None:
        self._upper, self._lower = upper, lower
        self.url = upper.url

    def read(self, key: str) -> bytes:
        try:
            return self._upper.read(key)
        except MissingDataError:
            return self._lower.read(key)

    def stream(self, key: str) -> Iterator[bytes]:
        yield from (self._upper if self._upper.head(key) else self._lower).stream(key)

    def write(self, key: str, data: bytes) -> None:
        self._upper.write(key, data)

    def upload(self, key: str, path: Path, md5: str) -> None:
        self._upper.upload(key, path, md5)

    def head(self, key: str) -> ObjectInfo | None:
        return self._upper.head(key) or self._lower.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        seen = set()
        for info in self._upper.list(prefix):
            seen.add(info.key)
            yield info
        yield from (info for info in self._lower.list(prefix) if info.key not in seen)

    def delete(self, key: str) -> None:
        self._upper.delete(key)

    def fresh(self) -> LayeredStore:
        return LayeredStore(self._upper.fresh(), self._lower.fresh())
