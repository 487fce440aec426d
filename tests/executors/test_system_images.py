"""What the system's own images are made of and called; tests/stage_images builds them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import gitdata
from gitdata.errors import InvalidInputError, MachineError
from gitdata.executors.system_images import SYSTEM, lay_out, system_reference

ROOT = Path(__file__).parents[2]
NAMES = """
from gitdata.executors.system_images import SYSTEM, system_reference
for name in SYSTEM: print(system_reference("registry.example/t", name))
"""


@pytest.mark.parametrize("name", SYSTEM)
def test_a_reference_names_version_and_content(name: str) -> None:
    found = system_reference("registry.example/team/", name)
    version = re.escape(gitdata.__version__)
    assert re.fullmatch(rf"registry\.example/team/gitdata-{name}:{version}-[0-9a-f]{{16}}", found)
    assert found == system_reference("registry.example/team", name)
    assert found != system_reference("registry.example/team", name, platform="linux/arm64")


def test_a_reference_changes_with_what_the_image_takes_and_with_nothing_else(tmp_path: Path) -> None:
    """As an installation does: the package with its folders beside it, somewhere else, with leftovers."""
    shutil.copytree(ROOT / "gitdata", tmp_path / "gitdata")
    for name in SYSTEM:
        shutil.copytree(ROOT / "stage-images" / name, tmp_path / "gitdata" / "_share" / "stage-images" / name)

    def named() -> list[str]:
        command = [sys.executable, "-c", NAMES]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.split()

    def change(path: Path) -> None:
        path.write_text(f"{path.read_text()}# more\n")

    first = named()
    assert first == [system_reference("registry.example/t", name) for name in SYSTEM]
    change(tmp_path / "gitdata" / "commands" / "plan.py")
    (tmp_path / "gitdata" / "worker" / "agent.py").chmod(0o600)
    second = named()
    assert [a == b for a, b in zip(first, second, strict=True)] == [True, False, True]
    change(tmp_path / "gitdata" / "worker" / "agent.py")
    assert [a == b for a, b in zip(second, named(), strict=True)] == [False, False, True]


def test_the_context_of_the_worker_is_enough_for_the_agent(tmp_path: Path) -> None:
    context = lay_out("worker", tmp_path / "context")
    assert not (context / "gitdata" / "commands").exists()
    assert (context / "stage-images" / "worker" / "launcher.c").stat().st_mode & 0o777 == 0o644
    modules = "gitdata.worker.agent, gitdata.worker.context, gitdata.backends.s3"
    subprocess.run([sys.executable, "-c", f"import {modules}"], cwd=context, check=True)


def test_the_context_of_the_controller_has_its_command(tmp_path: Path) -> None:
    context = lay_out("controller", tmp_path / "context")
    assert (context / "stage-images" / "controller" / "gitdata").stat().st_mode & 0o777 == 0o755
    assert not (context / "gitdata" / "_share").exists()


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(MachineError, match="no system image 'plot'"):
        system_reference("registry.example/team", "plot")
    with pytest.raises(InvalidInputError, match="nor an image with its registry"):
        system_reference("Not A Registry", "worker")
