"""The commit that last changed one file of a data folder, with real git; listings lie in a cache."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.data.cache import Cache
from gitdata.data.changes import Change, Changes
from gitdata.data.repository import pointers_at
from gitdata.data.tracked import outputs
from gitdata.formats.dvc import dir_oid, dump_dir, dump_pointer
from gitdata.model import Entry, Output
from helpers.machine import Repo

A, B, C = "a" * 32, "b" * 32, "c" * 32


class History:
    """A repository, one data folder of which is written commit by commit."""

    def __init__(self, repo: Repo, cache: Cache) -> None:
        self.repo, self.cache = repo, cache

    def data(self, pointer: str = "images.dvc", path: str = "images", **files: str) -> str:
        """Commit the pointer of a folder; the commit. files: name -> oid."""
        body = dump_dir(tuple(Entry(name, oid, 1) for name, oid in sorted(files.items())))
        self.cache.add_bytes(body, directory=True)
        self.repo.write(pointer, dump_pointer(Output(path, dir_oid(body), len(files), len(files))))
        return self.repo.commit(f"{path}: {sorted(files)}")

    def change(self, path: str, inside: str, oid: str = "", *, repo: Repo | None = None) -> Change:
        git = Git((repo or self.repo).path)
        head = git.text("rev-parse", "HEAD")
        output = outputs(pointers_at(git, head).found)[path]
        return Changes(git, self.cache.listing).of_data(head, output, inside, oid or output.out.oid)


@pytest.fixture
def history(repo: Repo, tmp_path: Path) -> History:
    return History(repo, Cache(tmp_path / "objects"))


def test_each_file_has_the_commit_that_changed_it(history: History) -> None:
    first = history.data(one=A, two=B)
    second = history.data(one=A, two=C)
    third = history.data(one=A, two=C, three=A)
    history.repo.write("else.txt", "no data")
    history.repo.commit("else")
    assert history.change("images", "one", A) == Change(first, True)
    assert history.change("images", "two", C) == Change(second, True)
    assert history.change("images", "three", A) == Change(third, True)
    assert history.change("images", "") == Change(third, True)


def test_what_came_back_was_changed_when_it_came_back(history: History) -> None:
    history.data(one=A)
    history.data(one=B)
    third = history.data(one=A)
    assert history.change("images", "one", A) == Change(third, True)


def test_a_pointer_whose_data_stayed_the_same_changed_nothing(history: History) -> None:
    first = history.data(one=A)
    pointer = history.repo.path / "images.dvc"
    pointer.write_text(pointer.read_text() + "desc: words\n")
    history.repo.commit("words")
    assert history.change("images", "") == history.change("images", "one", A) == Change(first, True)


@pytest.mark.parametrize("also", [{}, {"two": B}], ids=["alone", "and a file more"])
def test_a_renamed_pointer_is_followed(history: History, also: dict[str, str]) -> None:
    first = history.data(one=A)
    history.data("other.dvc", "other", one=B)
    history.repo.git("rm", "--quiet", "images.dvc")
    moved = history.data("photos/all.dvc", "new", one=A, **also)
    assert history.change("photos/new", "one", A) == Change(first, True)
    if also:
        assert history.change("photos/new", "two", B) == Change(moved, True)
    history.repo.git("mv", "photos/all.dvc", "photos/again.dvc")
    history.repo.commit("the pointer alone")
    assert history.change("photos/new", "one", A) == Change(first, True)


def test_a_file_that_had_a_pointer_of_its_own_is_followed_into_the_folder(history: History) -> None:
    history.repo.write("images/one.dvc", dump_pointer(Output("one", A, 1)))
    first = history.repo.commit("one file")
    history.repo.git("rm", "--quiet", "images/one.dvc")
    second = history.data(one=A, two=B)
    assert history.change("images", "one", A) == Change(first, True)
    assert history.change("images", "two", B) == Change(second, True)


def test_of_a_merge_each_file_has_the_commit_of_its_side(history: History) -> None:
    first = history.data(one=A)
    history.repo.git("checkout", "--quiet", "-b", "side")
    side = history.data(one=A, two=B)
    history.repo.git("checkout", "--quiet", "main")
    main = history.data(one=A, three=C)
    history.repo.git("merge", "--quiet", "-s", "ours", "--no-commit", "side")
    merge = history.data(one=A, two=B, three=C, four=A)
    assert history.repo.git("rev-list", "--parents", "-1", "HEAD").split() == [merge, main, side]
    for name, oid, commit in (("one", A, first), ("two", B, side), ("three", C, main), ("four", A, merge)):
        assert history.change("images", name, oid) == Change(commit, True), name


def test_a_listing_that_cannot_be_had_leaves_an_earlier_commit_possible(history: History) -> None:
    history.data(one=A, two=B)
    second = history.data(one=A, two=C)
    third = history.data(one=A, two=C, three=A)
    lost = dir_oid(dump_dir((Entry("one", A, 1), Entry("two", B, 1))))
    history.cache.path(lost).unlink()
    assert history.change("images", "one", A) == Change(second, False)
    assert history.change("images", "three", A) == Change(third, True)


def test_a_pointer_of_then_that_cannot_be_read_leaves_an_earlier_commit_possible(history: History) -> None:
    history.data(one=A)
    history.repo.write("images.dvc", "<<<<<<< ours\n")
    history.repo.commit("a conflict that somebody committed")
    repaired = history.data(one=A)
    assert history.change("images", "one", A) == Change(repaired, False)


def test_a_shallow_clone_knows_no_earlier_commit(history: History, tmp_path: Path) -> None:
    history.data(one=A)
    second = history.data(one=A, two=B)
    shallow = Repo(tmp_path / "shallow")
    history.repo.git("clone", "--quiet", "--depth=1", f"file://{history.repo.path}", str(shallow.path))
    assert history.change("images", "two", B, repo=shallow) == Change(second, False)
    assert Changes(Git(shallow.path), history.cache.listing).of_git("HEAD", "README.md") == Change(second, False)
    assert Changes(Git(history.repo.path), history.cache.listing).of_git("HEAD", "images.dvc") == Change(second, True)


def test_a_history_of_many_listings_is_not_read_to_its_end(history: History) -> None:
    names = [f"{number:03}" for number in range(220)]
    stream = []
    for number, name in enumerate(names):
        listing = dump_dir((Entry("one", A, 1), Entry(name, B, 1)))
        history.cache.add_bytes(listing, directory=True)
        text = dump_pointer(Output("images", dir_oid(listing), 2, 2)).decode()
        stream.append(
            f"commit refs/heads/long\ncommitter x <x@x> {1700000000 + number} +0000\ndata 1\nx\n"
            f"M 100644 inline images.dvc\ndata {len(text)}\n{text}\n"
        )
    Git(history.repo.path).fast_import("".join([*stream, "done\n"]).encode())
    history.repo.git("checkout", "--quiet", "long")
    assert history.change("images", "one", A) == Change(history.repo.head("HEAD~200"), False)
