"""The command line itself: the overview, the way to a verb, and that no mistake ends in a traceback."""

from __future__ import annotations

import json
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


LOCALES = [
    {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    {"LC_ALL": "C", "LANG": "en_US.ISO-8859-1"},
    {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "ascii:strict"},
    {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "latin-1"},
    {"LC_ALL": "C.UTF-8"},
]


@pytest.mark.parametrize("locale", LOCALES, ids=lambda env: " ".join(env.values()))
def test_names_are_utf8_whatever_the_locale(
    repo: Repo, gitdata: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, locale: dict[str, str]
) -> None:
    """What is written is what DVC writes, what is printed is never an error, JSON is always JSON."""
    gitdata("init", "--remote", tmp_path / "remote")
    repo.commit("init")
    repo.write("né/日本.txt", "1")
    for name, value in locale.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> bytes:
        done = subprocess.run(["gitdata", *words], cwd=repo.path, capture_output=True, check=False)
        assert (done.returncode, b"Error" in done.stderr) == (0, False), done.stderr
        return done.stdout

    run("add", "né")
    assert "path: né\n" in (repo.path / "né.dvc").read_text(encoding="utf-8")
    assert (repo.path / ".gitignore").read_text(encoding="utf-8") == "/né\n"
    repo.commit("data")
    repo.write("né/日本.txt", "2")
    for words in (["status"], ["ls", "-r", "né"], ["log"], ["diff"]):
        assert run(*words), words
    entries = json.loads(run("ls", "-r", "--json", "né").decode())["entries"]
    assert [entry["path"] for entry in entries] == ["né/日本.txt"]
    assert run("get", "né/日本.txt", "-o", "-") == b"1"
    done = subprocess.run(["gitdata", "ls", "nä\x1b"], cwd=repo.path, capture_output=True, check=False)
    assert done.returncode in (0, 6)
    assert b"Unicode" not in done.stderr
    assert b"\x1b" not in done.stderr


def test_what_was_typed_cannot_forge_a_line(repo: Repo, gitdata: Program) -> None:
    gitdata("init", "--no-hooks")
    for words in (["add", "x\nhint: rm -rf ."], ["x\nhint: y"], ["status", "--x\nhint: y"], ["ls", "-\x1b[2J"]):
        done = gitdata(*words, check=False)
        assert done.returncode != 0
        assert not any(line.startswith(("hint: rm", "hint: y")) for line in done.stderr.splitlines())
        assert "\x1b" not in done.stderr


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_nothing(repo: Repo, gitdata: Program, closed: str) -> None:
    """As with git: and no file that is opened later becomes the stream."""
    gitdata("init", "--no-hooks")
    repo.write("data/1", "1")
    done = subprocess.run(
        ["sh", "-c", f"gitdata add data {closed}; gitdata add nowhere {closed}"], cwd=repo.path, check=False
    )
    assert done.returncode == 6
    assert gitdata("get", "data/1", "-o", "-").stdout == "1"
    assert "gitdata: " not in (repo.path / "data.dvc").read_text()


def test_standard_output_that_is_full_is_no_defect(repo: Repo, gitdata: Program) -> None:
    gitdata("init", "--no-hooks")
    done = subprocess.run(
        ["sh", "-c", "gitdata status >/dev/full"], cwd=repo.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 10
    assert done.stderr.startswith("gitdata: ")
    assert "Exception" not in done.stderr
