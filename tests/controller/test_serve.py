"""What wakes a controller that sleeps: a push to a repository on this machine, at once; and what stops it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitdata.controller.clone import open_clone
from gitdata.controller.jobs import list_jobs
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


@contextmanager
def silence() -> Iterator[str]:
    """host:port of a server that takes every connection and then says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("what", ["git", "data"])
def test_a_controller_whose_server_says_nothing_ends_when_it_is_told_to(home: Path, tmp_path: Path, what: str) -> None:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("upper", "true")
    lab.push("stage")
    with silence() as address:
        origin = f"http://{address}/x.git" if what == "git" else str(lab.origin.path)
        config = tmp_path / "c.toml"
        config.write_text(f'[remote]\nendpointurl = "http://{address}"\naccess_key_id = "k"\nsecret_access_key = "s"\n')
        data = [str(tmp_path / "data")] if what == "git" else ["s3://bucket/x", "--config", str(config)]
        command = [sys.executable, "-m", "gitdata", "controller", "--repo", origin, "--remote", *data]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert process.stderr is not None
        assert "watching" in process.stderr.readline()
        time.sleep(1)
        process.send_signal(signal.SIGTERM)
        said = process.stderr.read()
        process.stderr.close()
        assert process.wait(30) == 0
    assert "Traceback" not in said
    assert "cannot" not in said
    end = time.monotonic() + 60
    while what == "git" and running(origin):  # git ends its own helper
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_controller_that_is_told_to_stop_while_it_begins_says_nothing(home: Path, tmp_path: Path) -> None:
    lab = Lab.create(tmp_path)
    command = [sys.executable, "-m", "gitdata", "controller", "--repo", str(lab.origin.path), "--remote", "data"]
    for delay in (0.05, 0.2, 0.4, 0.6, 0.8):
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        time.sleep(delay)
        process.send_signal(signal.SIGINT if delay == 0.6 else signal.SIGTERM)
        _, said = process.communicate(timeout=60)
        assert process.returncode in (0, -signal.SIGTERM, -signal.SIGINT, 130), (delay, said)
        assert "Traceback" not in said
        assert "cannot" not in said


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_jobs_of_a_controller_that_ended_are_not_running_for_ever(home: Path, tmp_path: Path, end: int) -> None:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("slow", "sleep 317")
    lab.push("stage")
    command = [sys.executable, "-m", "gitdata", "controller", "--repo", str(lab.origin.path)]
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache-home")}
    process = subprocess.Popen(
        [*command, "--remote", str(tmp_path / "data")], stderr=subprocess.PIPE, text=True, env=env
    )
    assert process.stderr is not None
    while "start slow" not in process.stderr.readline():
        pass
    while not running("317"):
        time.sleep(0.05)
    process.send_signal(end)
    process.communicate()
    lab.stage("slow", "true")
    lab.push("not so slow")
    done = subprocess.run([*command, "--remote", str(tmp_path / "data"), "--once"], env=env, check=False)
    assert done.returncode == 0
    rows = list_jobs(lab.store, "main", (), 10)
    assert sorted((row.state, row.message) for row in rows) == [
        ("cancelled", "the controller that ran it ended"),
        ("success", ""),
    ]
