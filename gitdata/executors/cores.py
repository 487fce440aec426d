"""Which job may use a core next. Called by executors.local_job before every shard.

Fair between jobs: the waiting job that holds the fewest cores goes first, then the one that waited longest. A job of
a thousand datums therefore cannot keep a job of one datum waiting for longer than a shard.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition


class Cores:
    """``count`` cores for all jobs of an executor."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._held: Counter[str] = Counter()
        self._waiting: dict[int, str] = {}
        self._tickets = itertools.count()
        self._changed = Condition()

    @contextmanager
    def held(self, job: str, stopped: Callable[[], bool]) -> Iterator[bool]:
        """Wait for a core and hold it. Yields False, without one, as soon as ``stopped`` says so (see ``wake``)."""
        with self._changed:
            ticket = next(self._tickets)
            self._waiting[ticket] = job
            self._changed.wait_for(lambda: stopped() or (self._free > 0 and self._next() == ticket))
            del self._waiting[ticket]
            granted = not stopped()
            if granted:
                self._free -= 1
                self._held[job] += 1
            self._changed.notify_all()
        try:
            yield granted
        finally:
            if granted:
                with self._changed:
                    self._free += 1
                    self._held[job] -= 1
                    self._changed.notify_all()

    def wake(self) -> None:
        """Let everybody who waits ask again whether it was stopped."""
        with self._changed:
            self._changed.notify_all()

    def _next(self) -> int:
        return min(self._waiting, key=lambda ticket: (self._held[self._waiting[ticket]], ticket))
