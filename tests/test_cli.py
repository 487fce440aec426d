"""The command line itself: the overview, the way to a verb, and that no mistake ends in a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitdata import __version__
from gitdata.commands.verbs import VERBS
from helpers.machine import Program, Repo, nobody

VISIBLE = [verb for verb, _, heading in VERBS if heading]


def test_the_overview_names_every_verb(gitdata: Program) -> None:
    shown = gitdata("--help").stdout
    assert [verb for verb in VISIBLE if f"  {verb} " not in shown] == []
    assert "\n  hook " not in shown, "what the hooks call is not for people"


def test_nothing_at_all_shows_the_overview_as_a_mistake(gitdata: Program) -> None:
    done = gitdata(code=2)
    assert done.stdout == ""
    assert done.stderr.startswith("usage: gitdata")


def test_version(gitdata: Program) -> None:
    assert gitdata("--version").stdout == f"gitdata {__version__}\n"


@pytest.mark.parametrize("verb", [verb for verb, _, _ in VERBS])
def test_every_verb_explains_itself(gitdata: Program, verb: str) -> None:
    shown = gitdata(*verb.split(), "--help").stdout
    assert shown.startswith(f"usage: gitdata {verb}")


def test_git_data_is_the_same_command(repo: Repo) -> None:
    assert repo.git("data --version") == f"gitdata {__version__}"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["frobnicate"], "unknown command 'frobnicate'"),
        (["--frobnicate"], "unknown option '--frobnicate'"),
        (["job"], "gitdata job needs one of: "),
        (["job", "frobnicate"], "gitdata job needs one of: "),
        (["-C"], "unknown option '-C'"),
    ],
)
def test_a_mistake_is_one_line(gitdata: Program, words: list[str], said: str) -> None:
    done = gitdata(*words, code=2)
    assert done.stdout == ""
    assert done.stderr.splitlines()[0].startswith(f"gitdata: {said}")


def test_an_option_that_a_verb_does_not_have(gitdata: Program) -> None:
    done = gitdata("status", "--frobnicate", code=2)
    assert done.stderr == "gitdata: status: unknown option '--frobnicate'\nhint: see `gitdata status --help`\n"


def test_minus_c_runs_elsewhere(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    done = gitdata("-C", tmp_path / "nowhere", "status", code=1)
    assert done.stderr == f"gitdata: {tmp_path / 'nowhere'}: No such file or directory\n"


@pytest.mark.parametrize(
    "verb", ["status", "add x", "ls x", "log", "diff", "push", "plan", "job list", "prov show", "run"]
)
def test_outside_a_repository(gitdata: Program, tmp_path: Path, verb: str) -> None:
    done = gitdata(*verb.split(), code=3)
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[0].startswith("gitdata: ")
    assert any(line.startswith("hint: ") for line in done.stderr.splitlines())


def test_the_reader_may_go_away() -> None:
    """Nobody reads the pipe any more when the command writes: no traceback, and the code that a shell expects."""
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(["gitdata", "--help"], stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_a_defect_is_reported_with_its_log(repo: Repo, home: Path) -> None:
    """A defect cannot be had by asking, so one is put in front of a verb's module."""
    broken = home / "broken" / "gitdata_broken.py"
    broken.parent.mkdir()
    broken.write_text(
        "import sys, types\n"
        "module = types.ModuleType('gitdata.commands.status', 'a broken verb')\n"
        "module.configure = lambda parser: None\n"
        "module.run = lambda args: 1 // 0\n"
        "sys.modules['gitdata.commands.status'] = module\n"
        "from gitdata.cli import main\n"
        "sys.exit(main(['status']))\n"
    )
    done = subprocess.run([sys.executable, str(broken)], capture_output=True, text=True, check=False)
    log = Path(os.environ["XDG_CACHE_HOME"]) / "gitdata" / "defect.log"
    assert done.returncode == 70
    assert done.stderr.splitlines()[0].startswith("gitdata: this is a defect in gitdata: ZeroDivisionError")
    assert str(log) in done.stderr
    assert "1 // 0" in log.read_text()
    words = [*nobody(), "--unset=XDG_CACHE_HOME", sys.executable, str(broken)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 70
    assert done.stderr.startswith(f"gitdata {__version__}, Python"), "nowhere to write it to"
    assert "RuntimeError" not in done.stderr


def test_the_overview_loads_next_to_nothing() -> None:
    """Its speed (benchmarks/run.py measures it) is that of what it imports."""
    code = "import sys; from gitdata.cli import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    heavy = {"dvc", "obstore", "git", "kubernetes", "jsonschema", "yaml", "ruamel", "sendgrid", "asyncio", "subprocess"}
    assert loaded & heavy == set()
