"""A word that is not gitdata's is answered with what to type: DVC's, pachctl's and git's own command lists are read."""

from __future__ import annotations

import argparse
import importlib
import re
import subprocess
from pathlib import Path

import pytest
from dvc.cli.parser import get_main_parser

from gitdata.commands.counterparts import DVC, GIT, OPTIONS, PACHYDERM
from gitdata.commands.suggestion import unknown_member, unknown_option, unknown_verb
from gitdata.commands.verbs import VERBS
from helpers.machine import Program, Repo

ROOT = Path(__file__).parent.parent.parent
VISIBLE = [verb for verb, _, heading in VERBS if heading]
NOT_FOR_USERS = {"--cprofile", "--cprofile-dump", "--yappi", "--yappi-separate-threads", "--viztracer", "--pdb", "--ss"}
NOT_FOR_USERS |= {"--viztracer-depth", "--viztracer-async", "--instrument", "--instrument-open", "--show-stack"}
# DVC's letters that mean something else in the git command to which gitdata hands them on.
OF_GIT = {("push", "-d"), ("push", "-q"), ("push", "-v"), ("pull", "-q"), ("pull", "-v"), ("pull", "-j")}
OF_GIT |= {("pull", "-r"), ("pull", "-a"), ("pull", "-f"), ("commit", "-q"), ("commit", "-v")}


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def own_options(verb: str, repo: Repo) -> set[str]:
    parser = argparse.ArgumentParser()
    importlib.import_module("gitdata.commands." + verb.replace(" ", "_")).configure(parser)
    if verb in ("push", "pull", "commit"):
        return {word.rstrip("=") for word in repo.git(verb, "--git-completion-helper-all").split()}
    return {option for action in parser._actions for option in action.option_strings}


@pytest.mark.parametrize("verb", sorted(subcommands(get_main_parser()).keys() - {"version"}))
def test_every_verb_of_dvc_is_ours_or_answered(verb: str) -> None:
    if any(known.startswith(f"{verb} ") for known in VISIBLE):
        members = subcommands(subcommands(get_main_parser())[verb])
        hints = [unknown_member(verb, [name], VISIBLE).hint for name in members if f"{verb} {name}" not in VISIBLE]
    else:
        hints = [] if verb in VISIBLE else [unknown_verb([verb], VISIBLE).hint]
    for hint in hints:
        assert "`dvc " in hint or "`gitdata " in hint
        assert "--help" not in hint


@pytest.mark.parametrize("verb", sorted(subcommands(get_main_parser()).keys() & set(VISIBLE)))
def test_every_option_that_dvc_has_for_a_verb_is_ours_or_answered(repo: Repo, verb: str) -> None:
    theirs = {
        option
        for action in subcommands(get_main_parser())[verb]._actions
        for option in action.option_strings
        if option not in NOT_FOR_USERS and (verb, option) not in OF_GIT
    }
    for option in sorted(theirs - own_options(verb, repo) - {"-h", "--help"}):
        error = unknown_option(verb, option, ())
        assert option in error.message
        assert "--help" not in error.hint, f"{verb} {option} has no answer"


def test_every_command_of_pachctl_in_the_documents_is_answered_as_there() -> None:
    asked = 0
    for line in (ROOT / "docs/pachctl.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) != 2 or not cells[0].startswith("`"):
            continue
        for command in re.findall(r"`([^`]+)`", cells[0]):
            words = command.split()
            if words[0] in (*VISIBLE, "auth") or "…" in words or words[0].startswith("-"):
                continue
            error = unknown_verb(words, VISIBLE)
            assert "see `gitdata --help`" not in error.hint, command
            asked += 1
    assert asked > 30


def test_answers_name_verbs_that_exist() -> None:
    texts = [*DVC.values(), *PACHYDERM.values(), *(text for table in OPTIONS.values() for text in table.values())]
    for named in re.findall(r"`gitdata ([^`]+)`", "\n".join(texts)):
        if named.startswith("-"):
            continue
        words = named.split()
        assert " ".join(words[:2]) in VISIBLE or words[0] in VISIBLE, named


def test_no_answer_is_for_a_verb_of_ours() -> None:
    assert set(GIT) & set(VISIBLE) == set()
    assert DVC.keys() & set(VISIBLE) == set()
    assert PACHYDERM.keys() & set(VISIBLE) == set()


def test_git_has_what_is_called_git_s() -> None:
    listed = subprocess.run(["git", "--list-cmds=main,others"], capture_output=True, text=True, check=True).stdout
    assert set(GIT) - set(listed.split()) <= {"lfs", "gitk"}


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("stauts", "gitdata status"),
        ("STATUS", "gitdata status"),
        ("logs", "gitdata job logs"),
        ("jobs", "gitdata job list"),
        ("list job", "gitdata job list"),
        ("job-list", "gitdata job list"),
        ("retry", "gitdata job retry"),
        ("valdate", "gitdata stage validate"),
        ("trace", "gitdata prov trace"),
        ("comit", "gitdata commit"),
        ("notfy", "gitdata notify"),
    ],
)
def test_the_nearest_verb_is_suggested(typed: str, meant: str) -> None:
    assert f"`{meant}" in unknown_verb(typed.split(), VISIBLE).hint


def test_a_member_of_a_group() -> None:
    assert unknown_member("job", ["lsit"], VISIBLE).hint == "did you mean `gitdata job list`?"
    assert unknown_member("job", [], VISIBLE).hint == ""
    assert "`dvc stage add`" in unknown_member("stage", ["add"], VISIBLE).hint


def test_dvc_gc_is_never_recommended_for_the_remote(gitdata: Program) -> None:
    assert "never `dvc gc --cloud`" in gitdata("gc", "-c", code=2).stderr


def test_a_verb_of_git(gitdata: Program) -> None:
    assert gitdata("merge", "x", code=2).stderr.splitlines()[-1] == "hint: `git merge`: the hooks take the data along"


def test_an_option_stands_before_what_else_is_wrong(gitdata: Program) -> None:
    done = gitdata("add", "--no-commit", code=2)
    assert done.stderr.startswith("gitdata: add: unknown option '--no-commit'\nhint: leave it out")
    assert gitdata("status", "--jsn", code=2).stderr.endswith("hint: did you mean --json?\n")
    assert gitdata("status", "--jsn=1", code=2).stderr.endswith("hint: did you mean --json?\n")
    done = gitdata("add", code=2)
    assert done.stderr == ("gitdata: add: the following arguments are required: PATH\nhint: see `gitdata add --help`\n")


def test_help_and_version_are_verbs_too(gitdata: Program) -> None:
    assert gitdata("help").stdout == gitdata("--help").stdout
    assert gitdata("help", "job", "list").stdout == gitdata("job", "list", "--help").stdout
    assert gitdata("help", "job").stdout == gitdata("job", "--help").stdout
    assert gitdata("version").stdout == gitdata("-V").stdout == gitdata("--version").stdout
    assert "`gitdata status`" in gitdata("help", "stauts", code=2).stderr


def test_options_of_gitdata_itself(gitdata: Program) -> None:
    assert gitdata("--verison", code=2).stderr.endswith("hint: did you mean --version?\n")
    assert "`gitdata -C DIR COMMAND`" in gitdata("--cd", "x", "status", code=2).stderr


def test_a_mistake_writes_nothing(repo: Repo, gitdata: Program) -> None:
    gitdata("unprotect", "x", code=2)
    gitdata("add", "--to-remote", "x", code=2)
    assert repo.git("status", "--porcelain") == ""
