"""What every object store promises, whatever it is made of: one suite for all of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gitdata.backends.objects import ObjectStore
from gitdata.errors import InvalidInputError, MissingDataError

KEY = "files/md5/ab/cdef0123456789abcdef0123456789"
BIG = 9 * 1024 * 1024 + 17  # more than one part of a multipart upload


def write_file(path: Path, data: bytes) -> str:
    path.write_bytes(data)
    return hashlib.md5(data).hexdigest()


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 5000], ids=["empty", "one", "some"])
def test_what_is_written_is_read(store: ObjectStore, data: bytes) -> None:
    store.write(KEY, data)
    assert store.read(KEY) == data
    assert b"".join(store.stream(KEY)) == data
    info = store.head(KEY)
    assert info is not None
    assert (info.key, info.size) == (KEY, len(data))
    assert info.modified > 1_500_000_000


@pytest.mark.parametrize("size", [0, 1, BIG], ids=["empty", "one", "parts"])
def test_an_uploaded_file_is_read(store: ObjectStore, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    md5 = write_file(tmp_path / "file", data)
    store.upload(KEY, tmp_path / "file", md5)
    assert store.read(KEY) == data


@pytest.mark.parametrize("size", [1, BIG], ids=["one", "parts"])
def test_an_upload_of_other_bytes_stores_nothing(store: ObjectStore, tmp_path: Path, size: int) -> None:
    write_file(tmp_path / "file", os.urandom(size))
    with pytest.raises(InvalidInputError, match="not 00000000000000000000000000000000"):
        store.upload(KEY, tmp_path / "file", "0" * 32)
    assert store.head(KEY) is None
    assert list(store.list("")) == []


def test_a_missing_object_is_missing(store: ObjectStore) -> None:
    assert store.head(KEY) is None
    with pytest.raises(MissingDataError, match=KEY):
        store.read(KEY)
    with pytest.raises(MissingDataError, match=KEY):
        next(store.stream(KEY))
    store.delete(KEY)
    assert list(store.list("files/")) == []


def test_a_folder_is_no_object(store: ObjectStore) -> None:
    store.write(KEY, b"x")
    with pytest.raises(MissingDataError):
        store.read("files/md5/ab")


def test_a_key_is_written_twice_and_deleted(store: ObjectStore) -> None:
    store.write("gitdata/v1/main/live/job", b"first")
    store.write("gitdata/v1/main/live/job", b"second")
    assert store.read("gitdata/v1/main/live/job") == b"second"
    store.delete("gitdata/v1/main/live/job")
    assert store.head("gitdata/v1/main/live/job") is None


def test_a_listing_has_what_is_below_the_prefix(store: ObjectStore) -> None:
    keys = {"gitdata/v1/main/runs/a/1", "gitdata/v1/main/runs/a/2", "gitdata/v1/main/runs/b/1", "gitdata/v1/x", "z"}
    for key in keys:
        store.write(key, key.encode())
    assert {info.key for info in store.list("")} == keys
    assert {info.key for info in store.list("gitdata/v1/main/runs/a/")} == {k for k in keys if "/a/" in k}
    assert {info.size for info in store.list("gitdata/v1/x/")} == set()
    assert [info.size for info in store.list("gitdata/v1/main/runs/b/")] == [len("gitdata/v1/main/runs/b/1")]


def test_a_listing_is_longer_than_a_page(store: ObjectStore, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """1000 keys are a page of S3. They are put there from behind: this is about listing."""
    store.write("many/0/0", b"")
    if hasattr(store, "root"):
        folder = tmp_path / "remote/many/0"
    else:
        bucket = store.url.split("/")[2]
        folder = request.getfixturevalue("s3").folder / bucket / "some/prefix/many/0"
    for number in range(1, 1100):
        (folder / str(number)).write_bytes(b"")
    assert {info.key for info in store.list("many/")} == {f"many/0/{number}" for number in range(1100)}


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../../up", "a//b", "a/./b", "a/", "nul\0"])
def test_a_key_that_is_no_key_is_refused(store: ObjectStore, tmp_path: Path, key: str) -> None:
    (tmp_path / "up").write_text("outside")
    for call in (store.read, store.head, store.delete):
        with pytest.raises(InvalidInputError, match="not a key"):
            call(key)
    with pytest.raises(InvalidInputError, match="not a key"):
        store.write(key, b"")
    assert (tmp_path / "up").read_text() == "outside"


def test_names_need_no_escaping(store: ObjectStore) -> None:
    key = "gitdata/v1/local/jürgen +%20&=?#/x"
    store.write(key, b"x")
    assert [info.key for info in store.list("gitdata/v1/local/")] == [key]
    assert store.read(key) == b"x"
