"""What a push sends: data that only other pushes should have sent, DVC's own kinds of outputs, and what it refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.machine import Program, Repo

PIPELINE = """\
stages:
  s:
    cmd: cat in in > made && mkdir -p dir && cat in > dir/x && echo 1 > m.json
    deps: [in]
    outs: [made, dir]
    metrics:
    - m.json:
        cache: false
"""
LEGACY = "outs:\n- md5: 5eb63bbbe01eeed093cb22bb8f5acdc3\n  size: 11\n  path: greeting\n"
SKIP = {"GITDATA_SKIP_HOOKS": "1"}


@pytest.fixture
def work(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """With an origin and a data remote; nothing is pushed."""
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", tmp_path / "origin.git")
    gitdata("init", "--remote", tmp_path / "store")
    return repo


def add(work: Repo, gitdata: Program, name: str, text: str) -> None:
    work.write(name, text)
    gitdata("add", name.split("/")[0])
    work.commit(name)


def stored(tmp_path: Path) -> set[str]:
    return {p.read_text() for p in (tmp_path / "store").rglob("*") if p.is_file() and p.suffix != ".dir"}


def push(work: Repo, *, code: int = 0, skip: bool = False) -> str:
    done = Program("git", cwd=work.path)("push", "-u", "origin", "main", env=SKIP if skip else {}, code=code)
    return done.stderr


# --------------------------------------------------------------------------------------------------------- left behind


def test_data_that_an_earlier_push_left_behind_is_sent_by_the_next(
    work: Repo, gitdata: Program, tmp_path: Path
) -> None:
    add(work, gitdata, "images/a", "one")
    push(work, skip=True)
    work.write("README", "text")
    work.commit("text")
    assert stored(tmp_path) == set()
    push(work)
    assert stored(tmp_path) == {"one"}


def test_a_push_of_text_starts_no_python_once_all_is_sent(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    add(work, gitdata, "images/a", "one")
    push(work)
    hook = work.path / ".git/hooks/pre-push"
    hook.write_text(hook.read_text().replace("run_gitdata() {", "run_gitdata() {\n    echo started >&2"))
    work.write("README", "text")
    work.commit("text")
    assert "started" not in push(work)
    shutil.rmtree(tmp_path / "store")  # nothing of it is asked for either
    work.write("README", "more")
    work.commit("text")
    assert "started" not in push(work)
    work.git("config", "-f", ".dvc/config.local", "core.analytics", "false")  # where data goes may be another place now
    work.write("README", "most")
    work.commit("text")
    assert "started" in push(work)


def test_what_is_lost_elsewhere_is_named_and_refuses_nothing(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    add(work, gitdata, "images/a", "one")
    add(work, gitdata, "other/b", "two")
    push(work, skip=True)
    shutil.rmtree(work.path / "images")
    for path in (work.path / ".dvc/cache").rglob("*"):
        if path.is_file() and path.read_text() == "one":
            path.unlink()
    work.write("README", "text")
    work.commit("text")
    assert "images: its data is neither here nor on" in push(work)
    assert stored(tmp_path) == {"two"}
    work.write("README", "more")
    work.commit("text")
    assert "images" in gitdata("push").stderr


def test_what_is_lost_of_the_push_itself_refuses_it(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    add(work, gitdata, "images/a", "one")
    shutil.rmtree(work.path / ".dvc/cache")
    assert "images" in push(work, code=1)
    assert "images" in gitdata("push", "-u", "origin", "main", code=6).stderr
    assert Repo(tmp_path / "origin.git").git("for-each-ref") == ""


def test_a_pointer_that_cannot_be_read_is_named_and_the_others_are_sent(
    work: Repo, gitdata: Program, tmp_path: Path
) -> None:
    add(work, gitdata, "images/a", "one")
    work.write("bad.dvc", "outs:\n- md5: 1\n  path: bad\n  strange: 2\n")
    work.git("add", "bad.dvc")
    work.git("commit", "--no-verify", "-qm", "bad")
    assert "bad.dvc" in push(work)
    assert stored(tmp_path) == {"one"}


def test_a_dry_run_and_a_deletion_move_no_data(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    add(work, gitdata, "images/a", "one")
    gitdata("push", "--dry-run", "origin", "main")
    gitdata("push", "--delete", "origin", "nothing", check=False)
    assert stored(tmp_path) == set()


# -------------------------------------------------------------------------------------------------------- DVC's outputs


def test_the_outputs_of_dvcs_pipelines_are_sent(work: Repo, dvc: Program, tmp_path: Path) -> None:
    work.write("in", "data")
    dvc("add", "-q", "in")
    work.write("dvc.yaml", PIPELINE)
    dvc("repro", "-q")
    work.commit("pipeline")
    push(work)
    assert stored(tmp_path) == {"data", "datadata"}
    shutil.rmtree(work.path / ".dvc/cache")
    shutil.rmtree(work.path / "dir")
    (work.path / "made").unlink()
    dvc("pull", "-q")
    assert (work.path / "made").read_text() == "datadata"
    assert "up to date" in dvc("status").stdout


def test_a_version_of_a_lock_that_is_not_the_last_is_sent_too(work: Repo, dvc: Program, tmp_path: Path) -> None:
    work.write("sub/dvc.yaml", "stages: {s: {cmd: cat in > made, deps: [in], outs: [made]}}\n")
    for text in ("one", "two"):
        work.write("sub/in", text)
        dvc("repro", "-q", "sub/dvc.yaml")
        work.commit(text)
    push(work)
    assert stored(tmp_path) == {"one", "two"}


def test_a_lost_output_of_a_pipeline_refuses_the_push_by_name(work: Repo, dvc: Program) -> None:
    work.write("dvc.yaml", "stages: {s: {cmd: echo 1 > made, outs: [made]}}\n")
    dvc("repro", "-q")
    work.commit("pipeline")
    shutil.rmtree(work.path / ".dvc/cache")
    assert "made (" in push(work, code=1)


def test_a_lock_in_a_merge_conflict_holds_nobody_back(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    add(work, gitdata, "images/a", "one")
    work.write("dvc.yaml", "stages: {s: {cmd: x, outs: [made]}}\n")
    work.write("dvc.lock", "<<<<<<< HEAD\nschema: '2.0'\n=======\n>>>>>>> x\n")
    work.git("add", ".")
    work.git("commit", "--no-verify", "-qm", "conflict")
    assert "merge conflict in dvc.lock" in push(work)
    assert stored(tmp_path) == {"one"}


def test_data_of_dvc_2_is_sent_where_dvc_looks_for_it(work: Repo, dvc: Program, tmp_path: Path) -> None:
    work.write("greeting.dvc", LEGACY)
    work.write(".gitignore", "/greeting\n")
    work.write(".dvc/cache/5e/b63bbbe01eeed093cb22bb8f5acdc3", "hello world")
    work.git("add", "greeting.dvc", ".gitignore", ".dvc")
    work.git("commit", "--no-verify", "-qm", "old")
    push(work)
    assert (tmp_path / "store/5e/b63bbbe01eeed093cb22bb8f5acdc3").read_text() == "hello world"
    shutil.rmtree(work.path / ".dvc/cache")
    dvc("pull", "-q")
    assert (work.path / "greeting").read_text() == "hello world"


def test_lost_data_of_dvc_2_refuses_the_push(work: Repo) -> None:
    work.write("greeting.dvc", LEGACY)
    work.git("add", "greeting.dvc", ".dvc", ".dvcignore")
    work.git("commit", "--no-verify", "-qm", "old")
    assert "greeting (" in push(work, code=1)


def test_a_remote_that_is_left_to_dvc_holds_no_push_back(work: Repo, gitdata: Program, dvc: Program) -> None:
    add(work, gitdata, "images/a", "one")
    dvc("remote", "add", "-q", "-d", "cloud", "s3://bucket/x")
    dvc("remote", "modify", "cloud", "version_aware", "true")
    assert "left to `dvc push`" in push(work)
    assert "cloud is left to DVC" in gitdata("init").stderr


# --------------------------------------------------------------------------------------------------- status --remote


def test_status_remote_lists_what_is_not_there(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    add(work, gitdata, "images/a", "one")
    add(work, gitdata, "images/b", "two")
    push(work)
    assert gitdata("status", "--remote", "--exit-code").stdout == "1 output of the commit, all on the data remote\n"
    [lost] = [p for p in (tmp_path / "store").rglob("*") if p.is_file() and p.read_text() == "two"]
    lost.unlink()
    done = gitdata("status", "--remote", "--exit-code", code=1).stdout
    assert "images: 1 object not on" in done
    assert "images/b (" in done
    assert "gitdata push sends it" in done
    for path in (work.path / ".dvc/cache").rglob("*"):
        if path.is_file() and path.read_text() == "two":
            path.unlink()
    assert "in a clone that has it" in gitdata("status", "--remote").stdout
    [row] = gitdata.json("status", "--remote")["lacking"]
    assert [(one["path"], one["in_cache"]) for one in row["objects"]] == [("images/b", False)]


def test_status_remote_knows_all_kinds_of_outputs(work: Repo, gitdata: Program, dvc: Program) -> None:
    work.write("dvc.yaml", "stages: {s: {cmd: echo 1 > made, outs: [made]}}\n")
    dvc("repro", "-q")
    work.write("greeting.dvc", LEGACY)
    work.git("add", ".")
    work.git("commit", "--no-verify", "-qm", "all")
    done = gitdata.json("status", "--remote")
    assert [row["path"] for row in done["lacking"]] == ["greeting", "made"]


def test_status_remote_says_what_it_cannot_tell(work: Repo, gitdata: Program, dvc: Program) -> None:
    add(work, gitdata, "images/a", "one")
    dvc("remote", "add", "-q", "-d", "gone", "http://127.0.0.1:1/x")
    [row] = gitdata.json("status", "--remote")["lacking"]
    assert "127.0.0.1:1" in row["problem"]


# ------------------------------------------------------------------------------------------------------ other mistakes


def test_an_unknown_git_remote_is_refused_before_data_moves(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    add(work, gitdata, "images/a", "one")
    assert "known: origin" in gitdata("push", "nosuch", "main", code=2).stderr
    assert stored(tmp_path) == set()
    work.git("config", f"url.{tmp_path}/.insteadOf", "short")
    gitdata("push", "shortorigin.git", "main")
    assert stored(tmp_path) == {"one"}


def test_a_pointer_to_an_unknown_data_remote_is_named(work: Repo, gitdata: Program, tmp_path: Path) -> None:
    add(work, gitdata, "images/a", "one")
    good = (work.path / "images.dvc").read_text()
    work.write("images.dvc", good + "  remote: nosuch\n")
    work.commit("elsewhere")
    work.git("reset", "-q", "--soft", "HEAD~2")
    work.git("commit", "--no-verify", "-qm", "only elsewhere")
    said = push(work, code=1)
    assert "images: no data remote named 'nosuch'" in said
    assert "dvc remote add nosuch URL" in said
    work.write("images.dvc", good)
    work.commit("mended")
    push(work)
    assert stored(tmp_path) == {"one"}
