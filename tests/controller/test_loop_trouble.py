"""What remotes, hands and disks of other people do to the loop: it says so once, neither hammers nor hangs, goes on."""

from __future__ import annotations

import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from gitdata.controller.facts import Wish
from gitdata.controller.launch import record, write_record
from gitdata.controller.published import output_ref
from gitdata.controller.serve import serve
from gitdata.controller.watch import Remote, look
from gitdata.errors import InvalidInputError, RemoteError
from gitdata.identity import sha256
from helpers.lab import Lab, faster

COPY = "cp /pfs/in/* /pfs/out/"


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("copy", COPY)
    return lab


def refuse(lab: Lab, pattern: str) -> Path:
    """Make the origin count and refuse pushes of refs; the file that gets a line for each push."""
    hook, pushes = lab.root / "origin.git/hooks/pre-receive", lab.root / "pushes"
    pushes.touch()
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        f"#!/bin/sh\necho push >> {pushes}\nwhile read old new ref; do case $ref in {pattern}) exit 1;; esac; done\n"
    )
    hook.chmod(0o755)
    return pushes


def test_a_remote_that_refuses_the_outputs_is_a_problem_after_a_few_tries(lab: Lab) -> None:
    lab.push("stages")
    pushes = refuse(lab, "refs/heads/gitdata/*")
    with pytest.raises(RemoteError, match="refuses the push of the outputs"):
        lab.settle()
    assert len(pushes.read_text().splitlines()) == 5
    assert sum("stages" in line for line in lab.log) == 1  # the commit is named once, not at every try
    (lab.root / "origin.git/hooks/pre-receive").unlink()
    lab.settle()
    assert lab.files("copy") == {"a": "one"}


def test_a_refused_branch_does_not_keep_the_others(lab: Lab) -> None:
    lab.push("stages")
    lab.push("stages", branch="other")
    refuse(lab, "refs/heads/gitdata/main")
    with pytest.raises(RemoteError):
        lab.settle(faster(branches=("*",)))
    assert lab.states("other") == {"copy": "success"}


def test_what_cannot_be_archived_is_not_tried_at_every_turn(lab: Lab) -> None:
    lab.push("stages")
    lab.settle()
    lab.origin.update_ref(output_ref("gone"), str(lab.tip()))
    pushes = refuse(lab, "refs/gitdata/archive/*")
    with lab.controller() as controller:
        for _ in range(3):
            controller.turn()
    assert len(pushes.read_text().splitlines()) == 1


def test_what_somebody_wrote_to_the_output_branch_does_not_stop_it(lab: Lab) -> None:
    lab.push("stages")
    lab.settle()
    origin = lab.origin
    tip = lab.tip()
    assert tip is not None
    bad = origin.write_blob(b"outs: [{md5: zzz, path: ../../x}]\n")
    made = origin.commit(tip)
    tree = origin.change_tree(made.tree, {"hand.dvc": ("100644", bad), "copy.dvc": ("100644", bad)})
    origin.update_ref(
        output_ref("main"),
        hand := origin.write_commit(tree, [tip], "by hand\n", author=made.author, committer=made.committer),
    )
    lab.work.write("in/b", "two")
    lab.push("more")
    lab.settle()
    assert lab.files("copy") == {"a": "one", "b": "two"}
    assert origin.is_ancestor(hand, str(lab.tip()))


def test_a_new_default_branch_is_followed(lab: Lab) -> None:
    lab.push("stages")
    with lab.controller() as controller:
        serve(controller, once=True, stop=threading.Event())
        lab.work.git("push", "--quiet", "origin", "HEAD:refs/heads/trunk")
        lab.origin.run("symbolic-ref", "HEAD", "refs/heads/trunk")
        serve(controller, once=True, stop=threading.Event())
    assert lab.states("trunk") == {"copy": "success"}


def test_a_data_remote_that_cannot_be_written_is_an_error_of_once(lab: Lab) -> None:
    lab.push("stages")
    (lab.root / "data/files").write_text("in the way")
    with pytest.raises(RemoteError, match="files"):
        lab.settle()


@pytest.mark.parametrize("kind", ["datums", "runs"])
@pytest.mark.parametrize("bad", ["changed", "empty"])
def test_damaged_records_are_left_out_and_said_once(lab: Lab, kind: str, bad: str) -> None:
    lab.push("stages")
    lab.settle()
    for path in (lab.root / "data/gitdata/v1/main" / kind).rglob("*-*" if kind == "datums" else "?" * 64):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes().replace(b'"tries":1', b'"tries":7') + b" " if bad == "changed" else b"")
    lab.work.write("in/b", "two")
    lab.push("more")
    said = lab.settle()
    assert lab.files("copy") == {"a": "one", "b": "two"}
    damaged = [line for line in said if "is damaged" in line]
    assert len(damaged) == len(set(damaged))
    assert bool(damaged) == (kind == "datums")  # the records are of another run, and are not looked at


def test_a_damaged_result_is_made_again(lab: Lab) -> None:
    lab.push("stages")
    lab.settle()
    for path in (lab.root / "data/gitdata/v1/main/runs").glob("*/*"):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes().replace(b'"total":1', b'"total":9') + b" ")
    lab.push("again")
    said = lab.settle()
    assert lab.states() == {"copy": "success"}
    assert sum("is damaged" in line for line in said) == 2  # that it started, and its result


def test_a_push_after_a_commit_that_cannot_be_planned_is_gone_on_to(lab: Lab) -> None:
    lab.push("stages")
    lab.settle()
    [run] = lab.root.glob("data/gitdata/v1/main/runs/*")
    (run / sha256(b'{"v":2}')).write_bytes(b'{"v":2}')
    with lab.controller() as controller:
        lab.push("the same run")
        with pytest.raises(InvalidInputError, match="newer than this gitdata"):
            serve(controller, once=True, stop=threading.Event())
        lab.work.write("in/a", "mended")
        mended = lab.push("another run")
        serve(controller, once=True, stop=threading.Event())
    assert lab.output().source == mended
    assert lab.files("copy") == {"a": "mended"}


def test_a_clock_that_was_ahead_does_not_hold_a_run_back(lab: Lab) -> None:
    commit = lab.push("stages")
    stop = threading.Event()
    with lab.controller() as controller:
        look(controller.site.git, controller.site.origin, Remote())
        survey = controller.driver.facts.survey(Wish(commit, "main", default_branch="main"))
        tomorrow = controller.clock() + 86_400_000
        failed = record(survey.plans["copy"], survey, "failed", tomorrow)
        write_record(controller.site, replace(failed, cause="infrastructure", message="power"))
        limit = threading.Timer(20, stop.set)
        limit.start()
        serve(controller, once=True, stop=stop)
        limit.cancel()
    assert lab.states() == {"copy": "success"}


def test_a_cache_that_is_emptied_while_the_controller_runs_is_made_again(lab: Lab) -> None:
    lab.push("stages")
    with lab.controller() as controller:
        serve(controller, once=True, stop=threading.Event())
        shutil.rmtree(lab.root / "cache")
        lab.work.write("in/b", "two")
        lab.push("more")
        serve(controller, once=True, stop=threading.Event())
    assert lab.files("copy") == {"a": "one", "b": "two"}
