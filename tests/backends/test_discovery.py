"""Which repository git means, and git's own words where it refuses, from the real git."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gitdata.backends.discovery import discover, git_around
from gitdata.backends.git import Git, GitError
from gitdata.errors import MachineError, NotARepositoryError
from helpers.machine import Program, Repo


def refusal(place: Path) -> str:
    """The message and the hint for this folder."""
    with pytest.raises(NotARepositoryError) as caught:
        discover(place)
    assert caught.value.hint
    return f"{caught.value.message}\n{caught.value.hint}"


def test_the_top_is_found_from_any_folder(repo: Repo) -> None:
    (repo.path / "a/b").mkdir(parents=True)
    found = discover(repo.path / "a/b")
    assert (found.root, found.git_dir, found.common_dir) == (repo.path, repo.path / ".git", repo.path / ".git")
    assert found.variables == {}


def test_nothing_there(tmp_path: Path) -> None:
    assert "no git working tree here" in refusal(tmp_path)


def test_a_bare_repository_and_a_repository_s_own_folder(repo: Repo, tmp_path: Path) -> None:
    bare = Repo.create(tmp_path / "bare.git", bare=True).path
    assert "this is a bare repository" in refusal(bare)
    assert "a repository's own folder" in refusal(repo.path / ".git")


def test_what_git_says_of_its_settings(repo: Repo) -> None:
    config = repo.path / ".git/config"
    good = config.read_text()
    config.write_text(good + "[core\n")
    with pytest.raises(NotARepositoryError, match=rf"bad config line {good.count(chr(10)) + 1} in file \.git/config"):
        discover(repo.path)
    config.write_text(good.replace("repositoryformatversion = 0", "repositoryformatversion = 99"))
    with pytest.raises(NotARepositoryError, match="Expected git repo version <= 1, found 99"):
        discover(repo.path)
    config.write_text(good.replace("repositoryformatversion = 0", "repositoryformatversion = 1"))
    config.write_text(config.read_text() + "[extensions]\n\tnewer = true\n")
    with pytest.raises(NotARepositoryError, match="unknown repository extension found: newer"):
        discover(repo.path)


def test_a_git_file_that_leads_nowhere(repo: Repo, tmp_path: Path) -> None:
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost/.git").write_text("gitdir: /nowhere\n")
    with pytest.raises(NotARepositoryError, match="not a git repository: /nowhere"):
        discover(tmp_path / "lost")


def test_a_repository_without_its_head_is_named(repo: Repo) -> None:
    (repo.path / ".git/HEAD").unlink()
    assert f"{repo.path / '.git'}: git does not take this for a repository" in refusal(repo.path)


def test_another_user_s_repository(repo: Repo, gitdata: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """git's own variable for its own tests stands in for another owner; a container's settings are followed."""
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    done = gitdata("status", code=3)
    assert "detected dubious ownership in repository at" in done.stderr
    assert f"call: git config --global --add safe.directory {repo.path}" in done.stderr
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(repo.path))
    gitdata("init")
    gitdata("status")


def test_the_working_tree_of_a_variable(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    """As for people whose settings lie in a repository beside their home folder."""
    gitdata("init", "--remote", tmp_path / "remote")
    repo.write("data/a", "1")
    gitdata("add", "data")
    repo.commit("data")
    repo.write("data/a", "2")
    moved = tmp_path / "elsewhere"
    (repo.path / ".git").rename(moved)
    places = {"GIT_DIR": str(moved), "GIT_WORK_TREE": str(repo.path)}
    assert "data" in gitdata("status", env=places, cwd=tmp_path).stdout
    gitdata("add", "repo/data", env=places, cwd=tmp_path)
    gitdata("commit", "-qm", "two", env=places, cwd=repo.path)
    assert "two" in gitdata("log", env=places, cwd=tmp_path).stdout
    assert gitdata("diff", "HEAD~1", "HEAD", env=places, cwd=tmp_path).stdout.startswith("M")
    assert gitdata("status", env=places, cwd=tmp_path).stdout.startswith("1 output, nothing changed")
    assert gitdata("status", code=3, cwd=tmp_path).stdout == ""


def test_another_index(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    gitdata("init")
    repo.commit("init")
    repo.write("data/a", "1")
    gitdata("add", "data", env={"GIT_INDEX_FILE": str(tmp_path / "index")})
    assert "data.dvc" not in repo.git("ls-files")
    done = Program("git", cwd=repo.path)("ls-files", env={"GIT_INDEX_FILE": str(tmp_path / "index")})
    assert "data.dvc" in done.stdout


def test_variables_that_lead_nowhere_are_named(repo: Repo, gitdata: Program) -> None:
    done = gitdata("status", code=3, env={"GIT_DIR": "/nowhere"})
    assert "not a git repository: '/nowhere' (GIT_DIR=/nowhere)\nhint: unset GIT_DIR" in done.stderr


def test_core_worktree(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    repo.git("config", "core.worktree", str(tmp_path / "tree"))
    found = discover(repo.path)
    assert found.root == tmp_path / "tree"
    assert found.git.text("rev-parse", "--show-toplevel") == str(tmp_path / "tree")
    gitdata("init")
    assert (tmp_path / "tree/.dvc/config").is_file()
    gitdata("status")
    repo.git("config", "core.worktree", "/nowhere")
    with pytest.raises(NotARepositoryError, match=r"/nowhere: this is to be the working tree of .*/\.git"):
        discover(repo.path)


def test_inside_of_a_submodule(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    gitdata("init")
    Repo.create(repo.path / "sub")
    done = gitdata("status", code=3, cwd=repo.path / "sub")
    assert f"a git repository of its own (a submodule?) inside of {repo.path}" in done.stderr


def test_a_folder_that_is_gone(gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    words = f"cd '{tmp_path}/gone' && rmdir '{tmp_path}/gone' && gitdata status"
    done = subprocess.run(["sh", "-c", words], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "gitdata: the folder you are in does not exist any more\n" in done.stderr  # the shell may say so too


def test_no_git_and_an_old_git(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(MachineError, match="git is not installed"):
        discover(repo.path)
    with pytest.raises(NotARepositoryError, match="no such folder"):
        discover(tmp_path / "nowhere")
    old = programs / "git"  # prints what it does not know, as git before 2.31 did
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo git version 2.20.1 || printf "%s\\n" "$2" /a /b .git\n')
    old.chmod(0o755)
    with pytest.raises(MachineError, match=r"git version 2\.20\.1 is too old"):
        discover(repo.path)


def test_bare_or_not(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = Repo.create(tmp_path / "bare.git", bare=True).path
    monkeypatch.chdir(bare)
    assert git_around().text("rev-parse", "--is-bare-repository") == "true"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotARepositoryError, match="no git working tree here"):
        git_around()
    monkeypatch.setenv("GIT_DIR", str(bare))
    assert git_around().text("rev-parse", "--is-bare-repository") == "true"


def test_a_controller_s_git_has_no_settings_of_a_person(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "somebody")
    assert Git(repo.path).config("user.name") == "somebody"
    assert Git(repo.path, sealed=True).config("user.name") != "somebody"


def test_a_failing_call_is_passed_on_whole(repo: Repo) -> None:
    (repo.path / ".git/index").write_bytes(b"no index, but long enough to be read as one")
    with pytest.raises(GitError, match=r"^git ls-files: bad signature 0x[0-9a-f]+; index file corrupt$"):
        Git(repo.path).run("ls-files")


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read everything")
def test_a_repository_that_may_not_be_read(repo: Repo, tmp_path: Path) -> None:
    (repo.path / ".git").chmod(0)
    words = ["gitdata", "-C", str(repo.path), "status"]
    if os.geteuid() == 0:
        if not os.access(tmp_path, os.X_OK):
            pytest.skip("users: the tests' folder is closed to others")
        words = ["setpriv", "--reuid=54321", "--clear-groups", "--inh-caps=-all", *words]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    (repo.path / ".git").chmod(0o755)
    if "Permission denied" in done.stderr and ".git" not in done.stderr:
        pytest.skip("users: the tests' folder is closed to others")
    assert f"{repo.path / '.git'}: you may not read it" in done.stderr
