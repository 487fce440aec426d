"""What the data remotes lack of the outputs of a commit, object by object. Looks only; nothing is believed.

Called by ``status --remote``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gitdata.backends.objects import ObjectStore
from gitdata.data.cache import Cache
from gitdata.data.legacy import legacy_objects
from gitdata.data.outgoing import Outgoing
from gitdata.data.repository import Repository
from gitdata.data.transfer import missing, read_listing
from gitdata.errors import GitdataError, MissingDataError


@dataclass(frozen=True, slots=True)
class Lacking:
    """One output that is not whole on its remote. objects: (path, oid, whether it is here); problem: it was not told.

    place: the remote's URL.
    """

    path: str
    place: str
    objects: tuple[tuple[str, str, bool], ...] = ()
    problem: str = ""


def lacking(repo: Repository, outputs: Iterable[Outgoing]) -> list[Lacking]:
    """Those of the outputs that are not whole there, by path. An import need not be."""
    remotes: dict[str, list[Outgoing]] = {}
    for one in outputs:
        if not one.imported:
            remotes.setdefault(one.remote, []).append(one)
    found: list[Lacking] = []
    for remote, wanted in remotes.items():
        try:
            found += _of_remote(repo.remote(remote), repo.cache, wanted)
        except MissingDataError:
            raise
        except GitdataError as error:
            found += [Lacking(one.path, remote, problem=error.message) for one in wanted]
    return sorted(found, key=lambda one: one.path)


def _of_remote(store: ObjectStore, cache: Cache, outputs: list[Outgoing]) -> list[Lacking]:
    objects = {one: _objects(store, cache, one) for one in outputs if not one.legacy}
    gone = missing(store, {oid for pairs in objects.values() for _, oid in pairs})
    found = {one: [(path, oid, cache.has(oid)) for path, oid in pairs if oid in gone] for one, pairs in objects.items()}
    for one in outputs:
        if one.legacy:
            old = legacy_objects(store, cache, one.oid, one.path)
            found[one] = [(path, oid, here is not None) for path, oid, key, here in old if store.head(key) is None]
    return [Lacking(one.path, store.url, tuple(lost)) for one, lost in found.items() if lost]


def _objects(store: ObjectStore, cache: Cache, one: Outgoing) -> list[tuple[str, str]]:
    objects = [(one.path, one.oid)]
    if one.oid.endswith(".dir"):
        try:
            listing = cache.listing(one.oid) if cache.has(one.oid) else read_listing(store, one.oid)
        except MissingDataError:
            return objects
        objects += [(f"{one.path}/{entry.path}", entry.oid) for entry in listing]
    return objects
