"""Setting up on a machine that lacks something ends in one clear line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from helpers.machine import Program

ROOT = Path(__file__).parent.parent


@pytest.fixture
def venv(tmp_path: Path) -> Program:
    return Program("sh", str(ROOT / ".ci" / "venv"), cwd=tmp_path)


def interpreter(path: Path, version: str, *, ensurepip: bool) -> Path:
    """A Python that answers the two questions of .ci/venv as the test wants, and can do nothing else."""
    path.write_text(
        "#!/bin/sh\n"
        'case "$2" in\n'
        f"  *print*) echo {version} ;;\n"
        f"  *ensurepip*) exit {int(not ensurepip)} ;;\n"
        "  *) exit 99 ;;\n"
        "esac\n"
    )
    path.chmod(0o755)
    return path


def test_no_python(venv: Program, tmp_path: Path) -> None:
    done = venv(code=1, env={"PYTHON": "python3.99", "VENV": str(tmp_path / "v")})
    assert done.stderr.splitlines()[0] == "gitdata: python3.99 is not installed"
    assert "apt-get install python3 python3-venv" in done.stderr


@pytest.mark.parametrize("version", ["3.9", "3.14"])
def test_a_python_that_is_too_old_or_too_new(venv: Program, tmp_path: Path, version: str) -> None:
    python = interpreter(tmp_path / "python3", version, ensurepip=True)
    done = venv(code=1, env={"PYTHON": str(python), "VENV": str(tmp_path / "v")})
    assert f"is Python {version}, but 3.11, 3.12 or 3.13 is needed" in done.stderr


def test_a_python_without_venv(venv: Program, tmp_path: Path) -> None:
    python = interpreter(tmp_path / "python3", "3.12", ensurepip=False)
    done = venv(code=1, env={"PYTHON": str(python), "VENV": str(tmp_path / "v")})
    assert done.stderr.splitlines()[1] == "hint: on Debian and Ubuntu: apt-get install python3.12-venv"
    assert not (tmp_path / "v").exists()


def test_no_git(venv: Program, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    done = venv(code=1, env={"PYTHON": sys.executable, "PATH": str(tmp_path / "bin")})
    assert done.stderr.splitlines() == [
        "gitdata: git is not installed",
        "hint: on Debian and Ubuntu: apt-get install git",
    ]


@pytest.mark.parametrize(("version", "is_enough"), [("2.35.9", False), ("2.36.0", True), ("3.0 (Apple Git-1)", True)])
def test_a_git_that_is_too_old(venv: Program, tmp_path: Path, version: str, is_enough: bool) -> None:
    git = tmp_path / "git"
    git.write_text(f"#!/bin/sh\necho 'git version {version}'\n")
    git.chmod(0o755)
    done = venv(code=1, env={"PYTHON": "python3.99", "PATH": f"{tmp_path}:{os.environ['PATH']}"})
    problem = "python3.99 is not installed" if is_enough else f"this is git {version}, but 2.36 or newer is needed"
    assert done.stderr.splitlines()[0] == f"gitdata: {problem}"
