"""Objects between the cache and a remote, many at once, each verified before it gets its name.

Called by push, pull, the controller and the workers. DVC takes a ``.dir`` on a remote for the proof that all its
members are there, so it goes up last and is never itself believed: every member is asked for. What comes down is hashed
first and named afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias, TypeVar

from gitdata.backends.objects import NotListedError, ObjectStore
from gitdata.data.cache import Cache
from gitdata.data.hashing import hash_bytes
from gitdata.data.reading import read_sound
from gitdata.errors import MissingDataError
from gitdata.formats.dvcdir import MAX_DIR_BYTES, object_key, parse_dir
from gitdata.model import Listing

WORKERS = 16
LIST_FROM = 256  # from so many wanted objects on, listing the prefix is cheaper than asking for each,
LIST_MOST = 64  # unless it holds more than so many for each one wanted: a page of 1,000 is one request, 16 ask at once

Progress: TypeAlias = Callable[[int, int, int], None]
"""(objects done, objects in all, bytes done)."""

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Transferred:
    """objects: how many moved. bytes: their sizes together. present: how many were there already."""

    objects: int
    bytes: int
    present: int


def missing(store: ObjectStore, oids: Iterable[str]) -> set[str]:
    """Those that are not on the remote. A ``.dir`` says nothing about its members: name them too."""
    wanted = set(oids)
    return wanted - object_sizes(store, wanted).keys()


def object_sizes(store: ObjectStore, oids: set[str]) -> dict[str, int]:
    """oid -> size of those that are on the remote."""
    sizes: dict[str, int] = {}
    if len(oids) >= LIST_FROM:
        keys = {object_key(oid): oid for oid in oids}
        try:
            for number, info in enumerate(store.list("files/md5/")):
                if info.key in keys:
                    sizes[keys[info.key]] = info.size
                if number >= LIST_MOST * len(oids):
                    break
            else:
                return sizes
        except NotListedError:
            pass  # then each is asked for
    rest = sorted(oids - sizes.keys())
    found = zip(rest, _each(rest, lambda oid: store.head(object_key(oid))), strict=True)
    return sizes | {oid: info.size for oid, info in found if info is not None}


def push_objects(
    store: ObjectStore, cache: Cache, oids: Iterable[str], progress: Progress | None = None
) -> Transferred:
    """Bring objects to the remote: files and members of directories first, then the ``.dir`` objects.

    Raises MissingDataError before anything moves if one is neither here nor there.
    """
    roots = set(oids)
    listings = {oid: _listing(store, cache, oid) for oid in roots if oid.endswith(".dir")}
    members = {entry.oid for listing in listings.values() for entry in listing}
    files = members | {oid for oid in roots if not oid.endswith(".dir")}
    there = object_sizes(store, files | listings.keys())
    todo = {oid for oid in files | listings.keys() if not _is_there(cache, there, oid)}
    lost = sorted(oid for oid in todo if not cache.has(oid))
    if lost:
        raise MissingDataError(
            f"{len(lost)} objects are neither in the cache nor on {store.url}, the first is {lost[0]}",
            hint="bring the files back and run `gitdata add` on them",
        )
    count = _Count(len(todo), progress)

    def send(oid: str) -> None:
        path = cache.path(oid)
        store.upload(object_key(oid), path, oid.removesuffix(".dir"))
        count.add(path.stat().st_size)

    _all(sorted(todo - listings.keys()), send)
    _all(sorted(todo & listings.keys()), send)
    return Transferred(len(todo), count.bytes, len(files | listings.keys()) - len(todo))


def _is_there(cache: Cache, there: dict[str, int], oid: str) -> bool:
    """An object of another size than ours is not the object; -1: the server did not say it."""
    size = cache.size(oid)
    return oid in there and (size is None or there[oid] in (size, -1))


def _listing(store: ObjectStore, cache: Cache, oid: str) -> Listing:
    return cache.listing(oid) if cache.has(oid) else read_listing(store, oid)


def pull_objects(
    store: ObjectStore, cache: Cache, oids: Iterable[str], progress: Progress | None = None
) -> Transferred:
    """Bring objects to the cache: members first, then the ``.dir`` objects.

    Raises MissingDataError if the remote has not one of them or has other bytes under its name; what came stays.
    """
    roots = set(oids)
    known = {oid for oid in roots if oid.endswith(".dir") and cache.has(oid)}
    fresh = sorted(oid for oid in roots if oid.endswith(".dir") and oid not in known)
    bodies = dict(zip(fresh, _each(fresh, lambda oid: read_object(store, oid)), strict=True))
    listings = [cache.listing(oid) for oid in known] + [parse_dir(body, oid) for oid, body in bodies.items()]
    files = {entry.oid for listing in listings for entry in listing}
    files |= {oid for oid in roots if not oid.endswith(".dir")}
    todo = sorted(oid for oid in files if not cache.has(oid))
    count = _Count(len(todo) + len(bodies), progress)

    def bring(store: ObjectStore, oid: str) -> None:
        with cache.writer() as writer:
            for piece in store.stream(object_key(oid)):
                writer.write(piece)
            count.add(writer.keep(expect=oid).size)

    def fetch(oid: str) -> None:
        try:
            bring(store, oid)
        except MissingDataError:  # other bytes, perhaps, which the network may have made of them
            bring(store.fresh(), oid)

    with cache.batch():
        _all(todo, fetch)
    for body in bodies.values():
        count.add(cache.add_bytes(body, directory=True).size)
    return Transferred(count.total, count.bytes, len(files) + len(known) - len(todo))


def read_listing(store: ObjectStore, oid: str) -> Listing:
    """A ``.dir`` of the remote, verified and checked."""
    return parse_dir(read_object(store, oid), oid)


def read_object(store: ObjectStore, oid: str) -> bytes:
    """The bytes of an object, verified. Raises MissingDataError where it is not there, or damaged there."""
    data = read_sound(store, object_key(oid), lambda data: hash_bytes(data).md5 == oid.removesuffix(".dir"), _read)
    if data is None:
        raise MissingDataError(
            f"{oid} on {store.url} has other bytes under its name",
            hint="the remote is damaged: delete that object and push the data again from a clone that has it",
        )
    return data


def _read(store: ObjectStore, key: str) -> bytes:
    pieces, size = [], 0
    for piece in store.stream(key):
        pieces.append(piece)
        size += len(piece)
        if size > MAX_DIR_BYTES:
            raise MissingDataError(f"{key} on {store.url} is too big for a directory listing")
    return b"".join(pieces)


class _Count:
    """How far a transfer is."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.done, self.bytes = total, 0, 0
        self._progress = progress
        self._lock = Lock()

    def add(self, size: int) -> None:
        with self._lock:
            self.done += 1
            self.bytes += size
            if self._progress:
                self._progress(self.done, self.total, self.bytes)


def _all(items: Iterable[_T], work: Callable[[_T], None]) -> None:
    for _ in _each(items, work):
        pass


def _each(items: Iterable[_T], work: Callable[[_T], _R]) -> Iterator[_R]:
    """``map`` over threads, in order; the first error stops what has not begun."""
    todo = list(items)
    if len(todo) <= 1:
        yield from map(work, todo)
        return
    with ThreadPoolExecutor(min(WORKERS, len(todo))) as pool:
        futures = [pool.submit(work, item) for item in todo]
        try:
            for future in futures:
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
