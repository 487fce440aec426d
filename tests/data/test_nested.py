"""A path in a submodule, or in a clone inside of the working tree, is refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.machine import Program, Repo


@pytest.fixture
def outer(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """A repository with data, a submodule ``a/sub`` and a clone ``clone`` in it."""
    other = Repo.create(tmp_path / "other")
    gitdata("init", "--remote", tmp_path / "remote")
    repo.git("submodule", "--quiet", "add", str(other.path), "a/sub")
    other.clone(repo.path / "clone")
    repo.write("data/a", "1")
    repo.write("f", "1")
    gitdata("add", "data")
    repo.git("add", "data.dvc", ".gitignore")
    repo.git("commit", "-qm", "all")
    return repo


def everything(repo: Repo) -> list[str]:
    return sorted(str(path) for path in repo.path.rglob("*") if ".git/" not in str(path))


@pytest.mark.parametrize("inner", ["a/sub", "clone"])
def test_refused_before_anything_is_written(outer: Repo, gitdata: Program, inner: str) -> None:
    outer.write(f"{inner}/new/x", "1")
    before = everything(outer)
    for words in (
        ["add", inner], ["add", f"{inner}/new"], ["put", "f", f"{inner}/new/"], ["put", "f", f"{inner}/absent/y"],
        ["checkout", f"{inner}/new"],
    ):  # fmt: skip
        done = gitdata(*words, code=4)
        assert f"{inner}" in done.stderr
        assert "a git repository of its own" in done.stderr
    assert everything(outer) == before
    assert outer.git("-C", inner, "status", "--porcelain").split() in ([], ["??", "new/"])


def test_a_submodule_that_is_not_checked_out(outer: Repo, gitdata: Program, tmp_path: Path) -> None:
    clone = outer.clone(tmp_path / "second")
    clone.write("a/sub/new/x", "1")
    clone.write("f", "1")
    for words in (["add", "a/sub/new"], ["put", "f", "a/sub/more/"]):
        done = gitdata(*words, code=4, cwd=clone.path)
        assert "a/sub, which is a git repository of its own" in done.stderr
    assert not (clone.path / "a/sub/new.dvc").exists()
    assert not (clone.path / "a/sub/more").exists()


def test_by_a_symlink(outer: Repo, gitdata: Program) -> None:
    outer.write("a/sub/new/x", "1")
    (outer.path / "link").symlink_to("a/sub")
    assert "a/sub" in gitdata("add", "link/new", code=4).stderr
    assert not (outer.path / "a/sub/new.dvc").exists()


def test_beside_it_everything_works(outer: Repo, gitdata: Program) -> None:
    outer.write("a/subway/x", "1")
    gitdata("add", "a/subway")
    gitdata("checkout", "a/subway")
    assert "the repository itself" in gitdata("add", ".", code=4).stderr


def test_a_path_outside(outer: Repo, gitdata: Program, tmp_path: Path) -> None:
    assert "outside of the repository" in gitdata("add", tmp_path / "elsewhere", code=4).stderr
    assert "reserved" in gitdata("add", ".git/hooks", code=4).stderr
