"""The installed hooks, run by git itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from helpers.machine import BIN, Program, Repo

HOOKS = Path(__file__).parents[2] / "hooks"


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs it makes the repository that all copy."""
    return tmp_path_factory.mktemp("template")


@pytest.fixture
def data(home: Path, gitdata: Program, template: Path, tmp_path: Path) -> Repo:
    """A repository with one committed data folder, a data remote and a git remote."""
    if not (template / "done").exists():
        shutil.rmtree(template)
        Repo.create(template / "origin.git", bare=True)
        made = Repo.create(template / "repo")
        made.git("remote", "add", "origin", "../origin.git")
        gitdata("init", "--remote", "../store", cwd=made.path)
        made.write("images/a.jpg", "a")
        made.write("images/b.jpg", "b")
        gitdata("add", "images", cwd=made.path)
        made.commit("data")
        (template / "done").touch()
    for name in ("origin.git", "repo"):
        shutil.copytree(template / name, tmp_path / name)
    gitdata.cwd = tmp_path / "repo"
    return Repo(tmp_path / "repo")


def pointer(repo: Repo, revision: str = "HEAD") -> str:
    return repo.git("show", f"{revision}:images.dvc")


def commit(repo: Repo, *args: str) -> subprocess.CompletedProcess[str]:
    return Program("git", cwd=repo.path)("commit", *args, check=False)


def settle(repo: Repo) -> None:
    """Let the last scan be old enough for the stamp: two commits, as after a coffee."""
    stamp = repo.path / ".dvc/tmp/gitdata-stamp"
    if not stamp.exists():
        repo.git("commit", "--quiet", "--allow-empty", "-m", "settle")
    os.utime(stamp, (time.time(), time.time()))


def without_gitdata(repo: Repo) -> dict[str, str]:
    """An environment and hooks in which gitdata cannot be found; the hooks say so when they need it."""
    for hook in (repo.path / ".git/hooks").iterdir():
        if not hook.name.endswith(".sample"):
            hook.write_text(hook.read_text().replace(str(BIN), "/nowhere"))
    return {"PATH": os.environ["PATH"].replace(f"{BIN}:", "")}


# ------------------------------------------------------------------------------------------------------- pre-commit


def test_a_commit_takes_changed_data_along(data: Repo) -> None:
    before = pointer(data)
    data.write("images/c.jpg", "c")
    data.write("README.md", "changed")
    data.git("commit", "-qam", "both")
    assert pointer(data) != before
    assert "nfiles: 3" in pointer(data)
    assert data.git("status --porcelain") == ""


def test_data_alone_is_committed_by_the_same_command_again(data: Repo) -> None:
    data.write("images/c.jpg", "c")
    first = commit(data, "-am", "data")
    assert first.returncode == 1
    assert "run the same command again" in first.stderr
    assert commit(data, "-am", "data").returncode == 0
    assert "nfiles: 3" in pointer(data)


def test_amend_takes_data_alone(data: Repo) -> None:
    data.write("images/c.jpg", "c")
    assert commit(data, "--amend", "--no-edit").returncode == 0
    assert "nfiles: 3" in pointer(data)


def test_a_stale_workspace_never_reverts_a_newer_pointer(data: Repo, gitdata: Program) -> None:
    old = pointer(data)
    data.write("images/c.jpg", "c")
    gitdata("add", "images")
    data.commit("newer")
    newer = pointer(data)
    # A colleague's pointer arrives without its data: git moved with the hooks off.
    data.git("checkout", "-q", "HEAD~1", env={"GITDATA_SKIP_HOOKS": "1"})
    gitdata("checkout")
    data.git("checkout", "-q", "main", env={"GITDATA_SKIP_HOOKS": "1"})
    assert not (data.path / "images/c.jpg").exists()
    data.write("README.md", "mine")
    done = commit(data, "-am", "mine")
    assert done.returncode == 0
    assert "gitdata checkout images" in done.stderr
    assert pointer(data) == newer != old


