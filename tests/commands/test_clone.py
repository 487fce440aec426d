"""gitdata clone: what git clones, with hooks and data; what is missing is named and the clone stays."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.machine import Program, Repo


@pytest.fixture
def origin(repo: Repo, gitdata: Program, tmp_path: Path) -> Path:
    """A shared repository with data on ``main`` and more on ``more``; the commands run beside it."""
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", tmp_path / "origin.git")
    gitdata("init", "--remote", tmp_path / "store")
    repo.write("images/a.jpg", "a")
    gitdata("add", "images")
    repo.commit("data")
    repo.git("checkout", "-qb", "more")
    repo.write("images/b.jpg", "b")
    gitdata("add", "images")
    repo.commit("more")
    repo.git("push", "-q", "origin", "main", "more")
    gitdata.cwd = tmp_path
    return tmp_path / "origin.git"


def files(place: Path) -> list[str]:
    return sorted(path.name for path in (place / "images").glob("*"))


WAYS = (
    (("URL",), "origin", ["a.jpg"]),
    (("URL", "a place"), "a place", ["a.jpg"]),
    (("-b", "more", "--depth=1", "URL"), "origin", ["a.jpg", "b.jpg"]),
    (("-o", "upstream", "--quiet", "--", "URL", "x/y"), "x/y", ["a.jpg"]),
    (("--separate-git-dir", "elsewhere.git", "URL"), "origin", ["a.jpg"]),
)


@pytest.mark.parametrize(("words", "place", "names"), WAYS)
def test_hooks_and_data_are_there(
    origin: Path, gitdata: Program, tmp_path: Path, words: tuple[str, ...], place: str, names: list[str]
) -> None:
    gitdata("clone", *(f"file://{origin}" if word == "URL" else word for word in words))
    assert files(tmp_path / place) == names
    status = gitdata("status", cwd=tmp_path / place)
    assert (status.stdout, status.stderr) == ("1 output, nothing changed\n", "")
    clone = Repo(tmp_path / place)
    clone.write("images/new.jpg", "new")
    clone.git("commit", "-q", "--allow-empty", "-m", "x", check=False)
    assert clone.git("diff", "--cached", "--name-only") + clone.git("show", "--name-only", "--format=") == "images.dvc"


def test_a_repository_without_gitdata_is_cloned_and_said_so(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    done = gitdata("clone", repo.path, "clone", cwd=tmp_path)
    assert "has no data yet" in done.stderr
    assert (tmp_path / "clone/README.md").exists()
    assert not (tmp_path / "clone/.git/hooks/pre-commit").exists()
    Repo.create(tmp_path / "empty.git", bare=True)
    gitdata("clone", tmp_path / "empty.git", cwd=tmp_path)


def test_a_data_remote_that_does_not_answer_leaves_the_clone(origin: Path, gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "store").rename(tmp_path / "away")
    done = gitdata("clone", origin, "clone", check=False)
    assert done.returncode in (6, 7)
    assert f"gitdata -C {tmp_path}/clone pull" in done.stderr
    assert (tmp_path / "clone/.git/hooks/pre-commit").exists()
    (tmp_path / "away").rename(tmp_path / "store")
    gitdata("-C", "clone", "pull")
    assert files(tmp_path / "clone") == ["a.jpg"]


def test_what_git_refuses_is_in_gits_words(gitdata: Program, tmp_path: Path) -> None:
    done = gitdata("clone", tmp_path / "nowhere", code=7)
    assert "does not exist" in done.stderr
    assert "--no-such-option" in gitdata("clone", "--no-such-option", "x", code=2).stderr


@pytest.mark.parametrize("option", ["--bare", "--mirror"])
def test_a_bare_clone_is_gits_alone(origin: Path, gitdata: Program, tmp_path: Path, option: str) -> None:
    assert "neither hooks nor data" in gitdata("clone", option, origin, "clone").stderr
    assert not (tmp_path / "clone/hooks/pre-commit").exists()


def test_what_is_not_checked_out_comes_with_the_checkout(origin: Path, gitdata: Program, tmp_path: Path) -> None:
    assert "git checkout" in gitdata("clone", "--no-checkout", origin, "clone").stderr
    Repo(tmp_path / "clone").git("checkout", "-q", "main")
    assert files(tmp_path / "clone") == ["a.jpg"]


def test_a_sparse_clone_names_the_cure(origin: Path, gitdata: Program, tmp_path: Path) -> None:
    done = gitdata("clone", "--sparse", origin, "clone", code=3)
    assert "git sparse-checkout add .dvc" in done.stderr
    assert (tmp_path / "clone/.git/hooks/pre-commit").exists()


def test_hooks_of_a_template_are_kept(origin: Path, gitdata: Program, tmp_path: Path) -> None:
    hook = tmp_path / "template/hooks/pre-commit"
    hook.parent.mkdir(parents=True)
    hook.write_text("#!/bin/sh\necho theirs\n")
    hook.chmod(0o755)
    gitdata("clone", "--template", tmp_path / "template", origin, "clone")
    shutil.rmtree(tmp_path / "template")
    done = Program("git", cwd=tmp_path / "clone")("commit", "--allow-empty", "-m", "x")
    assert "theirs" in done.stdout + done.stderr
