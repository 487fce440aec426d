"""What requests make of a wish: the newest word counts, about a run for all branches, about tags for its own."""

from __future__ import annotations

import pytest

from gitdata.backends.git import Git
from gitdata.controller.facts import Wish
from gitdata.controller.wishes import make_wish
from gitdata.formats.requests import Kind, Request
from helpers.machine import Repo


def asked(kind: Kind, target: str, time: int, branch: str = "main") -> Request:
    return Request(kind, target, branch, "me", time)


@pytest.fixture
def git(repo: Repo) -> Git:
    return Git(repo.path)


def wish(git: Git, *requests: Request) -> Wish:
    commit = git.resolve("HEAD")
    assert commit is not None
    return make_wish(git, commit, "main", {}, default_branch="main", requests=requests)


@pytest.mark.parametrize("order", [1, -1])
def test_of_a_retry_and_a_cancel_of_one_run_the_newer_counts(git: Git, order: int) -> None:
    first, last = asked("cancel", "copy-0123456789-2", 1), asked("retry", "copy-0123456789-2", 2)
    assert wish(git, *(first, last)[::order]).cancelled == frozenset()
    last = asked("cancel", "copy-0123456789-3", 3)
    found = wish(git, *(first, last)[::order])
    assert found.cancelled == frozenset(["0123456789"])
    assert found.retried == frozenset()


def test_a_cancel_is_for_all_branches_a_retry_and_a_refresh_for_one(git: Git) -> None:
    requests = [asked(kind, "copy-0123456789-1", 1, "side") for kind in ("retry", "refresh")]
    found = wish(git, *requests)
    assert (found.retried, found.asked, found.cancelled) == (frozenset(), {}, frozenset())
    assert wish(git, asked("cancel", "copy-0123456789-1", 1, "side")).cancelled == {"0123456789"}


def test_the_newest_question_about_a_tag_counts(git: Git) -> None:
    one, every, again = asked("refresh", "a", 1), asked("refresh", "", 2), asked("refresh", "a", 3)
    assert wish(git, every, one).asked == {"": every.id}
    assert wish(git, again, every, one).asked == {"": every.id, "a": again.id}
