"""What is told of shards, where the object is a stranger's."""

from __future__ import annotations

from pathlib import Path

from gitdata.backends.stores import open_store
from gitdata.executors.live import read_shards
from gitdata.formats.keys import live_shard_key
from gitdata.formats.live import LiveShard, dump_live_shard


def test_what_no_agent_wrote_is_left_out(tmp_path: Path) -> None:
    store = open_store(str(tmp_path), {})
    store.write(live_shard_key("main", "copy-1-1", 0), dump_live_shard(LiveShard(processed=3)))
    store.write(live_shard_key("main", "copy-1-1", 1), dump_live_shard(LiveShard(tail="x" * (300 << 10))))
    store.write(live_shard_key("main", "copy-1-1", 2), b'{"v":' * 40_000)
    assert read_shards(store, "main", "copy-1-1") == {0: LiveShard(processed=3)}
