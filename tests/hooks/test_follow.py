"""After any git command the data is what the pointers say: each command that moves pointers, with the hooks."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from helpers.machine import Program, Repo

Moves = Callable[[Repo], None]


def names(repo: Repo, folder: str = "data") -> list[str]:
    return sorted(p.relative_to(repo.path / folder).as_posix() for p in (repo.path / folder).rglob("*") if p.is_file())


@pytest.fixture
def three(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """``main`` has three versions of ``data``: with 1; with 1 and 2; with 1, 2 and 3; between them commits of text."""
    origin = Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", origin.path)
    gitdata("init", "--remote", tmp_path / "store")
    repo.commit("init")
    repo.git("tag", "empty")
    for number in ("1", "2", "3"):
        repo.write(f"data/{number}", number)
        gitdata("add", "data")
        repo.commit(f"with {number}")
        repo.git("tag", f"v{number}")
    repo.write("text", "t")
    repo.commit("text")
    repo.git("push", "-q", "--tags", "-u", "origin", "main")
    return repo


def revert(repo: Repo) -> None:
    repo.git("revert", "--no-edit", "v3")


def reset(repo: Repo) -> None:
    repo.git("reset", "-q", "--hard", "v2")


def reset_by_alias(repo: Repo) -> None:
    repo.git("config", "alias.undo", "reset -q --hard v2")
    repo.git("undo")


def checkout_of_the_pointer(repo: Repo) -> None:
    repo.git("checkout", "-q", "v2", "--", "data.dvc")


def restore_of_the_pointer(repo: Repo) -> None:
    repo.git("restore", "-s", "v2", "--", "data.dvc")


def revert_without_commit(repo: Repo) -> None:
    repo.git("revert", "--no-commit", "v3")


def rebase_that_drops(repo: Repo) -> None:
    repo.git("rebase", "-q", "--onto", "v2", "v3", "main")


def rebase_by_apply(repo: Repo) -> None:
    repo.git("rebase", "-q", "--apply", "--onto", "v2", "v3", "main")


def rebase_whose_last_line_is_a_drop(repo: Repo) -> None:
    repo.git("rebase", "-i", "v2", env={"GIT_SEQUENCE_EDITOR": "sed -i 's/^pick/drop/'"})


def patch_of_the_revert(repo: Repo) -> None:
    repo.git("branch", "side", "HEAD")
    repo.git("checkout", "-q", "side", env={"GITDATA_SKIP_HOOKS": "1"})
    repo.git("revert", "--no-edit", "v3", env={"GITDATA_SKIP_HOOKS": "1"})
    repo.git("format-patch", "-1", "-o", "../patches")
    repo.git("checkout", "-q", "main", env={"GITDATA_SKIP_HOOKS": "1"})
    repo.git("am", "-q", *sorted((repo.path.parent / "patches").iterdir()))


def detached(repo: Repo) -> None:
    repo.git("checkout", "-q", "v2")


def bisect(repo: Repo) -> None:
    repo.git("bisect", "start", "v3", "v1")


def merge_that_fast_forwards(repo: Repo) -> None:
    repo.git("checkout", "-q", "-b", "side", "v1")
    assert names(repo) == ["1"]
    repo.git("merge", "-q", "v2")


def pull(repo: Repo) -> None:
    repo.git("reset", "-q", "--hard", "v1")
    assert names(repo) == ["1"]
    repo.git("branch", "-q", "source", "v2")
    repo.git("pull", "-q", ".", "source")


TO_TWO = [
    revert,
    reset,
    reset_by_alias,
    checkout_of_the_pointer,
    restore_of_the_pointer,
    revert_without_commit,
    rebase_that_drops,
    rebase_by_apply,
    rebase_whose_last_line_is_a_drop,
    patch_of_the_revert,
    detached,
    bisect,
    merge_that_fast_forwards,
    pull,
]


@pytest.mark.parametrize("move", TO_TWO, ids=lambda move: move.__name__)
def test_the_data_follows(three: Repo, gitdata: Program, move: Moves) -> None:
    move(three)
    assert names(three) == ["1", "2"]
    assert {one["state"] for one in gitdata.json("status")["outputs"]} == {"same"}


def test_a_pointer_there_and_back(three: Repo) -> None:
    for revision, there in (("v1", ["1"]), ("HEAD", ["1", "2", "3"])):
        three.git("checkout", "-q", revision, "--", "data.dvc")
        assert names(three) == there


def test_a_stash_and_its_pop(three: Repo, gitdata: Program) -> None:
    three.write("data/4", "4")
    gitdata("add", "data")
    three.git("stash", "-q")
    assert names(three) == ["1", "2", "3"]
    three.git("stash", "pop", "-q")
    assert names(three) == ["1", "2", "3", "4"]
    assert "gitdata checkout" not in gitdata("status").stdout


def test_a_stash_of_all_files_and_its_pop(three: Repo, gitdata: Program) -> None:
    three.write("data/2", "edited")
    three.write("unknown", "to git")
    three.git("stash", "--all", "-q")
    assert not (three.path / "data").exists()
    three.git("stash", "pop", "-q")
    assert names(three) == ["1", "2", "3"]
    assert (three.path / "data/2").read_text() == "edited"
    assert three.git("stash", "list") == ""
    assert "data: changed" in gitdata("status").stdout


def test_patches_that_stop_at_one_that_does_not_apply(three: Repo) -> None:
    three.write("text", "other")
    three.commit("text that nobody else has")
    three.git("format-patch", "-q", "-1", "-o", "../patches", "--start-number", "2")
    three.git("format-patch", "-q", "-1", "-o", "../patches", "v3")
    three.git("checkout", "-q", "v2")
    patches = sorted((three.path.parent / "patches").iterdir())
    three.git("am", *patches, check=False)
    assert (three.path / ".git/rebase-apply").is_dir()
    assert names(three) == ["1", "2", "3"]
    three.git("am", "--abort")
    assert names(three) == ["1", "2"]


def test_a_cherry_pick_brings(three: Repo) -> None:
    three.git("checkout", "-q", "-b", "side", "v1")
    three.git("cherry-pick", "v2")
    assert names(three) == ["1", "2"]


def test_a_rebase_that_is_given_up(three: Repo) -> None:
    three.git("checkout", "-q", "-b", "side", "v1")
    three.write("text", "other")
    three.commit("a text that conflicts")
    three.git("rebase", "-q", "main", check=False)
    three.git("rebase", "--abort")
    assert names(three) == ["1"]


def test_the_data_of_commits_that_are_rebased_comes_back(three: Repo, gitdata: Program) -> None:
    three.git("checkout", "-q", "-b", "mine", "empty")
    assert not (three.path / "data").exists()
    three.write("own/mine/a", "a")
    gitdata("add", "own/mine")
    three.commit("mine")
    three.git("rebase", "-q", "main")
    assert names(three, "own/mine") == ["a"]
    assert names(three) == ["1", "2", "3"]


def test_what_a_person_deleted_stays_away_until_its_pointer_moves(three: Repo) -> None:
    shutil.rmtree(three.path / "data")
    three.git("checkout", "-q", "-b", "side")
    three.git("commit", "-q", "--allow-empty", "-m", "x")
    three.git("reset", "-q", "--hard", "HEAD~1")
    assert not (three.path / "data").exists()
    three.git("checkout", "-q", "v2")
    assert names(three) == ["1", "2"]


@pytest.mark.parametrize("move", [revert, reset, checkout_of_the_pointer, detached], ids=lambda move: move.__name__)
def test_an_edit_is_kept_and_named(three: Repo, move: Moves) -> None:
    three.write("data/mine", "mine")
    said = []
    git = Program("git", cwd=three.path)
    commands: dict[Moves, list[str]] = {
        revert: ["revert", "--no-edit", "v3"],
        reset: ["reset", "--hard", "v2"],
        checkout_of_the_pointer: ["checkout", "v2", "--", "data.dvc"],
        detached: ["checkout", "v2"],
    }
    done = git(*commands[move], check=False)
    said.append(done.stderr)
    assert (three.path / "data/mine").read_text() == "mine"
    if done.returncode == 0:
        assert "data was changed here and in git, and is kept" in said[0]
        assert "gitdata add" not in said[0]
        assert "--force" not in said[0]


def test_data_that_dvc_brought_leaves_and_comes_back(
    three: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    three.git("clone", "-q", tmp_path / "origin.git", tmp_path / "b")
    clone = Repo(tmp_path / "b")
    gitdata("init", cwd=clone.path)
    dvc("pull", "-q", cwd=clone.path)
    clone.git("checkout", "-q", "empty")
    clone.git("add", "-A")
    assert clone.git("status --porcelain") == ""
    assert not (clone.path / "data").exists()
    clone.git("checkout", "-q", "main")
    assert names(clone) == ["1", "2", "3"]
    clone.write("data/1", "edited")
    gitdata("commit", "-qm", "edit", cwd=clone.path)
    assert gitdata("get", "HEAD:data/1", "-o", "-", cwd=clone.path).stdout == "edited"


def test_edits_from_before_init_are_changes_and_no_conflict(
    three: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    three.git("clone", "-q", tmp_path / "origin.git", tmp_path / "b")
    clone = Repo(tmp_path / "b")
    dvc("pull", "-q", cwd=clone.path)
    clone.write("data/new", "new")
    gitdata("init", cwd=clone.path)
    clone.write("text", "x")
    clone.git("commit", "-qam", "both")
    assert "data/new" in gitdata("ls", "-r", "HEAD:data", cwd=clone.path).stdout


def test_an_old_version_from_before_init_is_only_old(
    three: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    """It was never followed here, and is never taken for a change."""
    three.git("clone", "-q", tmp_path / "origin.git", tmp_path / "b")
    clone = Repo(tmp_path / "b")
    clone.git("checkout", "-q", "v2")
    dvc("pull", "-q", cwd=clone.path)
    clone.git("checkout", "-q", "main")
    gitdata("init", cwd=clone.path)
    before = clone.git("show", "HEAD:data.dvc")
    clone.write("text", "x")
    clone.git("commit", "-qam", "text")
    assert clone.git("show", "HEAD:data.dvc") == before
    assert names(clone) == ["1", "2", "3"]  # and it has followed


def test_a_commit_from_before_init_leaves_no_data_to_git(three: Repo, tmp_path: Path) -> None:
    three.git("checkout", "-q", "empty~1")
    three.git("add", "-A")
    assert three.git("status --porcelain") == ""
    assert not (three.path / "data").exists()
    three.git("checkout", "-q", "main")
    assert names(three) == ["1", "2", "3"]


def test_a_moved_pointer_takes_its_data_along(three: Repo, gitdata: Program) -> None:
    (three.path / "sub").mkdir()
    three.git("mv", "data.dvc", "sub/data.dvc")
    three.git("commit", "-qm", "move")
    assert names(three, "sub/data") == ["1", "2", "3"]
    assert not (three.path / "data").exists()
    three.git("add", "-A")
    assert three.git("ls-files", "sub") == "sub/data.dvc"
    assert "sub/data" in gitdata("status").stdout  # no .gitignore that colleagues get has it yet


def test_a_pointer_that_is_removed_takes_its_data_along_and_says_so(three: Repo) -> None:
    three.git("rm", "-q", "data.dvc")
    assert names(three) == ["1", "2", "3"]
    done = Program("git", cwd=three.path)("commit", "-qm", "gone")
    assert "data was removed with its pointer" in done.stderr
    three.git("revert", "--no-edit", "HEAD")
    assert names(three) == ["1", "2", "3"]


def test_a_pointer_that_only_git_forgot_keeps_its_data(three: Repo) -> None:
    three.git("rm", "-q", "--cached", "data.dvc")
    three.git("commit", "-qm", "forgotten")
    three.git("checkout", "-q", "-b", "side")
    assert names(three) == ["1", "2", "3"]


def test_what_is_not_in_the_cache_is_named_by_a_reset(three: Repo) -> None:
    shutil.rmtree(three.path / ".dvc/cache")
    done = Program("git", cwd=three.path)("reset", "-q", "--hard", "v2")
    assert "data was not brought" in done.stderr
    assert "gitdata checkout data" in done.stderr
    assert names(three) == ["1", "2", "3"]


def test_git_commands_that_move_no_pointer_start_no_python(three: Repo) -> None:
    """`git status` and `git add` write the index too."""
    three.git("commit", "-q", "--allow-empty", "-m", "settle")
    for hook in (three.path / ".git/hooks").iterdir():
        if not hook.name.endswith(".sample"):
            hook.write_text(
                "\n".join(line for line in hook.read_text().splitlines() if not line.startswith("gitdata="))
            )
    git = Program("git", cwd=three.path, env={"PATH": "/usr/local/bin:/usr/bin:/bin"})
    three.write("text", "2")
    for command in (
        ["status"],
        ["add", "text"],
        ["stash"],
        ["stash", "pop"],
        ["checkout", "-b", "x"],
        ["reset", "--hard"],
    ):
        assert "gitdata" not in git(*command).stderr


def test_data_leaves_a_folder_that_git_keeps_on_the_other_branch(three: Repo, gitdata: Program) -> None:
    three.git("checkout", "-q", "-b", "text", "empty")
    three.write("data/by-git", "git")
    three.git("add", "-f", "data")
    three.git("commit", "-qm", "git keeps it")
    three.git("checkout", "-q", "main", check=False)
    gitdata("checkout")
    three.git("checkout", "-q", "text")
    assert names(three) == ["by-git"]
    assert three.git("status --porcelain") == ""


def test_a_name_that_begins_like_a_pathspec_is_kept_out_of_git(repo: Repo, gitdata: Program) -> None:
    gitdata("init")
    repo.write(":(top)x", "x")
    gitdata("add", "./:(top)x")
    repo.commit("odd")
    assert repo.git("ls-files").splitlines().count(":(top)x") == 0
    assert "no .gitignore" not in gitdata("status").stdout
