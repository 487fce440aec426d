"""A dictionary that does not grow without end, for caches of what never changes. Pure."""

from __future__ import annotations

from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Bounded(dict[K, V]):
    """A dictionary of at most ``most`` entries: what is set into a full one finds it emptied.

    What is lost is found out anew, and must be worth no more than the time that takes. Only ``known[key] = value`` is
    bounded, not ``update`` and its like.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most

    def __setitem__(self, key: K, value: V) -> None:
        if len(self) >= self.most and key not in self:
            self.clear()
        super().__setitem__(key, value)
