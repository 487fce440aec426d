"""What wakes a controller that sleeps: a push to a repository on this machine, at once; and what stops it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from gitdata.controller.clone import open_clone
from gitdata.controller.loop import Controller
from gitdata.controller.serve import WakeFile, serve
from gitdata.controller.site import Site
from gitdata.errors import RemoteError
from gitdata.executors.local import LocalExecutor
from gitdata.model import JobStatus
from helpers.lab import Lab, faster
from helpers.machine import Program


def test_the_post_receive_hook_wakes_a_controller_that_would_sleep_long(
    home: Path, tmp_path: Path, gitdata: Program
) -> None:
    lab = Lab.create(tmp_path)
    gitdata("hooks", "install", "--server", cwd=lab.origin.path)
    lab.work.write("in/a", "one")
    lab.stage("upper", "tr a-z A-Z < /pfs/in/a > /pfs/out/a")
    stop = threading.Event()
    with lab.controller(faster(poll_seconds=600.0)) as controller:
        thread = threading.Thread(target=serve, args=(controller,), kwargs={"once": False, "stop": stop})
        thread.start()
        while not controller.branches:  # it has looked once, and sleeps
            time.sleep(0.02)
        source = lab.push("stage")
        end = time.monotonic() + 60
        while (lab.tip() is None or lab.output().source != source) and time.monotonic() < end:
            time.sleep(0.05)
        stop.set()
        thread.join()
    assert lab.files("upper") == {"a": "ONE"}


def test_a_wake_up_between_two_looks_is_not_missed(tmp_path: Path) -> None:
    wake = WakeFile(str(tmp_path))
    assert not wake.moved()
    (tmp_path / "gitdata").mkdir()
    (tmp_path / "gitdata/wake").touch()
    assert wake.moved()
    wake.seen()
    assert not wake.moved()


def test_a_controller_that_is_told_to_stop_ends_at_once_and_leaves_nothing(home: Path, tmp_path: Path) -> None:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("slow", "sleep 317")
    lab.push("stage")
    command = [sys.executable, "-m", "gitdata", "controller", "--repo", str(lab.origin.path)]
    process = subprocess.Popen([*command, "--remote", str(tmp_path / "data")], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    for line in process.stderr:
        if "start slow" in line:
            break
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    process.stderr.read()
    process.stderr.close()
    assert process.wait(15) == 0
    assert not running("317")


def running(word: str) -> bool:
    """Whether a process of this machine has ``word`` among its arguments."""
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in file.read_bytes().split(b"\0"):
                return True
        except OSError:  # it ended while we looked
            continue
    return False


def test_the_heartbeat_says_how_the_last_turn_went(home: Path, tmp_path: Path) -> None:
    lab = Lab.create(tmp_path)
    lab.push("nothing to do")
    beat, gone = tmp_path / "beat", tmp_path / "gone"
    stop = threading.Event()
    with lab.controller(faster()) as controller:
        serve(controller, once=True, stop=stop, heartbeat=beat)
        assert beat.read_text() == "ok\n"
        lab.origin.path.rename(gone)
        thread = threading.Thread(
            target=serve, args=(controller,), kwargs={"once": False, "stop": stop, "heartbeat": beat}
        )
        thread.start()
        end = time.monotonic() + 30
        while not beat.read_text().startswith("cannot read") and time.monotonic() < end:
            time.sleep(0.02)
        stop.set()
        thread.join()
    assert beat.read_text().startswith(f"cannot read {lab.origin.path}")


class Away(LocalExecutor):
    """An executor that cannot be asked what it knows, as when an API server restarts."""

    asked = 0

    def jobs(self) -> dict[str, JobStatus]:
        self.asked += 1
        raise RemoteError("the API server cannot be reached", transient=True)


def test_an_executor_that_cannot_be_asked_is_waited_for(home: Path, tmp_path: Path) -> None:
    lab = Lab.create(tmp_path)
    git, lock = open_clone(tmp_path / "cache", str(lab.origin.path))
    executor = Away(str(tmp_path / "data"), cache_home=tmp_path / "cache")
    site = Site(git=git, store=lab.store, executor=executor, origin=str(lab.origin.path))
    stop = threading.Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            serve(Controller(site, faster(), say=lab.log.append), once=False, stop=stop)
        except RemoteError as error:
            failed.append(error)

    with lock:
        thread = threading.Thread(target=work)
        thread.start()
        end = time.monotonic() + 30
        while (executor.asked < 5 or not any("trying again" in line for line in lab.log)) and thread.is_alive():
            assert time.monotonic() < end
            time.sleep(0.02)
        stop.set()
        thread.join()
    assert failed == []
