"""Which identities a controller elsewhere gives to folders and references, told from what it published."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from executors.bench import Bench
from gitdata.backends.builders import ImageSettings
from gitdata.backends.contexts import name_folder
from gitdata.errors import InvalidInputError
from gitdata.executors.foreseen import Foreseen
from gitdata.model import Secret
from helpers.machine import Repo

PINNED = f"oci:sha256:{'1' * 64}"


@pytest.fixture
def bench(repo: Repo, tmp_path: Path) -> Bench:
    return Bench(repo, tmp_path)


def foreseen(bench: Bench, **published: str) -> Foreseen:
    return Foreseen(bench.url, cache_home=bench.cache_home, published=published)


def test_a_folder_is_named_as_where_its_neighbours_were_built(bench: Bench) -> None:
    settings = ImageSettings(registry="registry.example", args={"VERSION": "3"}, platform="linux/arm64")
    before = name_folder(bench.git, bench.image(Dockerfile="FROM a\n"), "image", settings)
    commit = bench.image(Dockerfile="FROM b\n")
    after = name_folder(bench.git, commit, "image", settings)
    assert before
    assert after
    assert before.id != after.id
    stage = bench.stage("true", user="nobody-here", secrets=(Secret("api", "key", "KEY"),))
    executor = foreseen(bench, other=before.id, third=PINNED)
    assert executor.environment(bench.git, commit, stage).id == after.id, "its users and secrets are the cluster's"
    bench.repo.git("rm", "--quiet", "image/Dockerfile")
    with pytest.raises(InvalidInputError, match="no Dockerfile"):
        executor.environment(bench.git, bench.repo.commit("no Dockerfile"), stage)


def test_a_folder_is_named_as_under_the_controllers_python(bench: Bench) -> None:
    commit = bench.image()
    stage = bench.stage("true", user="nobody-here")
    here = foreseen(bench).environment(bench.git, commit, bench.stage("true")).id
    there = ":".join([*here.split(":")[:3], "9.9", "plan9-mips"])
    old = f"venv:{'0' * 40}:{'1' * 64}:9.9:plan9-mips"
    assert foreseen(bench, **{stage.name: old}).environment(bench.git, commit, stage).id == there
    assert foreseen(bench, other=old).environment(bench.git, commit, bench.stage("true")).id == there
    with pytest.raises(InvalidInputError, match="nobody-here"):
        foreseen(bench, other=old).environment(bench.git, commit, stage)  # nobody knows more than this machine


def test_a_pinned_reference_needs_no_engine(bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stage = bench.stage("true", image="registry.example/tool:1")
    commit = bench.image()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(shutil.which("git") or "")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert foreseen(bench).environment(bench.git, commit, stage, PINNED).id == PINNED
