"""A gitdata repository whose git hooks are not in place says so in one line; nobody else is told anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.machine import Program, Repo

SAID = "`gitdata hooks install`"


@pytest.fixture
def clone(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """A clone of a gitdata repository with data; the commands run in it."""
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", tmp_path / "origin.git")
    gitdata("init", "--remote", tmp_path / "store")
    repo.write("images/a.jpg", "a")
    gitdata("add", "images")
    repo.commit("data")
    repo.git("push", "-q", "-u", "origin", "main")
    repo.git("clone", "-q", tmp_path / "origin.git", tmp_path / "clone")
    gitdata.cwd = tmp_path / "clone"
    return Repo(tmp_path / "clone")


VERBS = (("status",), ("add", "images"), ("commit", "--allow-empty", "-m", "x"), ("push",), ("pull",))


@pytest.mark.parametrize("verb", VERBS, ids=lambda verb: verb[0])
def test_each_verb_that_relies_on_hooks_says_it_once(clone: Repo, gitdata: Program, verb: tuple[str, ...]) -> None:
    gitdata("pull")
    [line] = [line for line in gitdata(*verb).stderr.splitlines() if SAID in line]
    assert "are not in place here: " in line
    gitdata("hooks", "install")
    assert SAID not in gitdata(*verb).stderr


@pytest.mark.parametrize("place", ["a subfolder", "-C", "another worktree"])
def test_it_is_said_wherever_one_is(clone: Repo, gitdata: Program, tmp_path: Path, place: str) -> None:
    words = ["status"]
    if place == "a subfolder":
        clone.write("deep/er/x", "")
        gitdata.cwd = clone.path / "deep/er"
    elif place == "-C":
        gitdata.cwd, words = tmp_path, ["-C", "clone", "status"]
    else:
        clone.git("worktree", "add", "-q", tmp_path / "tree", "-b", "side")
        gitdata.cwd = tmp_path / "tree"
    assert SAID in gitdata(*words).stderr
    gitdata("hooks", "install", cwd=clone.path)
    assert SAID not in gitdata(*words).stderr


def test_it_does_not_disturb_what_is_read_by_programs(clone: Repo, gitdata: Program) -> None:
    assert gitdata.json("status")["outputs"]
    assert SAID not in gitdata("commit", "--help").stderr


@pytest.mark.parametrize("way", ["uninstall", "setting", "setting of the user", "init --no-hooks", "environment"])
def test_who_said_no_is_left_alone(clone: Repo, gitdata: Program, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way == "uninstall":
        gitdata("hooks", "install")
        gitdata("hooks", "uninstall")
    elif way == "init --no-hooks":
        gitdata("init", "--no-hooks")
    elif way == "environment":
        monkeypatch.setenv("GITDATA_SKIP_HOOKS", "1")
    else:
        clone.git("config", "--global" if "user" in way else "--local", "gitdata.hooks", "no")
    assert SAID not in gitdata("status").stderr


def test_a_repository_that_is_not_gitdatas_is_left_alone(repo: Repo, gitdata: Program) -> None:
    assert SAID not in gitdata("status", check=False).stderr


LACKS = ("one is gone", "one is another's", "one may not be run", "an older version", "another folder")


@pytest.mark.parametrize("lack", LACKS)
def test_what_is_not_as_it_should_be(clone: Repo, gitdata: Program, lack: str) -> None:
    gitdata("hooks", "install")
    hook = clone.path / ".git/hooks/pre-push"
    if lack == "one is gone":
        hook.unlink()
    elif lack == "one is another's":
        hook.write_text("#!/bin/sh\n")
    elif lack == "one may not be run":
        hook.chmod(0o644)
    elif lack == "an older version":
        hook.write_text(hook.read_text().replace("# gitdata-hook 2", "# gitdata-hook 1"))
    else:
        clone.git("config", "core.hooksPath", ".husky/_")
    said = gitdata("status").stderr
    assert SAID in said
    assert ("(pre-push)" in said) == (lack != "another folder")
    assert ("another version" in said) == (lack == "an older version")
    gitdata("hooks", "install")
    assert SAID not in gitdata("status").stderr


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (".pre-commit-config.yaml", "repos: [{hooks: [{id: gitdata-pre-commit}]}]"),
        ("lefthook.yml", "pre-commit: {jobs: [{run: gitdata hook pre-commit}]}"),
        (".husky/pre-commit", "gitdata hook pre-commit"),
    ],
)
def test_hooks_that_another_manager_calls_count(clone: Repo, gitdata: Program, file: str, text: str) -> None:
    clone.write(file, text)
    assert SAID in gitdata("status").stderr, "the manager is not installed either"
    hook = clone.path / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexec a-manager\n")
    assert SAID not in gitdata("status").stderr
