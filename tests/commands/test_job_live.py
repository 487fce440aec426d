"""What a person sees of a job that runs in pods: what its command prints, how far it is, what keeps it waiting."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from gitdata.controller.clone import open_clone
from gitdata.controller.loop import Controller
from gitdata.controller.site import Site
from gitdata.model import JobStatus
from helpers.lab import SETTINGS, Lab
from helpers.machine import Program
from helpers.pods import PodExecutor, compile_launcher

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the launcher: there is no gcc")
WORDS = "no node takes the pod: 0/3 nodes are available"


class Crowded(PodExecutor):
    """A cluster that has something to say of each job."""

    def status(self, name: str) -> JobStatus | None:
        found = super().status(name)
        return found and replace(found, message=found.message or WORDS)


def test_a_running_job_is_seen_from_another_machine(home: Path, tmp_path: Path, gitdata: Program) -> None:
    lab = Lab.create(tmp_path)
    gitdata("init", "--remote", str(tmp_path / "data"), cwd=lab.work.path)
    lab.image = "registry.example/stage:1"
    lab.work.write("in/a", "1")
    lab.stage("slow", "echo working; sleep 60")
    lab.push("stage")
    executor = Crowded(compile_launcher(tmp_path), str(tmp_path / "data"), tmp_path / "pods")
    git, lock = open_clone(tmp_path / "cache", str(lab.origin.path))
    site = Site(git=git, store=lab.store, executor=executor, origin=str(lab.origin.path))
    with lock, contextlib.closing(executor):
        Controller(site, SETTINGS, say=lab.log.append).turn()
        again = Controller(site, SETTINGS, say=lab.log.append)  # the first one was killed; this one finds the job
        deadline = time.monotonic() + 60
        while "working" not in (said := gitdata("job", "logs", "slow", cwd=lab.work.path)).stdout:
            assert time.monotonic() < deadline, said
            again.turn()
        assert "running, try 1" in said.stderr
        (log,) = json.loads(gitdata("job", "logs", "slow", "--json", cwd=lab.work.path).stdout)
        assert (log["log"], log["inputs"], log["running"]) == ("working\n", ["in:/a"], True)
        seen = json.loads(gitdata("job", "inspect", "slow", "--json", cwd=lab.work.path).stdout)
        assert (seen["state"], seen["message"]) == ("running", WORDS)
        executor.cancel(seen["id"])
        deadline = time.monotonic() + 20
        while any(seen["id"] in info.key for info in lab.store.list("gitdata/v1/main/live/")):
            assert time.monotonic() < deadline
            again.turn()
            time.sleep(0.1)
