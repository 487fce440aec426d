"""Reading what workers tell of their shards while they work (``formats.live``).

Used by executors and by the controller. For people only: what cannot be read is left out.
"""

from __future__ import annotations

from gitdata.backends.objects import ObjectStore
from gitdata.errors import MissingDataError
from gitdata.formats.keys import live_shards_prefix
from gitdata.formats.live import LiveShard, parse_live_shard


def read_shards(
    store: ObjectStore, zone: str, job: str, before: dict[str, tuple[float, LiveShard]] | None = None
) -> dict[int, LiveShard]:
    """Shard -> what was told of it last. before: what was read earlier, which is brought up to date."""
    known = {} if before is None else before
    found = {}
    for info in store.list(live_shards_prefix(zone, job)):
        name = info.key.rpartition("/")[2]
        if not (name.isascii() and name.isdecimal()):
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


def remove_shards(store: ObjectStore, zone: str, job: str) -> None:
    for info in list(store.list(live_shards_prefix(zone, job))):
        store.delete(info.key)
