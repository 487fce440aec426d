"""What `gitdata run` left of another commit or branch is named by `status`, and made anew by `run`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.lab import Lab
from helpers.machine import Program


@pytest.fixture
def lab(home: Path, tmp_path: Path, gitdata: Program) -> Lab:
    """On ``main`` and ``other`` one stage has two parameters; another stage reads its output."""
    lab = Lab.create(tmp_path)
    gitdata("init", "--remote", str(tmp_path / "data"), cwd=lab.work.path)
    lab.work.write("in/a", "ten")
    lab.stage("train", "cat /pfs/in/a > /pfs/out/result")
    lab.stage("sum", "cat /pfs/train/* > /pfs/out/all", {"pfs": {"repo": "train", "glob": "/"}})
    lab.stage("apart", "cat /pfs/rest/* > /pfs/out/all", {"pfs": {"repo": "rest", "glob": "/"}})
    lab.work.write("rest/x", "x")
    lab.work.commit("ten")
    lab.work.git("checkout", "-q", "-b", "other")
    lab.work.write("in/a", "fifty")
    lab.work.commit("fifty")
    return lab


def test_outputs_of_another_branch_are_named(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    gitdata("run", cwd=work)
    assert (work / "train/result").read_text() == "fifty"
    assert "gitdata run" not in gitdata("status", cwd=work).stdout
    lab.work.git("checkout", "-q", "main")
    said = gitdata("status", cwd=work).stdout
    for stage in ("train", "sum"):
        assert f"{stage}: made by `gitdata run` for other at " in said
    assert "apart" not in said
    assert [one["stage"] for one in gitdata.json("status", cwd=work)["left_outputs"]] == ["sum", "train"]
    gitdata("run", cwd=work)
    assert (work / "train/result").read_text() == "ten"
    assert "gitdata run" not in gitdata("status", cwd=work).stdout
    # Of what is edited here it is this commit's, until the edit is taken back; once committed, of that commit.
    lab.work.write("in/a", "eleven")
    gitdata("run", "train", cwd=work)
    assert "made by" not in gitdata("status", cwd=work).stdout
    lab.work.git("stash", "-q")
    assert "train: made by" in gitdata("status", cwd=work).stdout
    lab.work.git("stash", "pop", "-q")
    lab.work.commit("eleven")
    said = gitdata("status", cwd=work).stdout
    assert "train" not in said
    assert "sum: made by `gitdata run` for main at " in said


def test_an_output_whose_old_list_is_gone_is_left_with_a_word(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    gitdata("run", "train", cwd=work)
    shutil.rmtree(work / ".dvc/cache/files")
    lab.work.git("checkout", "-q", "main")
    done = gitdata("run", "train", cwd=work, code=5)
    assert "move train/ away" in done.stderr
    assert (work / "train/result").read_text() == "fifty"
    shutil.move(work / "train", work / "mine")
    gitdata("run", "train", cwd=work)
    assert (work / "train/result").read_text() == "ten"
