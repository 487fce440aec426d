"""What every step of the controller works on: one repository, one store, one trust zone, one executor.

Made by ``gitdata controller`` and ``gitdata run``; holds no state of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gitdata.backends.git import Git
from gitdata.backends.git_records import hide_password
from gitdata.backends.objects import ObjectStore
from gitdata.executors.base import Executor


def _nothing(oids: Iterable[str]) -> None:
    """The workers read the same store."""


@dataclass(frozen=True, slots=True)
class Site:
    """origin: where the repository is fetched from and pushed to. zone: what is written; read_zones: read beside it.

    bring: makes these oids readable for the workers, where ``store`` reads from more places than they do.
    """

    git: Git
    store: ObjectStore
    executor: Executor
    origin: str
    zone: str = "main"
    read_zones: tuple[str, ...] = ()
    bring: Callable[[Iterable[str]], None] = _nothing

    @property
    def repository(self) -> str:
        """The origin as records may show it."""
        return hide_password(self.origin)

    @property
    def owner(self) -> tuple[str, str]:
        """What makes job names of two remotes or zones differ."""
        return hide_password(self.store.url), self.zone

    @property
    def zones(self) -> tuple[str, ...]:
        return (self.zone, *self.read_zones)
