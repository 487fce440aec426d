"""The stat index: unchanged files are not read, changed ones always are."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from gitdata.data.hashing import hash_bytes
from gitdata.data.statindex import StatIndex


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "git/gitdata/stat.json"


def rest() -> None:
    """Let so much time pass that a change gets another time."""
    time.sleep(0.12)


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, file: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    rest()
    index = StatIndex(file, tmp_path)
    assert index.digest("f") == hash_bytes(b"x")
    index.save()
    again = StatIndex(file, tmp_path)
    assert again.known("f", (tmp_path / "f").stat()) == hash_bytes(b"x")
    row = json.loads(file.read_text())["files"]["f"]
    found = (tmp_path / "f").stat()
    assert row[:4] == [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]
    assert row[4:] == [hash_bytes(b"x").md5, hash_bytes(b"x").sha256]


def test_a_change_that_keeps_size_and_mtime_is_seen(tmp_path: Path, file: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    rest()
    index = StatIndex(file, tmp_path)
    index.digest("f")
    before = path.stat()
    path.write_bytes(b"y")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert index.digest("f") == hash_bytes(b"y")


def test_a_file_replaced_by_another_is_seen(tmp_path: Path, file: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    rest()
    index = StatIndex(file, tmp_path)
    index.digest("f")
    (tmp_path / "g").write_bytes(b"y")
    (tmp_path / "g").rename(tmp_path / "f")
    assert index.digest("f") == hash_bytes(b"y")


def test_a_file_changed_just_now_is_never_believed(tmp_path: Path, file: Path) -> None:
    """A second change within the same tick of the clock would look the same."""
    (tmp_path / "f").write_bytes(b"x")
    index = StatIndex(file, tmp_path)
    index.digest("f")
    assert index.known("f", (tmp_path / "f").stat()) is None
    index.save()
    assert json.loads(file.read_text())["files"] == {}


def test_coarse_times_wait_two_seconds(tmp_path: Path, file: Path) -> None:
    index = StatIndex(file, tmp_path)
    (tmp_path / "f").write_bytes(b"x")
    found = os.stat_result((0o100644, 1, 1, 1, 0, 0, 1, 0, 0, 0), {"st_mtime_ns": 10**18, "st_ctime_ns": 10**18})
    index.record("f", hash_bytes(b"x"), found, started=10**18 + 1_999_999_999)
    assert index.known("f", found) is None
    index.record("f", hash_bytes(b"x"), found, started=10**18 + 2_000_000_001)
    assert index.known("f", found) == hash_bytes(b"x")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"v": 99, "files": {}}', '{"v": 1, "files": []}', "[" * 100_000])
def test_a_damaged_index_is_an_empty_one(tmp_path: Path, file: Path, text: str) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)
    (tmp_path / "f").write_bytes(b"x")
    assert StatIndex(file, tmp_path).digest("f") == hash_bytes(b"x")


def test_damaged_rows_are_read_again(tmp_path: Path, file: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    found = (tmp_path / "f").stat()
    rows: list[object] = [[], 7, None, [found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino]]
    for row in rows:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"v": 1, "files": {"f": row}}))
        assert StatIndex(file, tmp_path).digest("f") == hash_bytes(b"x")


def test_many_files(tmp_path: Path, file: Path) -> None:
    for number in range(50):
        (tmp_path / str(number)).write_text(str(number))
    found = StatIndex(file, tmp_path).hash_many(map(str, range(50)))
    assert found == {str(number): hash_bytes(str(number).encode()) for number in range(50)}


def test_an_error_among_many_comes_through(tmp_path: Path, file: Path) -> None:
    for number in range(20):
        (tmp_path / str(number)).write_text("x")
    with pytest.raises(FileNotFoundError):
        StatIndex(file, tmp_path).hash_many([*map(str, range(20)), "gone"])


def test_forgotten_files_leave_the_index(tmp_path: Path, file: Path) -> None:
    (tmp_path / "d").mkdir()
    for name in ("d/a", "d/b", "da"):
        (tmp_path / name).write_text("x")
    rest()
    index = StatIndex(file, tmp_path)
    index.hash_many(["d/a", "d/b", "da"])
    index.forget("d", ["d/a"])
    index.save()
    assert set(json.loads(file.read_text())["files"]) == {"d/a", "da"}
