"""``make demo``, the whole path as a person sees it. The demo checks itself; here: that it ends, and cleanly."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from helpers.machine import Program

ROOT = Path(__file__).parent.parent


@pytest.fixture
def demo(tmp_path: Path) -> Program:
    return Program(str(ROOT / "examples" / "demo"), cwd=tmp_path)


def processes_of(folder: Path) -> list[str]:
    """The command lines of all processes that name the folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line and process.name != str(os.getpid()):
            found.append(line)
    return found


@pytest.mark.slow
def test_three_pushes_run_exactly_what_changed(demo: Program, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    (folder / "work").mkdir(parents=True)
    (folder / ".gitdata-demo").touch()
    (folder / "work" / "left-over").touch()
    # A user's machine: a proxy for the world outside, and none of the settings that keep tests to themselves.
    users = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": "", "DVC_SITE_CACHE_DIR": ""}
    done = demo(env={"DEMO": str(folder), **users}, timeout=900)
    executed = re.findall(r"^Datums that this push executed: (.*)\.$", done.stdout, re.MULTILINE)
    assert executed == [
        "object-detect 7, plot 1, threat-detect 7, validate 8",
        "object-detect 1, plot 1, threat-detect 1, validate 1",
        "none",
    ]
    assert "Data and pipelines are up to date." in done.stdout, "stock DVC brought every output"
    assert (folder / "clone" / "plot" / "threats.png").read_bytes().startswith(b"\x89PNG")
    assert "images/dev1_1511891098.jpg" in done.stdout.split("Where a detection comes from")[1], "traced to its image"
    written = list((folder / "clone" / "threat-detect" / "mail").iterdir())
    assert len(list((folder / "mail").glob("*.json"))) == len(written) >= 2
    assert (folder / "dvc").is_dir(), "DVC writes there, not to /var/tmp"
    assert not (folder / "work" / "left-over").exists(), "a second demo starts over"
    assert processes_of(folder) == [], "nothing is left running"


def test_a_folder_of_somebody_else_is_not_touched(demo: Program, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years of work")
    done = demo(env={"DEMO": str(tmp_path / "mine")}, code=1)
    assert "was not made by this script" in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "ten years of work"
