"""What a tag means to a commit: what it meant when the commit was begun, until somebody asks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.controller.facts import Facts, Wish
from gitdata.controller.site import Site
from gitdata.errors import RemoteError
from gitdata.executors.local import LocalExecutor
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
