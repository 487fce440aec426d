"""What is read of a commit: what a tag means to it until somebody asks; stages that do not need each other at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.backends.git_records import TreeEntry
from gitdata.backends.local import LocalStore
from gitdata.backends.objects import ObjectInfo
from gitdata.controller.facts import Facts, Wish
from gitdata.controller.site import Site
from gitdata.errors import RemoteError
from gitdata.executors.local import LocalExecutor
from gitdata.formats.keys import runs_prefix
from gitdata.model import Environment, Stage
from helpers.lab import Lab

IMAGE = "registry.example/tool:latest"


class Tagged(LocalExecutor):
    """Knows a registry with one tag, which moves. means: its digest, "" while the registry is away."""

    means = "oci:sha256:1"

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        if not known and not self.means:
            raise RemoteError("the registry is away", transient=True)
        return Environment(known or self.means, stage.transform.image)


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.image = IMAGE
    lab.stage("say", "true")
    lab.work.write("in/a", "one")
    return lab


def test_a_commit_keeps_the_images_that_it_began_with(lab: Lab) -> None:
    commit = lab.push("stage")
    executor = Tagged(lab.store.url, cache_home=lab.root / "cache")
    facts = Facts(Site(git=lab.origin, store=lab.store, executor=executor, origin=str(lab.origin.path)))

    def meant(wish: Wish) -> str:
        environment = facts.survey(wish).plans["say"].environment
        return environment.id if environment else ""

    wish = Wish(commit, "main")
    assert meant(wish) == "oci:sha256:1"
    executor.means = "oci:sha256:2"
    assert meant(wish) == "oci:sha256:1", "however long its other stages take"
    asked = replace(wish, asked={"say": "request"})
    assert meant(asked) == "oci:sha256:2"
    executor.means = ""
    assert (meant(asked), meant(wish)) == ("oci:sha256:2", "oci:sha256:1")
    pinned = replace(wish, pinned={"say": Environment("oci:sha256:2", IMAGE)})
    assert meant(pinned) == "oci:sha256:2", "what the request brought is published"
    assert meant(replace(wish, asked={"": "another"})) == "", "nobody knows yet"
    executor.means = "oci:sha256:3"
    assert meant(Wish(lab.push("more"), "main")) == "oci:sha256:3"
    executor.close()


class Counting(Git):
    """Knows how many times the files of a commit were asked for."""

    asked = 0

    def ls_tree(self, treeish: str, *paths: str) -> list[TreeEntry]:
        self.asked += 1
        return super().ls_tree(treeish, *paths)


def test_the_trees_of_all_commits_in_progress_are_kept(lab: Lab) -> None:
    commits = [lab.push(str(number)) for number in range(6)]
    git = Counting(lab.origin.path)
    executor = Tagged(lab.store.url, cache_home=lab.root / "cache")
    facts = Facts(Site(git=git, store=lab.store, executor=executor, origin=str(lab.origin.path)))
    for commit in commits * 2:
        assert facts.survey(Wish(commit, "main")).plans
    assert git.asked == len(commits)
    executor.close()


class Meeting(LocalStore):
    """Answers nobody who asks for a run's records until so many others have asked for theirs."""

    meeting = threading.Barrier(1)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if prefix.startswith(runs_prefix("main")):
            self.meeting.wait(20)
        return super().list(prefix)


def test_stages_that_do_not_need_each_other_are_looked_at_side_by_side(lab: Lab) -> None:
    lab.stage("see", "true")
    lab.stage("hear", "true")
    after = {"pfs": {"repo": "say", "glob": "/"}}
    lab.stage("answer", "true", after)
    commit = lab.push("three at once, and one after them")
    store = Meeting(lab.root / "data")
    store.meeting = threading.Barrier(3)
    executor = Tagged(store.url, cache_home=lab.root / "cache")
    facts = Facts(Site(git=lab.origin, store=store, executor=executor, origin=str(lab.origin.path)))
    plans = facts.survey(Wish(commit, "main")).plans
    assert {name: plan.state for name, plan in plans.items()} == {
        "hear": "run", "say": "run", "see": "run", "answer": "waiting"
    }  # fmt: skip
    assert list(plans)[-1] == "answer"
    executor.close()
