"""push, pull and commit hand their arguments on to git; what git would refuse is refused before data moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.commands.passthrough import check_arguments
from gitdata.errors import UsageError
from helpers.machine import Program, Repo


@pytest.fixture
def data(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """A repository with an ``origin`` and data that is added and not sent."""
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    gitdata("init", "--remote", tmp_path / "remote")
    repo.write("data/a.txt", "alpha\n")
    gitdata("add", "data")
    repo.commit("data")
    return repo


def test_nothing_is_sent_before_an_argument_that_git_refuses(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    for words, says in {
        "-r second": "`dvc push --remote NAME`",
        "-j 4": "leave it out",
        "-T": "`dvc push --all-tags`",
        "origin main --frobnicate": "unknown option '--frobnicate'",
        "data/": "`dvc push data/`",
        "data.dvc": "`dvc push data.dvc`",
    }.items():
        assert says in gitdata("push", *words.split(), code=2).stderr
    assert not (tmp_path / "remote" / "files").exists()


def test_nothing_is_added_before_an_argument_that_git_refuses(data: Repo, gitdata: Program) -> None:
    data.write("data/b.txt", "beta\n")
    for words in ("-R", "-qm", "-m x -- data"):
        gitdata("commit", *words.split(), code=2)
    assert data.git("status", "--porcelain") == ""


def test_pull_refuses_what_only_dvc_knows(data: Repo, gitdata: Program) -> None:
    for words in ("--allow-missing", "--remote second", "data"):
        assert "hint: " in gitdata("pull", *words.split(), code=2).stderr


@pytest.mark.parametrize(
    ("verb", "words", "says"),
    [
        ("push", "--all-branches", "unknown option '--all-branches'"),
        ("push", "--forc", "--force-with-lease"),
        ("push", "-fz", "unknown option '-z'"),
        ("push", "-o", "-o needs a value"),
        ("push", "--push-option", "--push-option needs a value"),
        ("commit", "--no-relink", "unknown option '--no-relink'"),
        ("commit", "-qm", "-m needs a value"),
        ("commit", "--mesage=x", "unknown option '--mesage'"),
        ("commit", "-mx -S -R", "unknown option '-R'"),
        ("pull", "-T", "unknown option '-T'"),
    ],
)
def test_what_git_refuses_is_refused(repo: Repo, verb: str, words: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check_arguments(Git(repo.path), verb, words.split())


@pytest.mark.parametrize(
    ("verb", "words", "plain"),
    [
        ("push", "-qu origin main", ["origin", "main"]),
        ("push", "-o x --repo y --set-up", []),
        ("push", "--force-with-lease=main:1 origin", ["origin"]),
        ("push", "-- -x", ["-x"]),
        ("push", "-", ["-"]),
        ("commit", "-m -x", []),
        ("commit", "-am-x a", ["a"]),
        ("commit", "-Skey -uno --author A<a@b> --no-verify", []),
        ("commit", "--mess=x --allow-empty", []),
        ("pull", "-r origin", ["origin"]),
        ("pull", "-j4 --rebase=merges -Xours -X theirs", []),
    ],
)
def test_what_git_takes_is_taken(repo: Repo, verb: str, words: str, plain: list[str]) -> None:
    assert check_arguments(Git(repo.path), verb, words.split()) == plain


def test_a_git_without_a_list_of_its_options_is_not_second_guessed(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old" / "git"
    old.parent.mkdir()
    old.write_text("#!/bin/sh\nexit 129\n")
    old.chmod(0o755)
    with pytest.raises(UsageError):
        check_arguments(Git(repo.path), "push", ["--frobnicate"])
    monkeypatch.setenv("PATH", f"{old.parent}:/usr/bin:/bin")
    assert check_arguments(Git(repo.path), "push", ["--frobnicate"]) == []


def test_git_runs_where_the_user_is(data: Repo, gitdata: Program) -> None:
    data.write("sub/x", "1")
    data.git("add", "sub")
    gitdata("commit", "-q", "-m", "x alone", "--", "x", cwd=data.path / "sub")
    assert data.git("show", "--format=", "--name-only") == "sub/x"
