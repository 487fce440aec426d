"""From push to publication with everything real: what a push runs, what it reuses, what it publishes."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from gitdata.controller.published import generated_pointers
from gitdata.controller.serve import serve
from gitdata.formats.dvc import object_key
from helpers.lab import Lab, faster
from helpers.machine import Program

COPY = 'for f in /pfs/in/*; do tr a-z A-Z < "$f" > "/pfs/out/$(basename "$f")"; done'
COUNT = "cat /pfs/upper/* > /pfs/out/all"


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    return Lab.create(tmp_path)


def two_stages(lab: Lab) -> None:
    lab.work.write("in/a", "one")
    lab.work.write("in/b", "two")
    lab.stage("upper", COPY)
    lab.stage("all", COUNT, {"pfs": {"repo": "upper", "glob": "/"}})


def test_a_push_runs_the_stages_and_publishes_their_outputs(lab: Lab) -> None:
    two_stages(lab)
    source = lab.push("stages")
    said = lab.settle()
    assert lab.started(said) == ["upper", "all"]
    assert lab.states() == {"upper": "success", "all": "success"}
    assert lab.files("upper") == {"a": "ONE", "b": "TWO"}
    assert lab.files("all") == {"all": "ONETWO"}
    assert lab.output().source == source


def test_only_new_datums_run(lab: Lab) -> None:
    two_stages(lab)
    lab.push("stages")
    lab.settle()
    lab.work.write("in/c", "three")
    lab.push("one more")
    said = lab.settle()
    assert next(line for line in said if "start upper" in line).endswith("1 datum to do, 2 known")
    assert lab.files("all") == {"all": "ONETWOTHREE"}


def test_a_vanished_datum_takes_its_output_along(lab: Lab) -> None:
    two_stages(lab)
    lab.push("stages")
    lab.settle()
    (lab.work.path / "in/a").unlink()
    lab.push("one less")
    said = lab.settle()
    assert lab.started(said) == ["all"]
    assert lab.files("upper") == {"b": "TWO"}


def test_a_push_that_changes_no_input_runs_nothing(lab: Lab) -> None:
    two_stages(lab)
    lab.push("stages")
    lab.settle()
    before = lab.output()
    lab.work.write("README", "words")
    source = lab.push("readme")
    said = lab.settle()
    assert lab.started(said) == []
    assert lab.output().source == source
    assert lab.output().stages == before.stages


def test_the_output_commit_holds_the_source_tree_and_pointers_of_both_parents(lab: Lab) -> None:
    two_stages(lab)
    lab.push("stages")
    lab.settle()
    first = lab.tip()
    lab.work.write("README", "words")
    source = lab.push("readme")
    lab.settle()
    tip = lab.tip()
    assert tip is not None
    assert list(lab.origin.commit(tip).parents) == [first, source]
    paths = {entry.path for entry in lab.origin.ls_tree(tip)}
    assert {"README", "in/a", "upper.dvc", "all.dvc", ".gitignore"} <= paths
    assert (lab.origin.file(tip, ".gitignore") or b"").split() == [b"/upper", b"/all"]


def test_stock_dvc_pulls_every_output_of_the_output_branch(lab: Lab, dvc: Program, tmp_path: Path) -> None:
    two_stages(lab)
    lab.work.write(".dvc/config", f"[core]\n    remote = s\n['remote \"s\"']\n    url = {tmp_path / 'data'}\n")
    lab.push("stages")
    lab.settle()
    lab.work.git("clone", "--quiet", "--branch", "gitdata/main", str(tmp_path / "origin.git"), str(tmp_path / "user"))
    dvc("pull", cwd=tmp_path / "user")
    assert (tmp_path / "user/all/all").read_text() == "ONETWO"
    assert (tmp_path / "user/upper/a").read_text() == "ONE"
    assert dvc("status", "--json", cwd=tmp_path / "user").stdout.strip() == "{}"


def test_a_failed_datum_stops_neither_the_others_nor_the_loop(lab: Lab) -> None:
    two_stages(lab)
    lab.stage("upper", f"grep -q two /pfs/in/* && {{ echo broken >&2; exit 3; }} || true\n{COPY}", datum_tries=2)
    lab.push("broken")
    lab.settle()
    assert lab.states() == {"upper": "failed", "all": "unrunnable"}
    assert "upper.dvc" not in {entry.path for entry in lab.origin.ls_tree(lab.tip() or "")}
    lab.work.write("in/b", "TWO")
    lab.push("repaired")
    said = lab.settle()
    assert "1 datum to do, 1 known" in "\n".join(said)
    assert lab.states() == {"upper": "success", "all": "success"}


def test_a_failed_stage_keeps_the_bytes_of_the_last_commit_marked_stale(lab: Lab) -> None:
    two_stages(lab)
    good = lab.push("good")
    lab.settle()
    lab.stage("all", "exit 7", {"pfs": {"repo": "upper", "glob": "/"}}, datum_tries=1)
    lab.push("bad")
    lab.settle()
    pointer = generated_pointers(lab.origin, lab.tip())["all"]
    assert (pointer.meta["state"], pointer.meta["stale"], pointer.meta["source"]) == ("failed", True, good)
    lab.work.write("README", "still bad")
    lab.push("still bad")
    lab.settle()
    assert generated_pointers(lab.origin, lab.tip())["all"].meta["source"] == good
    assert lab.files("all") == {"all": "ONETWO"}


def test_two_datums_that_write_one_path_fail_the_run_and_are_named(lab: Lab) -> None:
    lab.work.write("in/a", "one")
    lab.work.write("in/b", "two")
    lab.stage("clash", "echo x > /pfs/out/same")
    lab.push("clash")
    said = "\n".join(lab.settle())
    assert lab.states() == {"clash": "failed"}
    assert "two datums wrote same" in said


def test_no_datums_succeed_with_an_empty_output(lab: Lab) -> None:
    two_stages(lab)
    lab.stage("none", COPY, {"pfs": {"repo": "in", "glob": "/zz*"}})
    lab.push("none")
    lab.settle()
    assert lab.states()["none"] == "success"
    assert lab.files("none") == {}


def test_a_bad_spec_is_recorded_and_stops_nothing(lab: Lab) -> None:
    two_stages(lab)
    lab.push("good")
    lab.settle()
    lab.work.write("stages/bad.json", json.dumps({"pipeline": {"name": "bad"}, "transfrom": {}}))
    source = lab.push("bad")
    lab.settle()
    assert lab.output().source == source
    assert "stages/bad.json" in lab.output().error
    assert generated_pointers(lab.origin, lab.tip())["all"].meta["stale"] is True
    (lab.work.path / "stages/bad.json").unlink()
    lab.push("good again")
    said = lab.settle()
    assert lab.started(said) == []
    assert lab.states() == {"upper": "success", "all": "success"}


def test_a_commit_without_stages_publishes_nothing(lab: Lab) -> None:
    said = lab.settle()
    assert lab.tip() is None
    assert lab.started(said) == []


def test_lost_objects_are_made_again(lab: Lab) -> None:
    two_stages(lab)
    lab.push("stages")
    lab.settle()
    listing = generated_pointers(lab.origin, lab.tip())["all"].output.oid
    file = next(iter(lab.root.joinpath("data/files/md5").glob("*/*")))
    for file in lab.root.joinpath("data/files/md5").glob("*/*"):
        if not file.name.endswith(".dir"):
            file.unlink()
    assert lab.store.head(object_key(listing)) is not None
    lab.work.write("README", "words")
    lab.push("readme")
    lab.settle()
    assert lab.files("all") == {"all": "ONETWO"}


def test_five_pushes_in_a_row_end_in_the_last_one(lab: Lab) -> None:
    two_stages(lab)
    lab.push("stages")
    with lab.controller() as controller:
        stop = threading.Event()
        thread = threading.Thread(target=serve, args=(controller,), kwargs={"once": False, "stop": stop})
        thread.start()
        for number in range(5):
            lab.work.write(f"in/n{number}", f"n{number}")
            last = lab.push(f"push {number}")
        for _ in range(600):
            if lab.tip() is not None and lab.output().source == last:
                break
            threading.Event().wait(0.05)
        stop.set()
        thread.join()
    assert lab.output().source == last
    assert set(lab.files("upper")) == {"a", "b", "n0", "n1", "n2", "n3", "n4"}


def test_a_force_push_is_followed(lab: Lab) -> None:
    two_stages(lab)
    base = lab.work.git("rev-parse", "HEAD").strip()
    lab.push("first")
    lab.settle()
    lab.work.git("reset", "--quiet", "--soft", base)
    lab.work.write("in/a", "other")
    source = lab.push("rewritten", force=True)
    lab.settle()
    assert lab.output().source == source
    assert lab.files("upper")["a"] == "OTHER"


def test_outputs_of_a_deleted_branch_are_archived(lab: Lab) -> None:
    two_stages(lab)
    settings = faster(branches=("*",))
    lab.push("stages", "side")
    lab.settle(settings)
    tip = lab.tip("side")
    lab.work.git("push", "--quiet", "origin", ":refs/heads/side")
    lab.settle(settings)
    assert lab.tip("side") is None
    assert lab.origin.refs("refs/gitdata/archive") == {f"refs/gitdata/archive/side/{tip}": tip}


def test_another_branch_reuses_what_is_known(lab: Lab) -> None:
    two_stages(lab)
    settings = faster(branches=("*",))
    lab.push("stages")
    lab.settle(settings)
    lab.push("stages", "copy")
    said = lab.settle(settings)
    assert lab.started(said) == []
    assert lab.output("copy").stages == lab.output("main").stages


def test_unwatched_branches_are_left_alone(lab: Lab) -> None:
    two_stages(lab)
    lab.push("stages", "side")
    lab.settle()
    assert lab.tip("side") is None


def test_two_controllers_publish_one_result(lab: Lab) -> None:
    two_stages(lab)
    lab.push("stages")
    threads = [threading.Thread(target=lab.settle) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lab.states() == {"upper": "success", "all": "success"}
    assert len(lab.origin.text("rev-list", "--first-parent", lab.tip() or "").split()) >= 2
    assert lab.files("all") == {"all": "ONETWO"}
