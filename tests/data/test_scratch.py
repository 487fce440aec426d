"""What is half-written: left out of data, removed once nobody writes it any more."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from gitdata.data.place import place
from gitdata.data.scratch import claim, scratch_name, sweep
from gitdata.data.tree import scan


def test_only_what_nobody_writes_is_swept(tmp_path: Path) -> None:
    here = tmp_path / "here"
    folder, file, mine = here / scratch_name(), here / scratch_name(), here / ".x.gitdata-tmp"
    (folder / "deep").mkdir(parents=True)
    for path in (folder / "deep/a", file, mine):
        path.write_text("half")
    held = [os.open(folder, os.O_RDONLY), os.open(file, os.O_WRONLY)]
    for descriptor in held:
        claim(descriptor)
    sweep(here)
    assert {folder, file, mine} == set(here.iterdir())
    for descriptor in held:
        os.close(descriptor)
    sweep(here)
    assert [mine] == list(here.iterdir())


def test_what_is_half_written_is_no_data(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("a", scratch_name(), ".x.gitdata-tmp"):
        (tmp_path / "data" / name).write_text("a")
    assert {name for name, _ in scan(tmp_path, "data").files} == {"data/a", "data/.x.gitdata-tmp"}


def test_a_file_that_comes_from_another_filesystem_is_whole(tmp_path: Path) -> None:
    other = Path("/dev/shm") / secrets.token_hex(8)
    if not other.parent.is_dir() or other.parent.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("filesystems: there is only one")
    other.mkdir()
    try:
        (tmp_path / ".dvc").mkdir()
        (tmp_path / ".dvc/tmp").symlink_to(other)
        place(tmp_path, "data/run", (b"a", b"b"), executable=True)
        (made,) = (tmp_path / "data").iterdir()
        assert (made.name, made.read_text(), made.stat().st_mode & 0o100) == ("run", "ab", 0o100)
    finally:
        other.rmdir()