def test_both_sides_changed_is_refused_and_touches_nothing(data: Repo, gitdata: Program) -> None:
    data.write("images/c.jpg", "c")
    gitdata("add", "images")
    data.commit("theirs")
    theirs = pointer(data)
    data.git("checkout", "-q", "HEAD~1", env={"GITDATA_SKIP_HOOKS": "1"})
    gitdata("checkout")
    data.git("checkout", "-q", "main", env={"GITDATA_SKIP_HOOKS": "1"})
    data.write("images/mine.jpg", "mine")
    data.write("README.md", "mine")
    done = commit(data, "-am", "mine")
    assert done.returncode == 1
    assert "mv images images.mine" in done.stderr  # neither side is destroyed by what is said
    assert "--force" not in done.stderr
    assert (data.path / "images.dvc").read_text().strip() == theirs
    gitdata("add", "images")
    assert commit(data, "-am", "mine").returncode == 0
    assert pointer(data) != theirs


def test_a_partial_commit_only_checks(data: Repo) -> None:
    before = (data.path / "images.dvc").read_text()
    data.write("images/c.jpg", "c")
    data.write("README.md", "changed")
    done = commit(data, "-m", "readme", "--", "README.md")
    assert done.returncode == 0
    assert "not in this commit" in done.stderr
    assert (data.path / "images.dvc").read_text() == before


@pytest.mark.parametrize(("mode", "code"), [("check", 1), ("never", 0)])
def test_auto_add_can_be_switched_off(data: Repo, mode: str, code: int) -> None:
    data.git("config", "gitdata.autoAdd", mode)
    before = pointer(data)
    data.write("images/c.jpg", "c")
    data.write("README.md", "changed")
    done = commit(data, "-am", "x")
    assert done.returncode == code
    assert "gitdata add images" in done.stderr
    assert pointer(data) == before


def test_nothing_is_rewritten_during_a_merge(data: Repo) -> None:
    data.git("checkout", "-qb", "side")
    data.write("README.md", "side")
    data.git("commit", "-qam", "side")
    data.git("checkout", "-q", "main")
    data.write("README.md", "main")
    data.git("commit", "-qam", "main")
    data.git("merge", "-q", "side", check=False)
    data.write("images/c.jpg", "c")
    data.write("README.md", "resolved")
    before = (data.path / "images.dvc").read_text()
    done = commit(data, "-am", "merged")
    assert done.returncode == 0, done.stderr
    assert "during a merge" in done.stderr
    assert (data.path / "images.dvc").read_text() == before


def test_a_merge_passes_over_no_changed_data(data: Repo, gitdata: Program) -> None:
    data.git("checkout", "-qb", "side")
    data.write("images/theirs.jpg", "t")
    gitdata("add", "images")
    data.commit("side")
    data.git("checkout", "-q", "main")
    data.write("README.md", "main")
    data.git("commit", "-qam", "main")
    data.write("images/mine.jpg", "m")
    done = Program("git", cwd=data.path)("merge", "--no-edit", "side", check=False)
    assert done.returncode != 0
    assert "images was changed here and in git" in done.stderr
    assert (data.path / "images/mine.jpg").exists()


def test_an_index_of_the_users_own_is_only_checked(data: Repo, tmp_path: Path) -> None:
    shutil.copy(data.path / ".git/index", tmp_path / "index")
    before = (data.path / "images.dvc").read_text()
    data.write("images/c.jpg", "c")
    data.write("README.md", "changed")
    env = {"GIT_INDEX_FILE": str(tmp_path / "index")}
    data.git("add", "README.md", env=env)
    data.git("commit", "-qm", "x", env=env)
    assert (data.path / "images.dvc").read_text() == before


def test_a_deleted_folder_is_no_change(data: Repo) -> None:
    before = pointer(data)
    shutil.rmtree(data.path / "images")
    data.write("README.md", "changed")
    assert commit(data, "-am", "x").returncode == 0
    assert pointer(data) == before


def test_a_bad_stage_spec_is_refused_with_file_path_and_fix(data: Repo) -> None:
    data.write("stages/x.json", '{"pipeline": {"name": "x"}, "nonsense": 1}')
    data.git("add", "stages")
    done = commit(data, "-m", "x")
    assert done.returncode == 1
    assert "stages/x.json" in done.stderr
    assert "nonsense" in done.stderr


