"""Which output commit a branch without outputs begins from: the nearest ancestor's, the same one everywhere."""

from __future__ import annotations

import pytest

from gitdata.backends.git import Git
from gitdata.controller.pinned import nearest_output
from helpers.machine import Repo


@pytest.fixture
def git(repo: Repo) -> Git:
    return Git(repo.path)


def output(repo: Repo, source: str, *previous: str, words: str = "") -> str:
    """An output commit as ``publish`` makes them, over the tree of its source."""
    parents = [option for parent in (*previous, source) for option in ("-p", parent)]
    message = f"gitdata: first{words}\n\nGitdata-Source: {source}\n"
    return repo.git("commit-tree", *parents, "-m", message, repo.head(f"{source}^{{tree}}"))


def test_the_nearest_ancestor_with_outputs(repo: Repo, git: Git) -> None:
    old, middle, new = repo.head(), repo.commit("middle"), repo.commit("new")
    older = output(repo, old)
    newer = output(repo, middle, older)
    assert nearest_output(git, new, [newer]) == newer
    assert nearest_output(git, middle, [newer]) == newer
    assert nearest_output(git, old, [newer]) == older, "what came after it is none of its business"
    again = output(repo, middle, newer, words=" again")
    assert nearest_output(git, new, [again, newer]) == again, "a retry made another one of the same source"


def test_of_several_branches_the_nearer_one(repo: Repo, git: Git) -> None:
    first = repo.head()
    here = repo.commit("here")
    repo.git("checkout", "--quiet", "-b", "side", first)
    there = repo.commit("there")
    tips = [output(repo, first, words=" main"), output(repo, there), output(repo, here)]
    assert nearest_output(git, repo.commit("more of there"), tips) == tips[1]
    assert nearest_output(git, repo.commit("more of there"), reversed(tips)) == tips[1]
    repo.git("checkout", "--quiet", "main")
    assert nearest_output(git, repo.commit("more of here"), tips) == tips[2]


def test_a_branch_from_an_output_branch(repo: Repo, git: Git) -> None:
    made = output(repo, repo.head())
    repo.git("checkout", "--quiet", "-b", "from-outputs", made)
    assert nearest_output(git, repo.commit("more"), [made]) == made


def test_where_there_is_none(repo: Repo, git: Git) -> None:
    first = repo.head()
    elsewhere = output(repo, repo.commit("elsewhere"))
    assert nearest_output(git, first, []) is None
    assert nearest_output(git, first, [elsewhere]) is None
    assert nearest_output(git, first, [first]) is None, "a source commit is no output"
