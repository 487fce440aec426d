"""Outputs of DVC's own pipelines are data like any other, which DVC alone records."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.machine import Program, Repo

PIPELINE = """\
stages:
  s:
    cmd: cat in > made && mkdir -p dir && cat in > dir/x && echo 1 > m.json
    deps: [in]
    outs: [made, dir]
    metrics:
    - m.json:
        cache: false
"""


@pytest.fixture
def work(repo: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> Repo:
    """Two commits of a pipeline's results, the second pushed as well."""
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", tmp_path / "origin.git")
    gitdata("init", "--remote", tmp_path / "store")
    repo.write("dvc.yaml", PIPELINE)
    for text in ("one", "two"):
        repo.write("in", text)
        dvc("repro", "-q")
        repo.commit(text)
    gitdata("push", "-u", "origin", "main")
    return repo


def clone(work: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    Repo(tmp_path / "origin.git").clone(tmp_path / "clone")
    gitdata("init", cwd=tmp_path / "clone")
    return Repo(tmp_path / "clone")


def test_a_clone_gets_them_and_follows_git(work: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> None:
    other = clone(work, gitdata, tmp_path)
    gitdata("checkout", cwd=other.path)
    assert (other.path / "dir/x").read_text() == "two"
    assert "up to date" in dvc("status", cwd=other.path).stdout
    assert gitdata.json("status", cwd=other.path)["clean"]
    other.git("checkout", "-q", "HEAD~1")
    assert (other.path / "made").read_text() == "one"
    assert "up to date" in dvc("status", cwd=other.path).stdout
    other.git("checkout", "-q", "main")
    assert (other.path / "made").read_text() == "two"


def test_the_verbs_that_read_know_them(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    other = clone(work, gitdata, tmp_path)
    names = gitdata("ls", "HEAD:dir", cwd=other.path).stdout
    assert "x" in names
    gitdata("get", "HEAD~1:made", "-o", tmp_path / "got", cwd=other.path)
    assert (tmp_path / "got").read_text() == "one"
    assert "made" in gitdata("diff", "HEAD~1", "HEAD", cwd=other.path).stdout
    assert "made" in str(gitdata.json("status", cwd=other.path))


def test_only_dvc_records_them(work: Repo, gitdata: Program, dvc: Program) -> None:
    lock = (work.path / "dvc.lock").read_bytes()
    (work.path / "made").unlink()
    work.write("made", "by hand")
    done = gitdata("add", "made", code=4)
    assert "dvc.yaml" in done.stderr
    assert "dvc commit" in done.stderr
    assert "dvc commit" in gitdata("status").stdout
    work.write("README", "text")
    work.git("add", "README")
    said = Program("git", cwd=work.path)("commit", "-qm", "text").stderr
    assert "made" in said
    assert "dvc repro" in said
    work.write("README", "more")
    assert "made" in gitdata("commit", "-qam", "more").stderr
    assert (work.path / "dvc.lock").read_bytes() == lock
    assert (work.path / "made").read_text() == "by hand"
    gitdata("checkout", "made", code=5)
    gitdata("checkout", "--force", "made")
    assert (work.path / "made").read_text() == "two"


def test_what_dvc_does_not_keep_is_left_alone(work: Repo, gitdata: Program) -> None:
    work.write("m.json", "9")
    assert gitdata.json("status")["clean"]


def test_a_broken_lock_stops_nothing_else(work: Repo, gitdata: Program) -> None:
    work.write("data/a", "a")
    gitdata("add", "data")
    work.commit("data")
    work.write("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n")
    shutil.rmtree(work.path / "data")
    done = gitdata("status", check=False)
    assert "merge conflict in dvc.lock" in done.stdout + done.stderr
    gitdata("checkout", "data", check=False)
    assert (work.path / "data/a").read_text() == "a"


def test_what_gitdata_cannot_tell_of_a_pipeline_is_named_and_stops_no_commit(
    work: Repo, gitdata: Program, dvc: Program
) -> None:
    gitdata("status")
    work.write("params.yaml", "folder: sub\n")
    work.write("sub/keep", "")
    more = "  t:\n    wdir: ${folder}\n    cmd: echo t > made\n    outs: [made]\n"
    work.write("dvc.yaml", PIPELINE + more)
    dvc("repro", "-q")
    work.git("add", "-A")
    assert "wdir is a template" in Program("git", cwd=work.path)("commit", "-qm", "templates").stderr
    assert dvc("status").stdout.startswith("Data and pipelines are up to date")
    work.write("dvc.yaml", PIPELINE.replace("[made, dir]", "&all [made, dir]"))
    work.git("add", "-A")
    assert "anchors" in Program("git", cwd=work.path)("commit", "-qm", "an anchor").stderr
    done = gitdata("status", check=False)
    assert "anchors" in done.stdout
    assert "no pointer any more" not in done.stdout
    assert (work.path / "made").read_text() == "two"


def test_a_lock_in_conflict_is_not_committed(work: Repo) -> None:
    work.write("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n")
    work.git("add", "dvc.lock")
    assert "merge conflict in dvc.lock" in Program("git", cwd=work.path)("commit", "-qm", "bad", code=1).stderr
