"""`gitdata status` where nothing moved: the short cut must never hide a change."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitdata.data.quick import nothing_moved
from helpers.machine import Program, Repo


@pytest.fixture
def clean(repo: Repo, gitdata: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repo:
    """A repository whose last full status found all in order, long enough ago."""
    gitdata("init", "--remote", tmp_path / "store", "--no-hooks")
    repo.write("images/a.jpg", "a")
    repo.write("images/deep/b.jpg", "b")
    gitdata("add", "images")
    repo.commit("data")
    gitdata("status")
    time.sleep(0.02)
    os.utime(repo.path / ".dvc/tmp/gitdata-stamp")  # instead of waiting for the two seconds it is set back
    time.sleep(0.02)
    monkeypatch.chdir(repo.path)
    return repo


def test_nothing_moved(clean: Repo, gitdata: Program) -> None:
    assert nothing_moved() == (1, None)
    clean.write("README.md", "text")
    clean.git("commit", "-qam", "text")
    assert nothing_moved() == (1, None)
    assert gitdata("status", "--exit-code").stdout == "1 output, nothing changed\n"


def edit(repo: Repo) -> None:
    old = (repo.path / "images/a.jpg").stat()
    repo.write("images/a.jpg", "A")
    os.utime(repo.path / "images/a.jpg", ns=(old.st_atime_ns, old.st_mtime_ns))


def lose_an_object(repo: Repo) -> None:
    next((repo.path / ".dvc/cache/files/md5").glob("??/*")).unlink()


def pointer_by_hand(repo: Repo) -> None:
    file = repo.path / "images.dvc"
    file.write_text("# a remark\n" + file.read_text())


def new_pointer(repo: Repo) -> None:
    shutil.copy(repo.path / "images.dvc", repo.path / "other.dvc")


def staged_pointer(repo: Repo) -> None:
    pointer_by_hand(repo)
    repo.git("add", "images.dvc")


CHANGES: list[Callable[[Repo], object]] = [
    edit,
    lose_an_object,
    pointer_by_hand,
    new_pointer,
    staged_pointer,
    lambda repo: (repo.path / "images/deep/b.jpg").unlink(),
    lambda repo: repo.write("images/deep/c.jpg", "c"),
    lambda repo: shutil.rmtree(repo.path / "images"),
    lambda repo: shutil.rmtree(repo.path / ".dvc/cache"),
    lambda repo: os.utime(repo.path / ".dvc/tmp/gitdata-stamp", (time.time() + 999, time.time() + 999)),
    lambda repo: shutil.rmtree(repo.path / ".git/gitdata"),
    lambda repo: repo.git("rm", "-q", "--cached", "images.dvc"),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_and_every_doubt_means_a_full_look(clean: Repo, change: Callable[[Repo], object]) -> None:
    change(clean)
    assert nothing_moved() is None


def test_another_index_means_a_full_look(clean: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_INDEX_FILE", str(clean.path / ".git/index"))
    assert nothing_moved() is None
