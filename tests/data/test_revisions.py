"""What names of commits and branches mean, in clones of every shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.data.revisions import commit_of, default_branch, git_remote
from gitdata.errors import MissingDataError
from helpers.machine import Repo


@pytest.fixture
def hub(repo: Repo, tmp_path: Path) -> Repo:
    """A repository whose only remote is called ``hub``; nothing is pushed yet."""
    repo.git("branch", "-m", "develop")
    Repo.create(tmp_path / "hub.git", bare=True)
    repo.git("remote", "add", "hub", tmp_path / "hub.git")
    return repo


def test_the_only_remote_is_meant_whatever_its_name(hub: Repo, tmp_path: Path) -> None:
    assert git_remote(Git(hub.path)) == "hub"
    hub.git("remote", "add", "origin", tmp_path / "hub.git")
    assert git_remote(Git(hub.path)) == "origin"
    hub.git("push", "-q", "-u", "hub", "develop")
    assert git_remote(Git(hub.path)) == "hub"
    hub.git("checkout", "-q", "-b", "local", "--track", "develop")
    assert git_remote(Git(hub.path)) == "origin"


def test_the_default_branch_is_the_same_before_and_after_the_first_push(hub: Repo) -> None:
    git = Git(hub.path)
    assert default_branch(git) == "develop"
    hub.git("push", "-q", "-u", "hub", "develop")
    hub.git("checkout", "-q", "-b", "topic")
    assert default_branch(git) == "develop"
    hub.git("push", "-q", "hub", "develop:gitdata/develop")
    assert default_branch(git) == "develop"
    hub.git("push", "-q", "hub", "topic")
    assert default_branch(git) == ""
    hub.git("remote", "set-head", "hub", "topic")
    assert default_branch(git) == "topic"


def test_a_branch_of_the_remote_needs_no_prefix(hub: Repo) -> None:
    hub.git("push", "-q", "hub", "develop:refs/heads/gitdata/develop")
    assert commit_of(Git(hub.path), "gitdata/develop") == hub.git("rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("revision", "said"),
    [
        ("nosuch", "nosuch: no commit, branch or tag"),
        ("-x", "-x: no commit, branch or tag"),
        ("develop..HEAD", "develop..HEAD: that is a range"),
        ("HEAD^{tree}", "HEAD^{tree}: that is a folder"),
        ("HEAD:README.md", "HEAD:README.md: that is a file"),
        ("0" * 40, "0" * 40),
        ("", "names no commit"),
    ],
)
def test_what_is_no_commit_is_named(hub: Repo, revision: str, said: str) -> None:
    hub.write("README.md", "read me")
    hub.commit("text")
    with pytest.raises(MissingDataError) as caught:
        commit_of(Git(hub.path), revision)
    assert said in caught.value.message
    assert caught.value.hint


def test_a_short_name_of_many_objects_is_called_ambiguous(hub: Repo) -> None:
    for number in range(40):  # there are 256 beginnings of two digits; git asks for four at least
        hub.git("commit", "-q", "--allow-empty", "-m", str(number))
    hub.git("config", "core.abbrev", "4")
    shas = hub.git("rev-list", "--objects", "--all").split()
    begun: dict[str, int] = {}
    while all(count < 2 for count in begun.values()):
        made = [Git(hub.path).write_blob(f"{len(shas)} {n}".encode()) for n in range(200)]
        shas += made
        begun = {}
        for sha in set(shas):
            begun[sha[:4]] = begun.get(sha[:4], 0) + 1
    twice = next(begin for begin, count in begun.items() if count > 1)
    with pytest.raises(MissingDataError, match="several objects"):
        commit_of(Git(hub.path), twice)


def test_a_branch_without_commits_is_said(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    Git(tmp_path).run("init", "-q", str(empty))
    with pytest.raises(MissingDataError, match="no commit yet"):
        commit_of(Git(empty), "HEAD")
