"""Transfers: members before ``.dir``, nothing believed, nothing unverified; the same over a folder and S3."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier

import pytest

from gitdata.backends.objects import ObjectInfo, ObjectStore
from gitdata.backends.stores import open_store
from gitdata.data.cache import Cache
from gitdata.data.hashing import hash_bytes
from gitdata.data.transfer import (
    LIST_FROM,
    LIST_MOST,
    Transferred,
    missing,
    pull_objects,
    push_objects,
    read_listing,
    read_object,
)
from gitdata.errors import InvalidInputError, MissingDataError, RemoteError
from gitdata.formats.dvc import dir_oid, dump_dir, object_key
from gitdata.model import Entry


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    if request.param == "folder":
        return open_store(str(tmp_path / "remote"))
    return open_store(f"s3://{request.getfixturevalue('s3').bucket()}/x")


@pytest.fixture
def folder(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "remote"))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def fill(cache: Cache, count: int = 5) -> str:
    """A directory of ``count`` files in the cache; its oid."""
    entries = [Entry(f"f{n}", cache.add_bytes(f"content {n}".encode()).md5) for n in range(count)]
    data = dump_dir(entries)
    cache.add_bytes(data, directory=True)
    return dir_oid(data)


class Journal:
    """A store that writes down what is asked of it, and fails where it is told to."""

    def __init__(self, inner: ObjectStore, fail_on: str = "") -> None:
        self.url = inner.url
        self.calls: list[tuple[str, str]] = []
        self._inner = inner
        self._fail_on = fail_on

    def upload(self, key: str, path: Path, md5: str) -> None:
        self.calls.append(("upload", key))
        if self._fail_on and key.endswith(self._fail_on):
            raise RemoteError("the line is cut", transient=True)
        self._inner.upload(key, path, md5)

    def head(self, key: str) -> ObjectInfo | None:
        self.calls.append(("head", key))
        return self._inner.head(key)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self.calls.append(("list", prefix))
        return self._inner.list(prefix)

    def read(self, key: str) -> bytes:
        return self._inner.read(key)

    def stream(self, key: str) -> Iterator[bytes]:
        return self._inner.stream(key)

    def write(self, key: str, data: bytes) -> None:
        self._inner.write(key, data)

    def delete(self, key: str) -> None:
        self._inner.delete(key)

    def fresh(self) -> ObjectStore:
        return self


class AllAtOnce(Journal):
    """A store that answers when it was asked for all of these: that one fails is no reason not to begin another."""

    def __init__(self, inner: ObjectStore, oids: list[str]) -> None:
        super().__init__(inner)
        self._expected = {object_key(oid) for oid in oids}  # each once: what fails is asked for again
        self._asked = Barrier(len(oids))

    def stream(self, key: str) -> Iterator[bytes]:
        if key in self._expected:
            self._expected.discard(key)
            self._asked.wait(60)
        return super().stream(key)


def test_there_and_back(store: ObjectStore, cache: Cache, tmp_path: Path) -> None:
    oid, single = fill(cache), cache.add_bytes(b"single").md5
    assert push_objects(store, cache, [oid, single]) == Transferred(7, 51 + cache.size(oid), 0)  # type: ignore[operator]
    assert missing(store, [oid, single, "a" * 32]) == {"a" * 32}
    other = Cache(tmp_path / "other")
    assert pull_objects(store, other, [oid, single]).objects == 7
    assert other.listing(oid) == cache.listing(oid) == read_listing(store, oid)
    assert [other.read(entry.oid) for entry in other.listing(oid)] == [f"content {n}".encode() for n in range(5)]
    assert {stat.S_IMODE(path.stat().st_mode) for path in other.folder.rglob("*") if path.is_file()} == {0o444}
    assert push_objects(store, cache, [oid, single]) == Transferred(0, 0, 7)
    assert pull_objects(store, other, [oid, single]) == Transferred(0, 0, 7)


def test_a_dir_goes_after_its_members(folder: ObjectStore, cache: Cache) -> None:
    oid = fill(cache, 30)
    journal = Journal(folder)
    push_objects(journal, cache, [oid])
    uploads = [key for call, key in journal.calls if call == "upload"]
    assert len(uploads) == 31
    assert uploads[-1] == object_key(oid)


def test_no_dir_without_its_members(folder: ObjectStore, cache: Cache) -> None:
    oid = fill(cache, 30)
    victim = cache.listing(oid)[7].oid
    with pytest.raises(RemoteError, match="line is cut"):
        push_objects(Journal(folder, fail_on=victim[2:]), cache, [oid])
    assert folder.head(object_key(oid)) is None
    push_objects(folder, cache, [oid])
    assert missing(folder, [oid, *(entry.oid for entry in cache.listing(oid))]) == set()


def test_a_dir_on_the_remote_proves_nothing(store: ObjectStore, cache: Cache) -> None:
    oid = fill(cache)
    push_objects(store, cache, [oid])
    lost = cache.listing(oid)[2].oid
    store.delete(object_key(lost))
    assert push_objects(store, cache, [oid]).objects == 1
    assert store.read(object_key(lost)) == b"content 2"


def test_an_object_of_another_size_is_sent_again(folder: ObjectStore, cache: Cache) -> None:
    oid = cache.add_bytes(b"whole").md5
    folder.write(object_key(oid), b"wh")
    assert push_objects(folder, cache, [oid]).objects == 1
    assert folder.read(object_key(oid)) == b"whole"


def test_what_is_nowhere_stops_the_push_before_it_begins(folder: ObjectStore, cache: Cache) -> None:
    oid = fill(cache)
    cache.path(cache.listing(oid)[0].oid).unlink()
    with pytest.raises(MissingDataError, match="1 objects are neither in the cache nor on"):
        push_objects(folder, cache, [oid])
    assert list(folder.list("")) == []


def test_a_push_needs_only_what_the_remote_lacks(folder: ObjectStore, cache: Cache) -> None:
    oid = fill(cache)
    push_objects(folder, cache, [oid])
    for entry in cache.listing(oid):
        cache.path(entry.oid).unlink()
    cache.path(oid).unlink()
    assert push_objects(folder, cache, [oid]) == Transferred(0, 0, 6)


def test_a_damaged_cache_is_not_pushed(folder: ObjectStore, cache: Cache) -> None:
    oid = cache.add_bytes(b"good").md5
    cache.path(oid).chmod(0o644)
    cache.path(oid).write_bytes(b"bad!")
    cache.path(oid).chmod(0o444)
    with pytest.raises(InvalidInputError, match="md5"):
        push_objects(folder, cache, [oid])
    assert list(folder.list("")) == []


@pytest.mark.parametrize("victim", ["member", "dir", "single"])
def test_other_bytes_under_a_name_are_not_pulled(store: ObjectStore, cache: Cache, tmp_path: Path, victim: str) -> None:
    oid, single = fill(cache), cache.add_bytes(b"single").md5
    push_objects(store, cache, [oid, single])
    damaged = {"member": cache.listing(oid)[3].oid, "dir": oid, "single": single}[victim]
    store.write(object_key(damaged), b"[]")
    other = Cache(tmp_path / "other")
    with pytest.raises(MissingDataError, match=damaged):
        pull_objects(store, other, [oid, single])
    assert not other.has(damaged)
    assert not other.has(oid)


def test_a_hostile_dir_is_refused_before_a_byte_comes(store: ObjectStore, cache: Cache) -> None:
    data = b'[{"md5": "' + b"a" * 32 + b'", "relpath": "../../evil"}]'
    store.write(object_key(dir_oid(data)), data)
    with pytest.raises(InvalidInputError, match="evil"):
        pull_objects(store, cache, [dir_oid(data)])
    assert not cache.has(dir_oid(data))


def test_a_member_that_is_missing_is_named_and_no_dir_stays(folder: ObjectStore, cache: Cache, tmp_path: Path) -> None:
    oid = fill(cache)
    push_objects(folder, cache, [oid])
    members = [entry.oid for entry in cache.listing(oid)]
    lost = members[2]
    folder.delete(object_key(lost))
    other = Cache(tmp_path / "other")
    with pytest.raises(MissingDataError, match=lost[2:]):
        pull_objects(AllAtOnce(folder, members), other, [oid])
    assert not other.has(oid)
    assert [member for member in members if other.has(member)] == [*members[:2], *members[3:]]  # what came stays


def test_few_are_asked_for_and_many_listed(folder: ObjectStore, cache: Cache) -> None:
    few = Journal(folder)
    missing(few, [f"{n:032x}" for n in range(3)])
    assert [call for call, _ in few.calls] == ["head"] * 3
    many = Journal(folder)
    oids = [f"{n:032x}" for n in range(LIST_FROM)]
    folder.write(object_key(oids[1]), b"x")
    folder.write("files/md5/not an object", b"x")
    assert missing(many, oids) == set(oids) - {oids[1]}
    assert [call for call, _ in many.calls] == ["list"]


def test_a_remote_that_holds_very_much_is_not_listed_to_its_end(folder: ObjectStore) -> None:
    oids = [f"{n:032x}" for n in range(LIST_FROM)]
    listed = 0

    class Endless(Journal):
        def list(self, prefix: str) -> Iterator[ObjectInfo]:
            nonlocal listed
            yield ObjectInfo(object_key(oids[0]), 1, 0.0)
            while True:
                listed += 1
                yield ObjectInfo(f"files/md5/00/{listed:030x}x", 1, 0.0)

    folder.write(object_key(oids[1]), b"x")
    endless = Endless(folder)
    assert missing(endless, oids) == set(oids[2:])
    assert listed <= LIST_MOST * LIST_FROM
    assert [call for call, _ in endless.calls] == ["head"] * (LIST_FROM - 1)


def test_progress(folder: ObjectStore, cache: Cache, tmp_path: Path) -> None:
    oid = fill(cache, 20)
    total = sum(len(f"content {n}") for n in range(20)) + (cache.size(oid) or 0)
    for move in (
        lambda report: push_objects(folder, cache, [oid], report),
        lambda report: pull_objects(folder, Cache(tmp_path / "other"), [oid], report),
    ):
        said: list[tuple[int, int, int]] = []
        move(lambda done, todo, size, said=said: said.append((done, todo, size)))
        assert [done for done, _, _ in said] == list(range(1, 22))
        assert said[-1] == (21, 21, total)


def test_one_object_in_memory(folder: ObjectStore) -> None:
    oid = hash_bytes(b"x").md5
    folder.write(object_key(oid), b"x")
    assert read_object(folder, oid) == b"x"
    folder.write(object_key("b" * 32), b"x")
    with pytest.raises(MissingDataError, match="other bytes"):
        read_object(folder, "b" * 32)
