"""What the remote says, and which of it counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.backends.git_records import is_safe_ref
from gitdata.controller.clone import open_clone
from gitdata.controller.watch import Remote, look
from helpers.machine import Repo

A, B = "a" * 40, "b" * 40


def test_only_watched_source_branches_count() -> None:
    remote = Remote(
        {
            "refs/heads/main": A,
            "refs/heads/release/1": A,
            "refs/heads/other": A,
            "refs/heads/gitdata": A,
            "refs/heads/gitdata/main": B,
            "refs/tags/v1": A,
            "refs/notes/gitdata/provenance": B,
        }
    )
    assert remote.branches(["main", "release/*", "gitdata*"]) == {"main": A, "release/1": A}


def test_an_output_branch_without_its_source_is_an_orphan() -> None:
    remote = Remote({"refs/heads/main": A, "refs/heads/gitdata/main": B, "refs/heads/gitdata/old/x": B})
    assert remote.orphans() == {"old/x": B}


def test_look_fetches_what_moved_and_forgets_what_is_gone(repo: Repo, tmp_path: Path) -> None:
    repo.git("branch", "side")
    git, lock = open_clone(tmp_path / "cache", str(repo.path))
    with lock:
        first = look(git, str(repo.path), Remote())
        assert set(git.refs("refs/seen/heads")) == {"refs/seen/heads/main", "refs/seen/heads/side"}
        repo.git("branch", "-D", "side")
        repo.git("branch", "side/way")  # a folder where a ref was
        second = look(git, str(repo.path), first)
        assert set(git.refs("refs/seen/heads")) == {"refs/seen/heads/main", "refs/seen/heads/side/way"}
        assert second != first


def test_two_controllers_of_one_machine_have_clones_of_their_own(tmp_path: Path) -> None:
    one, first = open_clone(tmp_path, "/x")
    two, second = open_clone(tmp_path, "/x")
    with first, second:
        assert one.path != two.path
    third, lock = open_clone(tmp_path, "/x")
    lock.close()
    assert third.path == one.path


@pytest.mark.parametrize("name", ["-evil", "a..b", "x.lock"])
def test_a_hostile_ref_is_not_seen(name: str) -> None:
    assert not is_safe_ref(f"refs/heads/{name}")
