"""What references mean, while an engine takes long, says nothing, or fails. The engine is a program that does so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from gitdata.backends.containers import Engine
from gitdata.errors import MachineError, RemoteError
from gitdata.executors.local_references import References
from helpers.builds import wait_for

IMAGE, DIGEST = "registry.example/a:1", f"sha256:{64 * '1'}"


def engine(folder: Path, pull: str) -> Engine:
    """podman whose ``pull`` is this shell command; what it has fetched it knows."""
    program = folder / "podman"
    known = f"[ -e {folder}/here ] && echo {DIGEST}"
    program.write_text(f'#!/bin/sh\ncase "$1" in pull) {pull};; image) {known};; *) exec sleep 600;; esac\n')
    program.chmod(0o755)
    return Engine(str(program))


def test_nobody_waits_for_a_pull_that_takes_long(tmp_path: Path) -> None:
    podman = engine(tmp_path, f"while [ ! -e {tmp_path}/go ]; do sleep 0.05; done; touch {tmp_path}/here")
    references = References(moment=0.01)
    for _ in range(3):
        with pytest.raises(RemoteError, match="not answered yet") as caught:
            references.environment(podman, IMAGE, "")
        assert caught.value.transient
    (tmp_path / "go").touch()
    assert References(moment=None).environment(podman, IMAGE, "") == f"oci:{DIGEST}"


def test_closing_ends_a_pull(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    references = References(moment=0.01)
    with pytest.raises(RemoteError):
        references.environment(engine(tmp_path, f"echo $$ > {pid}; exec sleep 600"), IMAGE, "")
    wait_for(lambda: pid.exists() and pid.read_text() != "")
    references.close()
    wait_for(lambda: not Path("/proc", pid.read_text().strip()).exists())


def test_a_failure_that_came_late_stays_until_the_plan_is_made_again(tmp_path: Path) -> None:
    """A commit is planned once more before it is published: it must not wait again then."""
    podman = engine(tmp_path, "sleep 1; echo connection refused >&2; exit 1")
    references = References(moment=0.01)
    deadline = time.monotonic() + 60
    while True:
        try:
            references.environment(podman, IMAGE, "")
        except RemoteError:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        except MachineError:
            break
    with pytest.raises(MachineError, match="could not be reached") as caught:
        references.environment(podman, IMAGE, "")
    assert not caught.value.transient, "a name that was mistyped must not wait for ever"


def test_an_engine_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    program = engine(tmp_path, "exec sleep 600").program
    with pytest.raises(MachineError, match=r"podman ps did not answer within 0\.2 s") as caught:
        Engine(program, call_seconds=0.2).remove("a=b")
    assert caught.value.transient
    with pytest.raises(MachineError, match=r"had not fetched it after 0\.2 s"):
        Engine(program, pull_seconds=0.2).resolve(IMAGE)
