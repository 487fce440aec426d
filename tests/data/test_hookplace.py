"""Hooks in a folder of others (core.hooksPath, a linked .git/hooks): nothing is written there, and all of them run."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.machine import Program, Repo

BEGAN = "#!/bin/sh\n"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def data(repo: Repo, gitdata: Program) -> Repo:
    """A gitdata repository without hooks, where ``images`` is data and hooks of the team are in ``.githooks``."""
    gitdata("init", "--no-hooks", "--remote", repo.path.parent / "store")
    repo.write("images/a.jpg", "a")
    gitdata("add", "images")
    for name in ("pre-commit", "commit-msg"):
        script(repo.path / ".githooks" / name, BEGAN + 'echo "$0 ${1##*/}" >>../ran\n')
    repo.commit("data")
    return repo


def ran(repo: Repo) -> list[str]:
    """What a commit of changed data ran of others' hooks; gitdata's own ran as well."""
    log = repo.path.parent / "ran"
    log.unlink(missing_ok=True)
    before = repo.git("show", "HEAD:images.dvc")
    repo.write(f"images/{len(list((repo.path / 'images').iterdir()))}.jpg", before)
    done = Program("git", cwd=repo.path)("commit", "-q", "--allow-empty", "-m", "x", check=False)
    if "run the same command again" in done.stderr:
        done = Program("git", cwd=repo.path)("commit", "-q", "--allow-empty", "-m", "x", check=False)
    assert done.returncode == 0, done.stderr
    assert repo.git("show", "HEAD:images.dvc") != before
    return log.read_text().splitlines() if log.exists() else []


BOTH = [".githooks/pre-commit ", ".githooks/commit-msg COMMIT_EDITMSG"]


@pytest.mark.parametrize("scope", ["--local", "--global"])
def test_a_folder_of_the_team_is_left_as_it_is(data: Repo, gitdata: Program, scope: str) -> None:
    data.git("config", scope, "core.hooksPath", ".githooks")
    gitdata("hooks", "install")
    assert data.git("status --porcelain") == ""
    assert ran(data) == BOTH
    before = (data.path / ".git/config").read_text()
    gitdata("hooks", "install")
    assert (data.path / ".git/config").read_text() == before
    assert gitdata("status").stderr == ""
    gitdata("hooks", "uninstall")
    assert data.git("config", "--get-all", "core.hooksPath") == ".githooks"
    assert data.git("config", "--local", "--get", "core.hooksPath", check=False) == (
        ".githooks" if scope == "--local" else ""
    )
    assert "hooksfolder" not in (data.path / ".git/config").read_text().lower()
    assert not (data.path / ".git/gitdata/hooks").exists()


def test_a_setting_of_the_user_that_changes_later_counts(data: Repo, gitdata: Program) -> None:
    data.git("config", "--global", "core.hooksPath", "~/my hooks")
    gitdata("hooks", "install")
    assert ran(data) == []
    script(data.path.parent / "home/my hooks/pre-commit", BEGAN + 'basename "$0" >>../ran\n')
    assert ran(data) == ["pre-commit"]
    data.git("config", "--global", "core.hooksPath", ".githooks")
    assert ran(data) == BOTH
    data.git("config", "--global", "--unset", "core.hooksPath")
    script(data.path / ".git/hooks/pre-commit", BEGAN + "echo default >>../ran\n")
    assert ran(data) == ["default"]


def test_hooks_that_come_later_are_called_and_may_refuse(data: Repo, gitdata: Program) -> None:
    data.git("config", "core.hooksPath", ".githooks")
    gitdata("hooks", "install")
    script(data.path / ".githooks/pre-rebase", BEGAN + "echo refused >&2\nexit 1\n")
    done = Program("git", cwd=data.path)("rebase", "--force-rebase", "HEAD~1", check=False)
    assert done.returncode != 0
    assert "refused" in done.stderr


def test_what_git_writes_to_a_hook_reaches_it(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    script(data.path / ".githooks/pre-push", BEGAN + "cat >../ran\n")
    script(data.path / ".githooks/reference-transaction", BEGAN + 'echo "$1" >>../refs; cat >/dev/null\n')
    data.git("config", "core.hooksPath", ".githooks")
    gitdata("hooks", "install")
    Repo.create(tmp_path / "o.git", bare=True)
    data.git("push", "-q", tmp_path / "o.git", "main")
    assert "refs/heads/main" in (tmp_path / "ran").read_text()
    ran(data)
    assert "committed" in (tmp_path / "refs").read_text()


def test_a_linked_folder_of_hooks_is_left_as_it_is(data: Repo, gitdata: Program) -> None:
    shutil.rmtree(data.path / ".git/hooks")
    (data.path / ".git/hooks").symlink_to("../.githooks")
    gitdata("hooks", "install")
    assert data.git("status --porcelain") == ""
    assert ran(data) == [".git/hooks/pre-commit ", ".git/hooks/commit-msg COMMIT_EDITMSG"]
    gitdata("hooks", "uninstall")
    assert data.git("config", "--get", "core.hooksPath", check=False) == ""


def test_gits_own_folder_named_by_hand_is_gits_own_folder(data: Repo, gitdata: Program) -> None:
    data.git("config", "core.hooksPath", str(data.path / ".git/hooks"))
    gitdata("hooks", "install")
    assert (data.path / ".git/hooks/pre-push").exists()
    assert ran(data) == []


def test_hooks_that_are_switched_off_do_not_stop_init(data: Repo, gitdata: Program) -> None:
    data.git("config", "core.hooksPath", "/dev/null")
    gitdata("hooks", "install", code=5)
    data.git("config", "--unset", "gitdata.hooks")
    assert "not installed" in gitdata("init").stderr


# ------------------------------------------------------------------------------------------- it changes in between


def test_a_folder_that_is_set_after_gitdatas_hooks(data: Repo, gitdata: Program) -> None:
    script(data.path / ".git/hooks/pre-commit", BEGAN + "echo mine >>../ran\n")
    gitdata("hooks", "install")
    data.git("config", "core.hooksPath", ".githooks")
    assert "gitdata hooks install" in gitdata("status").stderr
    gitdata("hooks", "install")
    assert ran(data) == BOTH
    assert (data.path / ".git/hooks/pre-commit").read_text() == BEGAN + "echo mine >>../ran\n"
    data.git("config", "--unset", "core.hooksPath")
    assert "gitdata hooks install" in gitdata("status").stderr
    gitdata("hooks", "install")
    assert ran(data) == ["mine"]


def test_another_program_that_sets_it_back(data: Repo, gitdata: Program) -> None:
    data.git("config", "core.hooksPath", ".githooks")
    gitdata("hooks", "install")
    data.git("config", "core.hooksPath", ".husky/_")
    script(data.path / ".husky/_/pre-commit", BEGAN + 'echo "$0" >>../ran\n')
    gitdata("hooks", "install")
    assert ran(data) == [".husky/_/pre-commit"]
    data.git("config", "core.hooksPath", ".githooks")
    gitdata("hooks", "uninstall")
    assert data.git("config", "--get-all", "core.hooksPath") == ".githooks"


def test_hooks_that_earlier_versions_wrote_there_are_taken_out(data: Repo, gitdata: Program) -> None:
    theirs = data.path / ".githooks/pre-commit"
    theirs.rename(theirs.with_name("pre-commit.gitdata-chained"))
    script(theirs, "#!/bin/sh\n# gitdata-hook 1\ngitdata=/of/this/machine\n")
    data.git("config", "core.hooksPath", ".githooks")
    said = gitdata("hooks", "install").stderr
    assert "an earlier gitdata" in said
    assert data.git("status --porcelain") == ""
    assert ran(data) == BOTH


def test_another_program_that_writes_into_gitdatas_folder_is_called_too(data: Repo, gitdata: Program) -> None:
    data.git("config", "core.hooksPath", ".githooks")
    gitdata("hooks", "install")
    hook = data.path / ".git/gitdata/hooks/pre-commit"
    hook.rename(f"{hook}.old")
    script(hook, BEGAN + "echo other >>../ran\n")
    gitdata("hooks", "install")
    assert ran(data) == ["other", BOTH[0], BOTH[1]]


def test_a_repository_that_moves_is_repaired(data: Repo, gitdata: Program) -> None:
    data.git("config", "core.hooksPath", ".githooks")
    gitdata("hooks", "install")
    moved = Repo(data.path.rename(data.path.with_name("moved")))
    gitdata.cwd = moved.path
    assert "gitdata hooks install" in gitdata("status").stderr
    gitdata("hooks", "install")
    assert ran(moved) == BOTH
    gitdata("hooks", "uninstall")
    assert moved.git("config", "--get-all", "core.hooksPath") == ".githooks"


@pytest.mark.parametrize("own", [False, True], ids=["shared setting", "setting of one worktree"])
def test_worktrees(data: Repo, gitdata: Program, tmp_path: Path, own: bool) -> None:
    tree = Repo(tmp_path / "tree")
    data.git("worktree", "add", "-q", tree.path, "-b", "side")
    if own:
        data.git("config", "extensions.worktreeConfig", "true")
    where = "--worktree" if own else "--local"
    tree.git("config", where, "core.hooksPath", ".githooks")
    shutil.copytree(data.path / "images", tree.path / "images")
    gitdata("add", "images", cwd=tree.path)
    gitdata("hooks", "install", cwd=tree.path)
    assert ran(tree) == BOTH
    gitdata("hooks", "install")
    assert ran(data) == ([] if own else BOTH)
    gitdata("hooks", "uninstall")
    assert tree.git("config", where, "--get-all", "core.hooksPath") == ".githooks"
    done = Program("git", cwd=tree.path)("commit", "-q", "--allow-empty", "-m", "x")
    assert done.stderr == ""


# --------------------------------------------------------------------------------------------------- the real husky


def test_husky(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    """As a team has it: every `npm install` runs husky, which sets core.hooksPath again."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("husky: npm is not installed")
    data.write("package.json", '{"private": true, "scripts": {"prepare": "husky"}, "devDependencies": {"husky": "9"}}')
    data.write(".gitignore", "/node_modules/\n/images\n")
    settings = ["--no-audit", "--no-fund", "--no-package-lock"]
    done = subprocess.run([npm, "install", *settings], cwd=data.path, capture_output=True, text=True, check=False)
    if not (data.path / ".husky/_").is_dir():
        pytest.skip(f"husky: it cannot be had: {done.stderr.strip().splitlines()[-1:]}")
    data.write(".husky/pre-commit", "echo husky >>../ran\n")
    data.write(".husky/commit-msg", 'basename "$0" >>../ran\n')
    data.git("add", "--all")
    data.git("commit", "-qm", "husky")
    gitdata("hooks", "install")
    assert data.git("status --porcelain") == ""
    assert ran(data) == ["husky", "commit-msg"]
    subprocess.run([npm, "install", *settings], cwd=data.path, capture_output=True, check=True)
    assert data.git("config", "core.hooksPath") == ".husky/_"
    assert "gitdata hooks install" in gitdata("status").stderr
    gitdata("hooks", "install")
    assert ran(data) == ["husky", "commit-msg"]
    gitdata("hooks", "uninstall")
    assert data.git("config", "core.hooksPath") == ".husky/_"
