"""The hooks and the verbs on a machine whose sh, find, sed and all else of that kind are busybox's."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from helpers.machine import Program, Repo

BUSYBOX = shutil.which("busybox")

pytestmark = pytest.mark.skipif(BUSYBOX is None, reason="busybox: it is not installed; Debian has busybox-static")


@pytest.fixture
def applets(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with busybox under all its names, which comes first on PATH."""
    folder = tmp_path / "applets"
    folder.mkdir()
    for name in subprocess.run([str(BUSYBOX), "--list"], capture_output=True, text=True, check=True).stdout.split():
        (folder / name).symlink_to(str(BUSYBOX))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def of_busybox(repo: Repo, applets: Path) -> None:
    """Let busybox's sh run the hooks, as it does where it is /bin/sh."""
    hooks = [hook for hook in (repo.path / ".git/hooks").iterdir() if hook.suffix != ".sample" and hook.is_file()]
    assert hooks
    for hook in hooks:
        first, rest = hook.read_text().split("\n", 1)
        assert first == "#!/bin/sh"
        hook.write_text(f"#!{applets}/sh\n{rest}")


@pytest.fixture
def data(applets: Path, gitdata: Program, tmp_path: Path) -> Repo:
    """A repository with one committed data folder, a data remote and a git remote."""
    Repo.create(tmp_path / "origin.git", bare=True)
    repo = Repo.create(tmp_path / "a repo")
    gitdata.cwd = repo.path
    repo.git("remote", "add", "origin", "../origin.git")
    gitdata("init", "--remote", "../store")
    of_busybox(repo, applets)
    repo.write("images/a.jpg", "a")
    repo.write("images/b c.jpg", "b")
    gitdata("add", "images")
    repo.commit("data")
    return repo


def test_the_machine_is_busyboxs(applets: Path) -> None:
    done = subprocess.run(["sh", "-c", "find --help 2>&1; sed --help 2>&1"], capture_output=True, text=True, check=True)
    assert done.stdout.count("BusyBox") == 2


def test_a_commit_takes_changed_data_along(data: Repo, gitdata: Program) -> None:
    data.write("images/c.jpg", "c")
    data.write("README.md", "changed")
    data.git("commit", "-qam", "both")
    assert "nfiles: 3" in data.git("show", "HEAD:images.dvc")
    data.git("commit", "-q", "--allow-empty", "-m", "nothing")
    assert gitdata.json("status")
    assert data.git("status --porcelain") == ""


def test_a_commit_of_data_alone_by_amend(data: Repo) -> None:
    data.write("images/c.jpg", "c")
    data.git("commit", "-q", "--amend", "--no-edit")
    assert "nfiles: 3" in data.git("show", "HEAD:images.dvc")


def test_data_follows_a_checkout_a_merge_and_a_rebase(data: Repo) -> None:
    new = data.path / "images/c.jpg"
    data.git("checkout", "-qb", "other")
    data.write("images/c.jpg", "c")
    data.write("README.md", "changed")
    data.git("commit", "-qam", "both")
    data.git("checkout", "-q", "main")
    assert not new.exists()
    data.git("merge", "-q", "other")
    assert new.read_text() == "c"
    data.git("checkout", "-qb", "third", "HEAD~1")
    assert not new.exists()
    data.write("third", "third")
    data.commit("third")
    data.git("rebase", "-q", "main")
    assert new.read_text() == "c"


def test_a_push_sends_the_data_first_and_is_refused_where_it_is_missing(data: Repo, tmp_path: Path) -> None:
    data.git("push", "-q", "origin", "main")
    sent = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(sent) == 3  # two files and their listing
    data.write("images/c.jpg", "c")
    data.write("README.md", "changed")
    data.git("commit", "-qam", "both")
    shutil.rmtree(data.path / ".dvc/cache")
    shutil.rmtree(data.path / "images")
    done = Program("git", cwd=data.path)("push", "origin", "main", check=False)
    assert done.returncode != 0
    assert "images" in done.stderr
    assert Repo(tmp_path / "origin.git").git("rev-list", "--count", "main") == "2"


def test_a_hook_that_was_here_before_gets_its_arguments_and_input(
    applets: Path, repo: Repo, gitdata: Program, tmp_path: Path
) -> None:
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", "../origin.git")
    mine = repo.path / ".git/hooks/pre-push"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text('#!/bin/sh\necho "$@" >said; cat >>said\n')
    mine.chmod(0o755)
    gitdata("init", "--remote", "../store")
    of_busybox(repo, applets)
    repo.git("push", "-q", "origin", "main")
    said = (repo.path / "said").read_text()
    assert said.startswith("origin ../origin.git\nrefs/heads/main ")
    assert said.count("\n") == 2


def test_the_server_wakes_the_controller(data: Repo, applets: Path, gitdata: Program, tmp_path: Path) -> None:
    origin = tmp_path / "origin.git"
    gitdata("hooks", "install", "--server", cwd=origin)
    hook = origin / "hooks/post-receive"
    hook.write_text(hook.read_text().replace("#!/bin/sh", f"#!{applets}/sh", 1))
    data.git("push", "-q", "origin", "main")
    assert (origin / "gitdata/wake").exists()


def test_a_clone_gets_its_data(data: Repo, gitdata: Program, applets: Path, tmp_path: Path) -> None:
    data.git("push", "-q", "origin", "main")
    clone = Repo(tmp_path / "origin.git").clone(tmp_path / "clone")
    gitdata("init", cwd=clone.path)
    gitdata("pull", cwd=clone.path)
    of_busybox(clone, applets)
    assert (clone.path / "images/b c.jpg").read_text() == "b"
    assert "ok" in gitdata("doctor", cwd=clone.path, check=False).stdout
    assert gitdata("ls", "HEAD:images", cwd=clone.path).stdout.count(".jpg") == 2


@pytest.mark.parametrize("scope", ["", "--local", "--global"])
def test_hooks_of_others_run_beside_gitdatas(
    data: Repo, applets: Path, gitdata: Program, tmp_path: Path, scope: str
) -> None:
    gitdata("hooks", "uninstall")
    theirs = (tmp_path / "their hooks" if scope else data.path / ".git/hooks") / "pre-commit"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text(f'#!{applets}/sh\n. "${{0%/*}}/part"\n')
    theirs.chmod(0o755)
    theirs.with_name("part").write_text('echo "${0##*/}" >"$HOME/ran"\n')
    if scope:
        data.git("config", scope, "core.hooksPath", str(theirs.parent))
    gitdata("hooks", "install")
    for hook in data.path.glob(".git/gitdata/hooks/*" if scope else ".git/hooks/p*[a-z]"):
        hook.write_text(hook.read_text().replace("#!/bin/sh\n", f"#!{applets}/sh\n", 1))
    data.write("images/c.jpg", "c")
    data.write("README.md", "changed")
    data.git("commit", "-qam", "both")
    assert (tmp_path / "home/ran").read_text() == "pre-commit\n"
    assert "nfiles: 3" in data.git("show", "HEAD:images.dvc")
