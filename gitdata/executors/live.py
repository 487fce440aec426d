"""Reading what workers tell of their shards while they work (``formats.live``).

Used by executors and by the controller. For people only: what cannot be read is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from gitdata.backends.objects import ObjectStore
from gitdata.errors import GitdataError, MissingDataError
from gitdata.formats.keys import live_shards_prefix
from gitdata.formats.live import LiveShard, parse_live_shard

_SECONDS = 2.0
_MOST_BYTES = 256 << 10  # an agent writes a few numbers and 16 KiB of text


def read_shards(
    store: ObjectStore, zone: str, job: str, before: dict[str, tuple[float, LiveShard]] | None = None
) -> dict[int, LiveShard]:
    """Shard -> what was told of it last. before: what was read earlier, which is brought up to date."""
    known = {} if before is None else before
    found = {}
    for info in store.list(live_shards_prefix(zone, job)):
        name = info.key.rpartition("/")[2]
        if not (name.isascii() and name.isdecimal()) or info.size > _MOST_BYTES:
            continue
        if info.key not in known or known[info.key][0] != info.modified:
            try:
                shard = parse_live_shard(store.read(info.key))
            except MissingDataError:  # the job has just ended
                continue
            if shard is None:
                continue
            known[info.key] = info.modified, shard
        found[int(name)] = known[info.key][1]
    return found


class LiveReader:
    """Asks a store little: a job's shards once in a few seconds, and of those what was written since."""

    def __init__(self, open_store: Callable[[], ObjectStore], zone: str) -> None:
        self._open, self._zone = open_store, zone
        self._store: ObjectStore | None = None
        self._known: dict[str, dict[str, tuple[float, LiveShard]]] = {}
        self._found: dict[str, tuple[float, dict[int, LiveShard]]] = {}

    def shards(self, job: str) -> dict[int, LiveShard]:
        """What is known; a store that cannot be asked keeps it as it was."""
        at, found = self._found.get(job, (0.0, {}))
        if not at or time.monotonic() - at >= _SECONDS:
            with suppress(GitdataError):
                self._store = self._store or self._open()
                found = read_shards(self._store, self._zone, job, self._known.setdefault(job, {}))
            self._found[job] = time.monotonic(), found
        return found

    def forget(self, job: str) -> None:
        self._known.pop(job, None)
        self._found.pop(job, None)


def remove_shards(store: ObjectStore, zone: str, job: str) -> None:
    for info in list(store.list(live_shards_prefix(zone, job))):
        store.delete(info.key)