def test_a_generated_pointer_is_remarked(data: Repo) -> None:
    text = (data.path / "images.dvc").read_text().replace("images", "out") + "meta:\n  gitdata:\n    v: 1\n"
    data.write("out.dvc", text)
    data.git("add", "out.dvc")
    done = commit(data, "-m", "x")
    assert done.returncode == 0
    assert "git rm --cached out.dvc" in done.stderr


# ------------------------------------------------------------------------------------------------ nothing moved


def test_no_python_starts_when_nothing_moved(data: Repo, tmp_path: Path) -> None:
    settle(data)
    env = without_gitdata(data)
    data.write("README.md", "1")
    assert "not installed" not in Program("git", cwd=data.path)("commit", "-qam", "1", env=env).stderr
    data.write("images/c.jpg", "c")
    data.write("README.md", "2")
    done = Program("git", cwd=data.path)("commit", "-qam", "2", env=env)
    assert "gitdata is not installed here" in done.stderr  # it would have started, and git goes on without it


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_no_python_starts_when_no_link_moved(data: Repo, gitdata: Program, dvc: Program, link: str) -> None:
    """Links to the cache settle as copies do, and an edit through one is noticed."""
    dvc("config", "cache.type", link, cwd=data.path)
    gitdata("checkout", "--relink", cwd=data.path)
    assert (data.path / "images/a.jpg").is_symlink() == (link == "symlink")
    data.commit("links")
    settle(data)
    env = without_gitdata(data)
    data.write("README.md", "1")
    assert "not installed" not in Program("git", cwd=data.path)("commit", "-qam", "1", env=env).stderr
    time.sleep(0.02)
    (data.path / "images/a.jpg").resolve().chmod(0o644)
    (data.path / "images/a.jpg").write_text("A")
    data.write("README.md", "2")
    done = Program("git", cwd=data.path)("commit", "-qam", "2", env=env)
    assert "gitdata is not installed here" in done.stderr


