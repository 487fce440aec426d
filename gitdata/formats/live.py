"""What a worker tells of a shard while it works: advisory, overwritten every few seconds, removed when the job ends.

Written by the agent of a pod (``worker.live``), read by executors and by ``gitdata job logs``. Nobody decides by it,
and a reader takes what it cannot read for nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from gitdata.identity import canonical

_MOST = 1 << 53


@dataclass(frozen=True, slots=True)
class LiveShard:
    """How far a shard is. datum: in hand, "" for none, at its ``tries``-th try. tail: the end of what it printed."""

    datum: str = ""
    tries: int = 0
    processed: int = 0
    failed: int = 0
    recovered: int = 0
    bytes_down: int = 0
    bytes_up: int = 0
    tail: str = ""


_NUMBERS = ("tries", "processed", "failed", "recovered", "bytes_down", "bytes_up")


def dump_live_shard(shard: LiveShard) -> bytes:
    numbers = {name: getattr(shard, name) for name in _NUMBERS}
    return canonical({"v": 1, "datum": shard.datum, "tail": shard.tail, **numbers})


def parse_live_shard(data: bytes) -> LiveShard | None:
    """What the bytes say, None where that cannot be read."""
    try:
        body = json.loads(data)
        numbers = {name: body[name] for name in _NUMBERS}
        if all(type(n) is int and 0 <= n < _MOST for n in numbers.values()):
            return LiveShard(datum=str(body["datum"]), tail=str(body["tail"]), **numbers)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    return None
