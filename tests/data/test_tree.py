"""What a data folder holds: by DVC's own rules (the referee is `dvc add`)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from gitdata.data.statindex import StatIndex
from gitdata.data.tree import hash_path, scan
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.formats.dvc import dir_oid, dump_dir
from gitdata.model import Entry, Listing
from helpers.machine import Program, Repo


@pytest.fixture
def index(tmp_path: Path) -> StatIndex:
    return StatIndex(tmp_path / "stat.json", tmp_path / "repo")


def fill(folder: Path) -> None:
    """Everything odd that DVC accepts."""
    for name in ("1.txt", "sub/2", "sub/deep/er/3", "a-b/x", "a/x", "a.b/x", "é", "e\u0301", "new\nline",
                 "tab\t",
                 ".hidden", "back\\slash", "-dash", "it's", "sp ace ", "UP", "up", ".gitignore", "empty"):  # fmt: skip
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name == "empty" else f"content of {name}")
    (folder / "no files here").mkdir()
    (folder / ".hg").mkdir()
    (folder / ".hg/store").write_text("left out")
    (folder / "link").symlink_to("1.txt")
    (folder / "outside").symlink_to("/etc/hostname")
    (folder / "to a folder").symlink_to("sub")


def as_listing(found: Listing | Entry) -> Listing:
    assert isinstance(found, tuple)
    return found


@pytest.mark.slow
def test_the_oid_is_the_one_of_dvc_add(repo: Repo, index: StatIndex, dvc: Program) -> None:
    fill(repo.path / "data")
    dvc("init", "-q")
    listing = as_listing(hash_path(index, "data"))
    dvc("add", "-q", "data")
    text = (repo.path / "data.dvc").read_text()
    assert re.search(r"md5: (\S+)", text)[1] == dir_oid(dump_dir(listing))  # type: ignore[index]
    assert f"size: {sum(e.size or 0 for e in listing)}\n  nfiles: {len(listing)}\n" in text
    assert as_listing(hash_path(index, "data")) == listing


def test_links_and_odd_folders(repo: Repo, index: StatIndex) -> None:
    fill(repo.path / "data")
    paths = {entry.path for entry in as_listing(hash_path(index, "data"))}
    assert {"link", "outside", ".hidden", "sub/deep/er/3", "UP", "up"} <= paths
    assert not any(path.startswith((".hg", "to a folder", "no files")) for path in paths)


def test_a_single_file_keeps_its_executable_bit(repo: Repo, index: StatIndex) -> None:
    path = repo.path / "run.sh"
    path.write_text("x")
    assert hash_path(index, "run.sh") == Entry(
        "run.sh", index.digest("run.sh").md5, 1, False, index.digest("run.sh").sha256
    )
    path.chmod(0o755)
    found = hash_path(index, "run.sh")
    assert isinstance(found, Entry)
    assert found.exec


def test_nothing_there(index: StatIndex, repo: Repo) -> None:
    with pytest.raises(MissingDataError, match="nowhere"):
        hash_path(index, "nowhere")


def test_an_empty_folder(index: StatIndex, repo: Repo) -> None:
    (repo.path / "data").mkdir()
    assert hash_path(index, "data") == ()


@pytest.mark.parametrize("kind", ["fifo", "socket", "broken link", "name", "ignore", "dvc", "git file"])
def test_what_cannot_be_versioned_is_named(repo: Repo, index: StatIndex, kind: str) -> None:
    folder = repo.path / "data/sub"
    folder.mkdir(parents=True)
    if kind == "fifo":
        os.mkfifo(folder / "bad")
    elif kind == "socket":
        os.mknod(folder / "bad", 0o140644)
    elif kind == "broken link":
        (folder / "bad").symlink_to("nowhere")
    elif kind == "name":
        Path(os.fsdecode(os.fsencode(folder) + b"/bad\xff")).write_text("x")
    elif kind == "ignore":
        (folder / ".dvcignore").write_text("x")
    elif kind == "dvc":
        (folder / ".dvc").mkdir()
    else:
        (folder / ".GIT").write_text("gitdir: /somewhere")
    with pytest.raises(InvalidInputError, match=r"bad|data/sub|GIT"):
        hash_path(index, "data")


def test_what_is_ignored_is_left_out(repo: Repo, index: StatIndex) -> None:
    for name in ("keep", "drop", "sub/drop", "sub/keep"):
        path = repo.path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    found = scan(repo.path, "data", lambda path, folder: path.endswith("drop") and not folder).files
    assert {name for name, _ in found} == {"data/keep", "data/sub/keep"}


def test_only_changed_files_are_read(repo: Repo, index: StatIndex) -> None:
    folder = repo.path / "data"
    folder.mkdir()
    for number in range(20):
        (folder / str(number)).write_text("x")
        os.utime(folder / str(number), (1, 1))
    first = as_listing(hash_path(index, "data"))
    index._unsettled.clear()  # as if they had been written long before
    (folder / "7").write_text("y")
    for number in set(range(20)) - {7}:
        (folder / str(number)).chmod(0o644)
    second = as_listing(hash_path(index, "data"))
    assert [a.path for a, b in zip(first, second, strict=True) if a != b] == ["7"]
