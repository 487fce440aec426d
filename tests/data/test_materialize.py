"""Listings become files: whole outputs or nothing, and never through a symlink."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitdata.data.hashing import hash_bytes
from gitdata.data.materialize import write_file, write_listing
from gitdata.errors import ConflictError, InvalidInputError, MissingDataError
from gitdata.model import Entry, Listing

CONTENT: dict[str, bytes] = {hash_bytes(text).md5: text for text in (b"one", b"two", b"three", b"")}
ONE, TWO, THREE, EMPTY = CONTENT
WRONG = "d" * 32


def source(oid: str) -> Iterator[bytes]:
    if oid == WRONG:
        yield b"other bytes"
        return
    if oid not in CONTENT:
        raise MissingDataError(f"{oid} is not here")
    yield CONTENT[oid][:2]
    yield CONTENT[oid][2:]


def listing(**files: str) -> Listing:
    return tuple(Entry(path.replace("__", "/"), oid) for path, oid in sorted(files.items()))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_fresh_folder(tmp_path: Path) -> None:
    written = write_listing(listing(a=ONE, b__c=TWO, b__d__e=EMPTY), source, tmp_path / "x/data", within=tmp_path)
    assert tree(tmp_path / "x/data") == {"a": b"one", "b/c": b"two", "b/d/e": b""}
    assert written == tuple(
        Entry(path, oid, len(CONTENT[oid]), False, hash_bytes(CONTENT[oid]).sha256)
        for path, oid in (("a", ONE), ("b/c", TWO), ("b/d/e", EMPTY))
    )
    assert [path.name for path in (tmp_path / "x").iterdir()] == ["data"]


def test_an_empty_listing_is_an_empty_folder(tmp_path: Path) -> None:
    write_listing((), source, tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_folder_that_exists_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/mine").write_text("mine")
    with pytest.raises(ConflictError, match="exists"):
        write_listing(listing(a=ONE), source, tmp_path / "data")
    assert tree(tmp_path / "data") == {"mine": b"mine"}


def test_only_what_changed_is_touched(tmp_path: Path) -> None:
    data = tmp_path / "data"
    old = write_listing(listing(same=ONE, changed=ONE, gone=TWO, sub__gone=TWO), source, data)
    (data / "mine").write_text("mine")
    before = (data / "same").stat()
    new = write_listing(listing(same=ONE, changed=TWO, added__x=THREE), source, data, old=old)
    assert tree(data) == {"same": b"one", "changed": b"two", "added/x": b"three", "mine": b"mine"}
    assert not (data / "sub").exists()
    after = (data / "same").stat()
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)
    assert [entry.sha256 is None for entry in new] == [False, False, True]
    assert [path.name for path in tmp_path.iterdir() if path.name != "home"] == ["data"]


def test_a_file_becomes_a_folder_and_back(tmp_path: Path) -> None:
    data = tmp_path / "data"
    old = write_listing(listing(a=ONE, b__c=TWO), source, data)
    mid = write_listing(listing(a__x__y=ONE, b=TWO), source, data, old=old)
    assert tree(data) == {"a/x/y": b"one", "b": b"two"}
    write_listing(listing(a=ONE, b__c=TWO), source, data, old=mid)
    assert tree(data) == {"a": b"one", "b/c": b"two"}


@pytest.mark.parametrize("new", ["mine", "mine/x", "b", "b/mine"])
def test_what_is_not_ours_is_never_replaced(tmp_path: Path, new: str) -> None:
    data = tmp_path / "data"
    old = write_listing(listing(a=ONE, b__c=TWO), source, data)
    for place in ("mine", "b/mine"):
        (data / place).write_text("mine")
    with pytest.raises(ConflictError):
        write_listing((Entry("a", TWO), Entry(new, TWO)), source, data, old=old)
    assert tree(data) == {"a": b"one", "b/c": b"two", "mine": b"mine", "b/mine": b"mine"}


@pytest.mark.parametrize("bad", [WRONG, "e" * 32], ids=["wrong", "missing"])
@pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "update"])
def test_one_bad_object_changes_nothing(tmp_path: Path, bad: str, fresh: bool) -> None:
    data = tmp_path / "data"
    old = None if fresh else write_listing(listing(a=ONE, z=TWO), source, data)
    with pytest.raises(MissingDataError):
        write_listing(listing(a=TWO, b=THREE, z=bad), source, data, old=old)
    assert data.exists() is not fresh
    if old:
        assert tree(data) == {"a": b"one", "z": b"two"}
    assert not any("gitdata-tmp" in path.name for path in tmp_path.iterdir())


@pytest.mark.parametrize("path", ["../up", "/abs", "a/../../up", ".git/hooks/post-checkout", "a//b"])
def test_hostile_paths_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidInputError, match="refused path"):
        write_listing((Entry(path, ONE),), source, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_symlink_above_the_output_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(ConflictError, match="symlink"):
        write_listing(listing(a=ONE), source, root / "link/data", within=root)
    with pytest.raises(ConflictError, match="symlink"):
        write_file(Entry("f", ONE), source, root / "link/f", within=root)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_symlink_inside_the_output_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    data = tmp_path / "data"
    old = write_listing(listing(a=ONE), source, data)
    (data / "sub").symlink_to(tmp_path / "outside")
    with pytest.raises(ConflictError, match="symlink"):
        write_listing(listing(a=ONE, sub__x=TWO), source, data, old=old)
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_symlink_in_the_place_of_a_file_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("keep")
    data = tmp_path / "data"
    old = write_listing(listing(a=ONE), source, data)
    (data / "a").unlink()
    (data / "a").symlink_to(tmp_path / "target")
    write_listing(listing(a=TWO), source, data, old=old)
    assert (data / "a").read_bytes() == b"two"
    assert not (data / "a").is_symlink()
    assert (tmp_path / "target").read_text() == "keep"


def test_a_single_file(tmp_path: Path) -> None:
    os.umask(0o022)
    done = write_file(Entry("run.sh", ONE, exec=True), source, tmp_path / "sub/run.sh")
    assert done == Entry("run.sh", ONE, 3, True, hash_bytes(b"one").sha256)
    assert stat.S_IMODE((tmp_path / "sub/run.sh").stat().st_mode) == 0o755
    with pytest.raises(ConflictError, match="exists"):
        write_file(Entry("run.sh", TWO), source, tmp_path / "sub/run.sh")
    with pytest.raises(MissingDataError):
        write_file(Entry("run.sh", WRONG), source, tmp_path / "sub/run.sh", replace=True)
    assert (tmp_path / "sub/run.sh").read_bytes() == b"one"
    write_file(Entry("run.sh", TWO), source, tmp_path / "sub/run.sh", replace=True)
    assert (tmp_path / "sub/run.sh").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "sub/run.sh").stat().st_mode) == 0o644
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["run.sh"]
