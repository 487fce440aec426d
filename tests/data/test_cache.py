"""The cache: whole objects, mode 0444, nothing unverified, no twin."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gitdata.data.batch import FLUSH_AT, Batch
from gitdata.data.cache import Cache, Writer
from gitdata.data.hashing import hash_bytes
from gitdata.errors import GitdataError, InvalidInputError, MissingDataError
from gitdata.formats.dvc import dir_oid, dump_dir
from gitdata.model import Entry

# Two contents with one md5 (the well-known pair of 128 bytes).
TWIN = bytes.fromhex(
    "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f89"
    "55ad340609f4b30283e488832571415a085125e8f7cdc99fd91dbdf280373c5b"
    "d8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
    "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
)
TWIN_2 = bytearray(TWIN)
for _at in (19, 45, 59, 83, 109, 123):
    TWIN_2[_at] ^= 0x80


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


def files(cache: Cache) -> list[Path]:
    return [path for path in cache.folder.rglob("*") if path.is_file()]


def test_a_file_is_kept(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 3_000_000)
    before = (tmp_path / "f").stat()
    digest = cache.add_file(tmp_path / "f")
    assert digest == hash_bytes(b"x" * 3_000_000)
    assert files(cache) == [cache.folder / "files/md5" / digest.md5[:2] / digest.md5[2:]]
    assert stat.S_IMODE(files(cache)[0].stat().st_mode) == 0o444
    assert cache.has(digest.md5)
    assert cache.read(digest.md5) == b"x" * 3_000_000
    after = (tmp_path / "f").stat()
    assert (before.st_ino, before.st_ctime_ns, before.st_nlink) == (after.st_ino, after.st_ctime_ns, after.st_nlink)


def test_a_listing_is_kept(cache: Cache) -> None:
    data = dump_dir([Entry("a", "a" * 32)])
    cache.add_bytes(data, directory=True)
    assert cache.listing(dir_oid(data)) == (Entry("a", "a" * 32),)
    assert not cache.has(dir_oid(data).removesuffix(".dir"))


def test_what_is_not_there_is_missing(cache: Cache) -> None:
    assert not cache.has("a" * 32)
    assert cache.size("a" * 32) is None
    with pytest.raises(MissingDataError, match="a" * 32):
        cache.read("a" * 32)
    with pytest.raises(InvalidInputError):
        cache.path("../" + "a" * 29)


def test_a_writable_object_is_read_before_it_is_believed(cache: Cache) -> None:
    oid = cache.add_bytes(b"x").md5
    cache.path(oid).chmod(0o644)
    assert cache.has(oid)
    assert stat.S_IMODE(cache.path(oid).stat().st_mode) == 0o444
    cache.path(oid).chmod(0o644)
    cache.path(oid).write_bytes(b"damaged")
    assert not cache.has(oid)


def test_an_object_that_is_being_written_is_not_there(cache: Cache) -> None:
    """For a moment, DVC leaves an empty file of another mode under the final name."""
    oid = hash_bytes(b"x").md5
    cache.path(oid).parent.mkdir(parents=True)
    cache.path(oid).touch()
    assert not cache.has(oid)


def test_a_damaged_object_is_healed_by_adding_again(cache: Cache) -> None:
    oid = cache.add_bytes(b"good").md5
    cache.path(oid).chmod(0o644)
    cache.path(oid).write_bytes(b"bad!")
    cache.path(oid).chmod(0o444)
    assert cache.add_bytes(b"good").md5 == oid
    assert cache.read(oid) == b"good"


def test_a_symlink_in_the_cache_is_not_an_object(cache: Cache, tmp_path: Path) -> None:
    oid = hash_bytes(b"x").md5
    (tmp_path / "elsewhere").write_bytes(b"x")
    cache.path(oid).parent.mkdir(parents=True)
    cache.path(oid).symlink_to(tmp_path / "elsewhere")
    assert not cache.has(oid)
    cache.add_bytes(b"x")
    assert not cache.path(oid).is_symlink()


def test_two_contents_with_one_md5_are_an_error(cache: Cache, tmp_path: Path) -> None:
    assert hashlib.md5(TWIN).digest() == hashlib.md5(TWIN_2).digest()
    oid = cache.add_bytes(TWIN).md5
    (tmp_path / "twin").write_bytes(TWIN_2)
    with pytest.raises(GitdataError, match="two different contents"):
        cache.add_file(tmp_path / "twin")
    assert cache.read(oid) == TWIN
    assert len(files(cache)) == 1


def write_and(cache: Cache, then: Callable[[Writer], object]) -> None:
    with cache.writer() as writer:
        writer.write(b"x")
        then(writer)


def test_an_error_while_writing_leaves_nothing(cache: Cache) -> None:
    with pytest.raises(ZeroDivisionError):
        write_and(cache, lambda writer: 1 / 0)
    with pytest.raises(MissingDataError, match="b" * 32):
        write_and(cache, lambda writer: writer.keep(expect="b" * 32))
    assert files(cache) == []


def test_what_is_no_file_is_refused(cache: Cache, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidInputError, match="pipe"):
        cache.add_file(tmp_path / "pipe")


def test_a_shared_cache_is_writable_for_the_group(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", shared=True)
    oid = cache.add_bytes(b"x").md5
    made = cache.path(oid).parents[:4]  # from the first two digits up to the cache itself
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in made} == {0o2775}
    assert stat.S_IMODE(cache.path(oid).stat().st_mode) == 0o444


def test_a_batch_names_its_objects_at_the_end(cache: Cache) -> None:
    with cache.batch():
        oids = [cache.add_bytes(text).md5 for text in (b"1", b"2", b"1")]
        assert not any(cache.has(oid) for oid in oids)
    assert [cache.read(oid) for oid in oids] == [b"1", b"2", b"1"]
    assert len(files(cache)) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in files(cache)} == {0o444}


def add_in_a_batch(cache: Cache, *texts: bytes) -> None:
    with cache.batch():
        for text in texts:
            cache.add_bytes(text)


def test_a_batch_that_fails_keeps_what_was_finished_and_twins_in_it_are_seen(cache: Cache) -> None:
    with pytest.raises(GitdataError, match="two different contents"):
        add_in_a_batch(cache, b"1", TWIN, bytes(TWIN_2), b"2")
    assert {path.read_bytes() for path in files(cache)} == {b"1", TWIN}
    assert [path for path in (cache.folder / "files/md5").iterdir() if path.name.startswith(".")] == []


def test_a_long_batch_names_objects_now_and_then(cache: Cache) -> None:
    with cache.batch():
        for number in range(FLUSH_AT):
            cache.add_bytes(str(number).encode())
        late = cache.add_bytes(b"one more").md5
        assert (
            sum(path.stat().st_mode & 0o777 == 0o444 and path.parent.name != "md5" for path in files(cache)) == FLUSH_AT
        )
        assert not cache.has(late)


@pytest.mark.parametrize("most", [{"most_bytes": 5}, {"most_files": 2}, {"most_seconds": 1}], ids=str)
def test_what_waits_long_or_is_much_gets_its_name(tmp_path: Path, most: dict[str, Any]) -> None:
    batch = Batch(tmp_path, **most)
    for name in ("a", "b"):
        (tmp_path / f".{name}.tmp").write_bytes(b"123")
        batch.add(tmp_path / f".{name}.tmp", tmp_path / name, hash_bytes(b"123"))
        if name == "a":
            assert not (tmp_path / "a").exists()
            time.sleep(most.get("most_seconds", 0) * 1.1)
    assert (tmp_path / "a").exists()
    assert (tmp_path / "b").exists()


def test_a_writer_that_takes_long_holds_up_no_other(cache: Cache) -> None:
    with cache.batch(most_seconds=0.02):
        oid = cache.add_bytes(b"done").md5
        time.sleep(0.05)
        with cache.writer() as slow:
            slow.write(b"a piece of much")
            assert cache.has(oid)


def test_what_a_killed_process_left_is_swept_and_a_living_one_keeps_its_own(cache: Cache) -> None:
    folder = cache.folder / "files/md5"
    folder.mkdir(parents=True)
    for name, age in ((".aa.tmp", 7200), (".bb.tmp", 60)):
        (folder / name).write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    with cache.batch():
        cache.add_bytes(b"whole")
    assert [path.name for path in folder.iterdir() if path.is_file()] == [".bb.tmp"]
