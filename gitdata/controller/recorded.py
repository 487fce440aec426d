"""Recorded: reading back what workers and controllers wrote of runs: the datum index and the run records.

Called by ``facts`` while planning, by ``jobs`` and ``lineage`` for people. What is new is fetched many objects at once:
one by one, a store with latency would take minutes. ``known`` is the caller's cache of what it read before, which may
forget at any time; objects are named by their content, so it is never stale. What has other bytes than its name says is
left out as if it were not there: its datums are done again. Writes nothing and decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gitdata.backends.objects import ObjectStore
from gitdata.data.reading import read_sound
from gitdata.formats.index import IndexObject, parse_index
from gitdata.formats.keys import datum_prefix, index_name, run_record_name, runs_prefix
from gitdata.formats.records import RunRecord, parse_record
from gitdata.identity import sha256

_AT_ONCE = 16

_T = TypeVar("_T")
_R = TypeVar("_R")


def many(work: Callable[[_T], _R], items: Iterable[_T]) -> list[_R]:
    """``map`` over threads, in order; raises the first error."""
    todo = list(items)
    if len(todo) < 2:
        return [work(item) for item in todo]
    with ThreadPoolExecutor(min(_AT_ONCE, len(todo))) as pool:
        return list(pool.map(work, todo))


def read_named(store: ObjectStore, key: str, damaged: set[str] | None = None) -> bytes | None:
    """The bytes of an object whose key ends in their sha256; None, and the key in ``damaged``, if others lie there."""
    data = read_sound(store, key, lambda data: key.endswith(sha256(data)))
    if data is None and damaged is not None:
        damaged.add(key)
    return data


def read_index(
    store: ObjectStore,
    zones: Sequence[str],
    stage_key: str,
    known: dict[str, IndexObject],
    *,
    replaced: bool = False,
    damaged: set[str] | None = None,
) -> dict[str, IndexObject]:
    """The segments and packs of a stage key by name: newest packs first, without what they replace.

    replaced: these too, for what earlier attempts came to. damaged: gets the keys of objects that are left out.
    """
    infos = {}
    for zone in zones:
        for info in store.list(datum_prefix(zone, stage_key)):
            name = index_name(info.key)
            if name is not None:
                infos[name] = info

    def read(name: str) -> IndexObject | None:
        found = known.get(name)  # once: other threads share it
        if found is not None:
            return found
        data = read_named(store, infos[name].key, damaged)
        return None if data is None else parse_index(data, infos[name].key)

    found: dict[str, IndexObject] = {}
    taken: set[str] = set()
    packs = [name for name in infos if name.startswith("pack-")]
    for name in sorted(packs, key=lambda name: (infos[name].modified, name), reverse=True):
        pack = read(name) if replaced or name not in taken else None
        if pack is not None:
            found[name] = pack
            taken.update(pack.replaces)
    segments = [name for name in infos if name.startswith("seg-") and (replaced or name not in taken)]
    found |= {name: o for name, o in zip(segments, many(read, segments), strict=True) if o is not None}
    if not replaced:
        for name in taken:
            known.pop(name, None)
            found.pop(name, None)
    for name, read_now in found.items():
        known[name] = read_now
    return found


def read_records(
    store: ObjectStore,
    zones: Sequence[str],
    run_key: str,
    known: dict[str, RunRecord],
    *,
    damaged: set[str] | None = None,
) -> dict[str, RunRecord]:
    """The records of a run by name. damaged: gets the keys of those that are left out."""
    keys = {}
    for zone in zones:
        for info in store.list(runs_prefix(zone, run_key)):
            parts = run_record_name(info.key)
            if parts is not None:
                keys[parts[1]] = info.key
    found = {name: record for name in keys if (record := known.get(name))}
    new = [name for name in keys if name not in found]
    read = many(lambda name: read_named(store, keys[name], damaged), new)
    for name, data in zip(new, read, strict=True):
        if data is not None:
            found[name] = known[name] = parse_record(data, keys[name])
    return found
