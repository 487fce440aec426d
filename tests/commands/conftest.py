"""Repositories that the tests of the data verbs begin with."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.machine import Program, Repo


@pytest.fixture
def data(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """An initialised repository with a remote and two images, not added yet."""
    gitdata("init", "--remote", tmp_path / "store")
    repo.write("images/a.jpg", "a")
    repo.write("images/deep/b.jpg", "bb")
    return repo


@pytest.fixture
def shared(data: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """The same, committed and pushed to ``origin.git``."""
    gitdata("add", "images")
    data.commit("data")
    Repo.create(tmp_path / "origin.git", bare=True)
    data.git("remote", "add", "origin", tmp_path / "origin.git")
    gitdata("push", "-u", "origin", "main")
    return data