@pytest.mark.parametrize("change", ["edit", "delete", "rename", "chmod", "in a new folder", "removed output"])
def test_every_kind_of_change_is_noticed(data: Repo, change: str) -> None:
    settle(data)
    time.sleep(0.02)
    images = data.path / "images"
    if change == "edit":
        before = (images / "a.jpg").stat()
        (images / "a.jpg").write_text("A")
        os.utime(images / "a.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "delete":
        (images / "a.jpg").unlink()
    elif change == "rename":
        (images / "a.jpg").rename(images / "z.jpg")
    elif change == "chmod":
        (images / "a.jpg").chmod(0o600)
    elif change == "in a new folder":
        data.write("images/new/c.jpg", "c")
    else:
        shutil.rmtree(images)
    done = Program("git", cwd=data.path)("commit", "-q", "--allow-empty", "-m", "x", env=without_gitdata(data))
    assert "gitdata is not installed here" in done.stderr


@pytest.mark.parametrize("doubt", ["no stamp", "stamp in the future", "no list"])
def test_a_doubt_starts_python(data: Repo, doubt: str) -> None:
    settle(data)
    stamp = data.path / ".dvc/tmp/gitdata-stamp"
    if doubt == "no stamp":
        stamp.unlink()
    elif doubt == "no list":
        (data.path / ".git/gitdata/outputs").unlink()
    else:
        os.utime(stamp, (time.time() + 1000, time.time() + 1000))
    done = Program("git", cwd=data.path)("commit", "-q", "--allow-empty", "-m", "x", env=without_gitdata(data))
    assert "gitdata is not installed here" in done.stderr


def test_the_hooks_are_plain_sh() -> None:
    for hook in HOOKS.iterdir():
        subprocess.run(["dash", "-n", hook], check=True)


# --------------------------------------------------------------------------------------------------------- pre-push


def test_a_push_sends_data_before_refs(data: Repo) -> None:
    data.git("push", "-q", "origin", "main")
    shutil.rmtree(data.path / ".dvc/cache")
    shutil.rmtree(data.path / "images")
    Program("gitdata", cwd=data.path)("checkout")
    assert (data.path / "images/a.jpg").read_text() == "a"


def test_a_push_without_its_data_is_refused_by_name(data: Repo, tmp_path: Path) -> None:
    lost = next(p for p in (data.path / ".dvc/cache/files/md5").glob("??/*") if p.read_bytes() == b"a")
    oid = lost.parent.name + lost.name
    lost.unlink()
    done = Program("git", cwd=data.path)("push", "origin", "main", check=False)
    assert done.returncode != 0
    assert f"images/a.jpg ({oid})" in done.stderr
    assert Repo(tmp_path / "origin.git").git("for-each-ref") == ""


def test_every_pushed_commit_counts_not_only_the_tip(data: Repo, tmp_path: Path) -> None:
    data.git("push", "-q", "origin", "main")
    data.write("images/c.jpg", "between")
    data.write("README.md", "1")
    data.git("commit", "-qam", "with")
    data.git("revert", "--no-edit", "HEAD")
    data.git("push", "-q", "origin", "main")
    stored = [p.read_bytes() for p in (tmp_path / "store/files/md5").glob("??/*")]
    assert b"between" in stored


def test_a_push_of_text_starts_no_python(data: Repo, tmp_path: Path) -> None:
    data.git("push", "-q", "origin", "main")
    settle(data)
    env = without_gitdata(data)
    data.write("README.md", "1")
    data.git("commit", "-qam", "1", env=env)
    for refs in ("main", "main:new-branch", ":new-branch", "HEAD:refs/gitdata/requests/x"):
        assert "not installed" not in Program("git", cwd=data.path)("push", "-q", "origin", refs, env=env).stderr
    data.git("checkout", "-q", "--orphan", "other", env=env)
    data.git("commit", "-qm", "orphan", env=env)
    done = Program("git", cwd=data.path)("push", "-q", "--no-thin", tmp_path / "origin.git", "other", env=env)
    assert "was not checked" in done.stderr


@pytest.mark.parametrize("place", ["an older branch", "another worktree", "a sparse checkout"])
def test_no_push_leaves_its_data_where_no_remote_is_known(data: Repo, tmp_path: Path, place: str) -> None:
    data.git("branch", "old", "HEAD~1")
    git, cure = Program("git", cwd=data.path), "git switch main"
    if place == "an older branch":
        git("switch", "old")
    elif place == "another worktree":
        git("worktree", "add", tmp_path / "tree", "old")
        git.cwd = tmp_path / "tree"
    else:
        git("status")  # the files are copies: git learns that they are what it has
        git("sparse-checkout", "set", "stages")
        cure = "git sparse-checkout add .dvc"
    done = git("push", "origin", "main", check=False)
    assert done.returncode != 0
    assert f"hint: {cure}, then push again" in done.stderr
    assert Repo(tmp_path / "origin.git").git("for-each-ref") == ""
    assert "gitdata" not in git("push", "origin", "old").stderr
    git("push", "origin", "main", env={"GITDATA_SKIP_HOOKS": "1"})


# ----------------------------------------------------------------------------------------------------- after a move


@pytest.fixture
def two(data: Repo, gitdata: Program) -> Repo:
    """Branch ``more`` has another image and another output; ``main`` is checked out."""
    data.git("checkout", "-qb", "more")
    data.write("images/c.jpg", "c")
    data.write("model/graph.pb", "graph")
    gitdata("add", "images", "model")
    data.commit("more")
    data.git("checkout", "-q", "main")
    return data


def test_a_checkout_brings_and_clears_data(two: Repo) -> None:
    assert not (two.path / "images/c.jpg").exists()
    assert not (two.path / "model").exists()
    two.git("checkout", "-q", "more")
    assert (two.path / "images/c.jpg").read_text() == "c"
    assert (two.path / "model/graph.pb").read_text() == "graph"


def test_a_checkout_keeps_what_was_changed_here(two: Repo) -> None:
    two.write("images/a.jpg", "mine")
    done = Program("git", cwd=two.path)("checkout", "more")
    assert "images was changed here and in git, and is kept" in done.stderr
    assert (two.path / "images/a.jpg").read_text() == "mine"
    assert not (two.path / "images/c.jpg").exists()
    assert (two.path / "model/graph.pb").exists()


def test_a_merge_and_a_rebase_bring_data(two: Repo) -> None:
    two.git("merge", "-q", "--no-edit", "more")
    assert (two.path / "images/c.jpg").exists()
    two.git("checkout", "-q", "-b", "side", "HEAD~1")
    assert not (two.path / "images/c.jpg").exists()
    two.write("README.md", "side")
    two.git("commit", "-qam", "side")
    two.git("rebase", "-q", "main")
    assert (two.path / "images/c.jpg").exists()


def test_a_rebase_that_drops_data_removes_it(two: Repo) -> None:
    two.git("checkout", "-q", "more")
    two.write("README.md", "x")
    two.git("commit", "-qam", "text")
    two.git("rebase", "-q", "--onto", "main", "HEAD~1")
    assert not (two.path / "images/c.jpg").exists()


def test_a_checkout_between_equal_pointers_starts_no_python(data: Repo) -> None:
    data.git("checkout", "-qb", "text")
    data.write("README.md", "text")
    data.git("commit", "-qam", "text")
    done = Program("git", cwd=data.path)("checkout", "main", env=without_gitdata(data))
    assert "not installed" not in done.stderr


def test_a_failed_download_never_fails_git(two: Repo, tmp_path: Path) -> None:
    shutil.rmtree(two.path / ".dvc/cache")
    done = Program("git", cwd=two.path)("checkout", "more")
    assert "gitdata pull" in done.stderr
    assert (two.path / "images/a.jpg").read_text() == "a"


def test_a_new_worktree_gets_its_data(two: Repo, gitdata: Program, tmp_path: Path) -> None:
    gitdata("push", "origin", "main", "more")
    two.git("push", "-q", "origin", "more")
    two.git("worktree", "add", "-q", tmp_path / "tree", "more")
    assert (tmp_path / "tree/images/c.jpg").read_text() == "c"
    Repo(tmp_path / "tree").write("images/d.jpg", "d")
    assert gitdata.json("status", cwd=tmp_path / "tree")["outputs"][0]["state"] == "changed"
    assert gitdata.json("status")["clean"]


def test_outputs_of_stages_are_excluded_privately(data: Repo, gitdata: Program) -> None:
    data.git("checkout", "-qb", "gitdata/main")
    text = (data.path / "images.dvc").read_text().replace("images", "out") + "meta:\n  gitdata:\n    v: 1\n"
    data.write("out.dvc", text)
    data.git("add", "out.dvc")
    data.git("commit", "-qm", "outputs")
    data.git("checkout", "-q", "main")
    data.git("checkout", "-q", "gitdata/main")
    assert (data.path / "out/a.jpg").exists()
    assert data.git("status --porcelain") == ""


# ------------------------------------------------------------------------------------------------------ elsewhere


def test_a_server_hook_wakes_the_controller_and_never_fails(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    origin = Repo.create(tmp_path / "origin.git", bare=True)
    gitdata("hooks", "install", "--server", cwd=origin.path)
    assert not (origin.path / "hooks/pre-commit").exists()
    origin.git("config", "gitdata.wake", "http://127.0.0.1:9/nobody")
    began = time.monotonic()
    repo.git("push", "-q", origin.path, "main")
    assert time.monotonic() - began < 20
    assert (origin.path / "gitdata/wake").exists()


def test_a_foreign_repository_is_left_alone(repo: Repo, gitdata: Program) -> None:
    gitdata("hooks", "install")  # as with a shared core.hooksPath: this is no gitdata repository
    done = Program("git", cwd=repo.path)("commit", "--allow-empty", "-qm", "x")
    assert done.stderr == ""
    remote = Repo.create(repo.path.parent / "o.git", bare=True)
    repo.write("x.dvc", "no pointer of ours\n")
    repo.commit("y")
    assert Program("git", cwd=repo.path)("push", "-q", remote.path, "main").stderr == ""
