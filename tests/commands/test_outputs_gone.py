"""What people are told of outputs whose bytes have left the data remote, and of stages that failed before they ran."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitdata.controller.published import generated_pointers
from gitdata.formats.dvc import object_key
from helpers.lab import Lab
from helpers.machine import Program


@pytest.fixture
def lab(home: Path, tmp_path: Path, gitdata: Program) -> Lab:
    """Data and two stages, one after the other, pushed; nothing has run yet."""
    lab = Lab.create(tmp_path)
    gitdata("init", "--remote", str(tmp_path / "data"), cwd=lab.work.path)
    lab.work.write("images/a", "one")
    lab.stage("copy", "cp /pfs/images/* /pfs/out/; echo made > /pfs/out/made", {"pfs": {"repo": "images", "glob": "/"}})
    lab.stage("sum", "cat /pfs/copy/* > /pfs/out/all", {"pfs": {"repo": "copy", "glob": "/"}})
    gitdata("add", "images", cwd=lab.work.path)
    lab.work.commit("stages")
    return lab


def test_outputs_that_are_gone_are_shown_and_made_again(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    gitdata("push", "-q", "-u", "origin", "main", cwd=work)
    lab.settle()
    assert "its output is on the data remote" in gitdata("job", "retry", "copy", cwd=work, code=5).stderr
    assert [row["objects_gone"] for row in gitdata.json("job", "list", cwd=work)] == [0, 0]
    output = generated_pointers(lab.origin, lab.tip())["copy"].output.oid
    (lab.root / "data" / object_key(output)).unlink()
    listed = gitdata("job", "list", cwd=work)
    assert listed.stdout.count("outputs gone") == 1
    assert "gitdata job retry" in listed.stderr
    waited = gitdata("job", "wait", cwd=work, code=6)
    assert "copy: 1 object of its output is gone from the data remote; `gitdata job retry copy`" in waited.stderr
    lab.work.git("checkout", "-q", "gitdata/main")
    assert "gitdata job retry copy makes it again" in gitdata("status", "--remote", cwd=work).stdout
    lab.work.git("checkout", "-q", "main")
    gitdata("job", "retry", "copy", cwd=work)
    lab.settle()
    assert lab.files("copy") == {"a": "one", "made": "made\n"}
    gitdata("job", "wait", cwd=work)
    # A file of an output, of a job named by itself.
    (job,) = (row["id"] for row in gitdata.json("job", "list", "-s", "sum", cwd=work))
    shutil.rmtree(lab.root / "data/files")
    gitdata("push", "-q", cwd=work)
    assert f"{job}: 1 object of its output is gone" in gitdata("job", "retry", job, cwd=work).stderr


def test_why_a_stage_failed_before_it_ran_is_told_by_every_verb(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.work.git("push", "--quiet", "--no-verify", "-u", "origin", "main")  # without its data
    lab.settle()
    said = "input images: "
    waited = gitdata("job", "wait", cwd=work, code=9).stderr
    assert said in waited
    assert "no object files/md5/" in waited
    assert "gitdata job retry copy" in waited
    assert said in gitdata.json("job", "wait", cwd=work, code=9)["stages"]["copy"]["reason"]
    assert f"copy: the controller says: {said}" in gitdata("plan", cwd=work).stderr
    assert f"copy of main failed before it had a job: {said}" in gitdata("job", "list", cwd=work).stderr
    for verb in ("inspect", "logs"):
        assert said in gitdata("job", verb, "copy", cwd=work, code=6).stderr
