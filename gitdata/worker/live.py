"""Telling how far a shard is while it is being worked through. Used by the agent of a pod.

A thread of its own writes it every few seconds, so that a slow store keeps no datum waiting; a shard that is done
sooner than that is never told of. It is for people: what cannot be written is left out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from gitdata.backends.objects import ObjectStore
from gitdata.errors import GitdataError
from gitdata.formats.live import LiveShard, dump_live_shard

_TAIL = 16 << 10


class LiveWriter:
    """Writes one shard's object. tail: the last bytes that the command in hand has printed."""

    def __init__(self, store: ObjectStore, key: str, tail: Callable[[int], bytes], seconds: float) -> None:
        self._store, self._key, self._tail, self._seconds = store, key, tail, seconds
        self._lock = threading.Lock()
        self._shard = LiveShard()
        self._written = b""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="live", daemon=True)
        self._thread.start()

    def tell(self, **changes: Any) -> None:
        """Fields of LiveShard that are other now."""
        with self._lock:
            self._shard = replace(self._shard, **changes)

    def began(self, datum: str, tries: int) -> None:
        self.tell(datum=datum, tries=tries)

    def close(self, *, keep: bool) -> None:
        """The last words, if there were any before; without ``keep`` there shall be none: the pod was told to end."""
        self._done.set()
        self._thread.join(self._seconds)
        if not self._written or self._thread.is_alive():
            return
        if keep:
            self.tell(datum="", tries=0)
            self._write()
        else:
            with suppress(GitdataError, OSError):
                self._store.delete(self._key)

    def _work(self) -> None:
        while not self._done.wait(self._seconds):
            self._write()

    def _write(self) -> None:
        with self._lock:
            shard = self._shard
        with suppress(GitdataError, OSError):
            text = self._tail(_TAIL).decode(errors="replace") if shard.datum else ""
            data = dump_live_shard(replace(shard, tail=text))
            if data != self._written:
                self._store.write(self._key, data)
                self._written = data
