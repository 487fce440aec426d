"""The hooks as offered to users of pre-commit: run by the real pre-commit, they do what gitdata's own do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from helpers.machine import BIN, Program, Repo

ROOT = Path(__file__).parent.parent
STAGES = ("pre-commit", "pre-merge-commit", "pre-push", "post-checkout", "post-merge", "post-rewrite")


@pytest.fixture
def managed(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """A gitdata repository whose hooks are pre-commit's; its ``origin`` and data remote lie beside it."""
    offer = Repo.create(tmp_path / "offer")
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", offer.path)
    sha = offer.commit("hooks")
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    gitdata("init", "--remote", tmp_path / "remote")
    gitdata("hooks", "uninstall")
    hooks = [{"id": f"gitdata-{stage}"} for stage in STAGES]
    config = {"repos": [{"repo": str(offer.path), "rev": sha, "hooks": hooks}]}
    repo.write(".pre-commit-config.yaml", yaml.safe_dump(config))
    repo.commit("set up")
    options = [word for stage in STAGES for word in ("-t", stage)]
    Program(str(BIN / "pre-commit"), cwd=repo.path)("install", *options)
    return repo


def test_every_hook_but_the_servers_is_offered() -> None:
    offered = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert {hook["id"] for hook in offered} == {f"gitdata-{stage}" for stage in STAGES}
    assert all(hook["stages"] == [hook["id"].removeprefix("gitdata-")] for hook in offered)


@pytest.mark.slow
def test_commit_push_and_checkout_take_the_data_along(managed: Repo, gitdata: Program, tmp_path: Path) -> None:
    managed.write("data/a.txt", "one\n")
    gitdata("add", "data")
    managed.git("add", "--all")
    managed.git("commit", "-q", "-m", "data")
    first = managed.git("show", "HEAD:data.dvc")

    managed.write("data/a.txt", "two\n")
    managed.write("notes.txt", "why\n")
    managed.git("add", "--all")
    managed.git("commit", "-q", "-m", "changed")
    assert managed.git("show", "HEAD:data.dvc") != first, "the commit holds the data"

    managed.git("push", "-q", "origin", "main")
    stored = {path.read_bytes() for path in (tmp_path / "remote" / "files").rglob("*") if path.is_file()}
    assert {b"one\n", b"two\n"} <= stored, "the data went before the commits"

    managed.git("checkout", "-q", "HEAD~1")
    assert (managed.path / "data" / "a.txt").read_text() == "one\n"
