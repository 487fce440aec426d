"""Pushing: atomic, never forced, and a deletion only of what was seen."""

from __future__ import annotations

from pathlib import Path

from gitdata.backends.git import Git
from helpers.machine import Repo


def origin_of(repo: Repo, tmp_path: Path) -> Git:
    Git(tmp_path).run("init", "--quiet", "--bare", "origin.git")
    return Git(tmp_path / "origin.git")


def test_a_rejected_ref_takes_the_others_along(repo: Repo, tmp_path: Path) -> None:
    origin, git = origin_of(repo, tmp_path), Git(repo.path, sealed=True)
    first = repo.head()
    tree = git.commit(first).tree
    second = git.write_commit(tree, [], "other root\n", author="a <a> 1 +0000", committer="a <a> 1 +0000")
    assert git.push(str(origin.path), {"refs/heads/main": first}).accepted
    done = git.push(str(origin.path), {"refs/heads/main": second, "refs/heads/new": second})
    assert not done.accepted
    assert "non-fast-forward" in done.reason
    assert set(origin.refs("refs/heads")) == {"refs/heads/main"}


def test_a_ref_that_moved_is_not_deleted(repo: Repo, tmp_path: Path) -> None:
    origin, git = origin_of(repo, tmp_path), Git(repo.path, sealed=True)
    seen = repo.head()
    assert git.push(str(origin.path), {"refs/heads/x": seen}).accepted
    tree = git.commit(seen).tree
    newer = git.write_commit(tree, [seen], "newer\n", author="a <a> 1 +0000", committer="a <a> 1 +0000")
    assert git.push(str(origin.path), {"refs/heads/x": newer}).accepted
    updates = {"refs/gitdata/archive/x": seen, "refs/heads/x": None}
    assert not git.push(str(origin.path), updates, expect={"refs/heads/x": seen}).accepted
    assert origin.refs("refs") == {"refs/heads/x": newer}
    assert git.push(str(origin.path), updates, expect={"refs/heads/x": newer}).accepted
    assert origin.refs("refs") == {"refs/gitdata/archive/x": seen}
