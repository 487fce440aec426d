"""``gitdata controller``: what its arguments mean, and that it ends when it is told."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from gitdata.commands.controller import origin_of
from helpers.builds import wait_for
from helpers.lab import Lab
from helpers.machine import BIN


@pytest.mark.parametrize("url", ["https://example.com/a.git", "git@example.com:a/b.git", "file:///srv/a.git"])
def test_a_url_is_left_as_it_is(url: str) -> None:
    assert origin_of(url) == url


def test_a_folder_that_is_not_there_now_is_still_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert origin_of("../origin.git") == str(tmp_path.parent / "origin.git")
    assert origin_of("./a:b") == str(tmp_path / "a:b")


def test_it_ends_while_an_image_is_fetched_from_a_registry_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid, podman = tmp_path / "pid", tmp_path / "bin/podman"
    podman.parent.mkdir()
    podman.write_text(f'#!/bin/sh\n[ "$1" = pull ] || exit 0\necho $$ > {pid}; exec sleep 600\n')
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", str(podman.parent), prepend=":")
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "a")
    lab.stage("say", "", transform={"image": "registry.example/a:1", "cmd": ["true"]})
    lab.push("a stage")
    options = ["--repo", str(lab.origin.path), "--remote", str(tmp_path / "data")]
    controller = subprocess.Popen([BIN / "gitdata", "controller", *options], stderr=subprocess.PIPE, text=True)
    wait_for(lambda: pid.exists() and pid.read_text() != "")
    controller.send_signal(signal.SIGTERM)
    said = controller.communicate(timeout=60)[1]
    assert "its registry has not answered yet" in said
    assert controller.returncode == 0
    wait_for(lambda: not Path("/proc", pid.read_text().strip()).exists())
