"""A dictionary that does not grow without end, for caches of what never changes. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(dict[K, V]):
    """A dictionary of at most ``most`` entries: what is set into a full one finds it emptied.

    What is lost is found out anew, and must be worth no more than the time that takes. Only ``known[key] = value`` is
    bounded, not ``update`` and its like. weigh: for how many entries a value counts; one that is removed or replaced
    counts until all go. Threads that share it use what they set, and ``get``: another may empty it.
    """

    def __init__(self, most: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        super().__init__()
        self.most = most
        self._weigh, self._weight = weigh, 0

    def __setitem__(self, key: K, value: V) -> None:
        if key not in self:
            weight = self._weigh(value)
            if self._weight + weight > self.most:
                self.clear()
                self._weight = 0
            self._weight += weight
        super().__setitem__(key, value)
