"""The results of a worker on their way into the datum index. Called by worker.__main__, also while a command runs.

A segment is written every few seconds or thousand datums, and at the end. The objects that its results name are in
the store before ``add`` is called: an index that names missing bytes must never exist.
"""

from __future__ import annotations

import time

from gitdata.backends.objects import ObjectStore
from gitdata.formats.index import dump_segment, object_name
from gitdata.formats.keys import index_key
from gitdata.model import DatumResult

MAX_RESULTS = 1000


class Segments:
    """Results not yet written, and when to write them."""

    def __init__(self, store: ObjectStore, zone: str, stage_key: str, flush_seconds: float) -> None:
        self._store, self._zone, self._stage_key = store, zone, stage_key
        self._seconds = flush_seconds
        self._waiting: list[DatumResult] = []
        self._since = 0.0

    def add(self, result: DatumResult) -> None:
        if not self._waiting:
            self._since = time.monotonic()
        self._waiting.append(result)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        old = time.monotonic() - self._since >= self._seconds
        if self._waiting and (old or len(self._waiting) >= MAX_RESULTS):
            self.flush()

    def flush(self) -> None:
        """Write what waits. Raises RemoteError; then nothing of it is lost and the next flush tries again."""
        if self._waiting:
            data = dump_segment(self._stage_key, self._waiting)
            self._store.write(index_key(self._zone, self._stage_key, object_name(data)), data)
            self._waiting.clear()
