"""Two controllers, several branches and pushes that cross: nothing is published twice, backwards or left behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitdata.controller.drive import Driver
from gitdata.controller.jobs import list_jobs
from gitdata.controller.loop import Controller, now_ms
from gitdata.controller.serve import serve
from gitdata.identity import sha256
from helpers.lab import Lab, faster

COPY = "cp /pfs/in/* /pfs/out/"


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("copy", COPY)
    return lab


def until(controller: Controller, reached: Callable[[], bool]) -> None:
    """Turns of one controller until something is so."""
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end, controller.driver.site.executor.jobs()
        controller.turn()
        time.sleep(0.05)


def test_what_another_controller_published_is_not_published_again(lab: Lab) -> None:
    lab.push("stages")
    with lab.controller() as late, lab.controller() as early:
        late.turn()  # has begun the commit
        serve(early, once=True, stop=threading.Event())
        tip = lab.tip()
        serve(late, once=True, stop=threading.Event())
    assert lab.tip() == tip


def test_an_older_commit_is_not_published_over_a_newer_one(lab: Lab) -> None:
    lab.push("stages")
    with lab.controller() as late, lab.controller() as early:
        late.turn()
        lab.work.write("in/b", "two")
        newer = lab.push("more")
        serve(early, once=True, stop=threading.Event())
        tip = lab.tip()
        serve(late, once=True, stop=threading.Event())
    assert lab.tip() == tip
    assert lab.output().source == newer


def test_once_ends_with_the_newest_push_not_with_the_commit_in_progress(lab: Lab) -> None:
    lab.push("stages")
    with lab.controller() as controller:
        controller.turn()
        lab.work.write("in/b", "two")
        newer = lab.push("more")
        serve(controller, once=True, stop=threading.Event())
    assert lab.output().source == newer


def test_two_branches_are_published_in_one_turn(lab: Lab) -> None:
    lab.push("stages")
    lab.settle()
    lab.push("again", branch="x")
    lab.push("again", branch="y")
    with lab.controller(faster(branches=("*",))) as controller:
        controller.turn()
    assert lab.output("x").stages == lab.output("y").stages == lab.output().stages
    assert not [line for line in lab.log if "refused" in line]


def test_an_error_of_one_branch_cancels_no_job(lab: Lab) -> None:
    lab.stage("copy", f"sleep 3; {COPY}")
    lab.push("slow")
    with lab.controller() as controller:
        controller.turn()
        [run] = lab.root.glob("data/gitdata/v1/main/runs/*")
        newer = run / sha256(body := b'{"v":2}')
        newer.write_bytes(body)
        controller.driver = Driver(controller.site, say=lab.log.append, clock=now_ms)  # it believes nothing
        controller.turn()
        assert controller.problems
        newer.unlink()
        serve(controller, once=True, stop=threading.Event())
    assert not [line for line in lab.log if "cancel" in line]
    assert lab.files("copy") == {"a": "one"}


@pytest.mark.parametrize("restarted", [False, True])
def test_a_cancelled_job_that_is_wanted_again_is_no_failed_attempt(lab: Lab, restarted: bool) -> None:
    def shown() -> list[tuple[str, bool, str]]:
        return [(row.state, row.finished > 0, row.message) for row in list_jobs(lab.store, "main", (), 9)]

    lab.stage("copy", f"sleep 2; {COPY}")
    wanted = lab.push("slow")
    with lab.controller() as controller:
        controller.turn()
        assert shown() == [("running", False, "")]
        lab.work.git("push", "--quiet", "--force", "origin", "HEAD~1:refs/heads/main")
        if restarted:
            controller.driver = Driver(controller.site, say=lab.log.append, clock=now_ms)
        until(controller, lambda: not controller.site.executor.jobs())
        assert shown() == [("cancelled", True, "no commit wants it")]
        lab.work.git("push", "--quiet", "--force", "origin", f"{wanted}:refs/heads/main")
        serve(controller, once=True, stop=threading.Event())
    assert [line for line in lab.log if "cancel" in line]
    started = [line.split(": ")[1] for line in lab.log if ": start " in line]
    assert len(started) == 2
    assert len(set(started)) == 1
    assert shown() == [("success", True, "")]


def test_what_another_controller_packed_is_not_packed_again(lab: Lab) -> None:
    lab.work.write("in/b", "two")
    first = lab.push("two")
    lab.settle()
    lab.work.write("in/c", "three")
    lab.push("three")  # its datum goes into one pack with the others
    lab.settle()
    packs = {info.key for info in lab.store.list("gitdata/v1/main/datums/") if "pack-" in info.key}
    assert len(packs) == 2
    for info in list(lab.store.list("gitdata/v1/main/runs/")):  # it was killed before it recorded the run
        record = json.loads(lab.store.read(info.key))
        if record["kind"] == "result" and record["commit"] != first:
            (lab.root / "data" / info.key).unlink()
    lab.origin.run("update-ref", "refs/heads/gitdata/main", "refs/heads/gitdata/main~1")
    assert lab.started(lab.settle()) == []
    assert lab.states() == {"copy": "success"}
    assert {info.key for info in lab.store.list("gitdata/v1/main/datums/") if "pack-" in info.key} == packs
