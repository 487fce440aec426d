"""Remotes beside the default folder or S3: those that a pointer names, and those that only DVC can reach."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from helpers.machine import Program, Repo
from helpers.web import serve_web


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    with serve_web(tmp_path / "web") as url:
        yield url


@pytest.fixture
def origin(repo: Repo, tmp_path: Path) -> Repo:
    origin = Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", tmp_path / "origin.git")
    return origin


def use_web(repo: Repo, gitdata: Program, dvc: Program, url: str) -> None:
    gitdata("init")
    dvc("remote", "add", "-d", "web", f"{url}/data")
    dvc("remote", "modify", "web", "method", "PUT")


def two_outputs(repo: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> None:
    """``foo`` on the remote ``second``, the folder ``data`` on the default one; committed."""
    gitdata("init", "--remote", tmp_path / "first")
    dvc("remote", "add", "second", tmp_path / "second")
    repo.write("foo", "foo")
    repo.write("data/a", "a")
    gitdata("add", "foo", "data")
    with (repo.path / "foo.dvc").open("a") as file:
        file.write("  remote: second\n")
    repo.commit("data")


def test_the_remote_that_a_pointer_names_counts_in_every_verb(
    repo: Repo, origin: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    two_outputs(repo, gitdata, dvc, tmp_path)
    gitdata("push", "-u", "origin", "main")
    assert len(list((tmp_path / "second").glob("files/md5/*/*"))) == 1
    other = tmp_path / "clone"
    origin.clone(other)
    assert gitdata("get", "foo", "-o", tmp_path / "got", cwd=other).returncode == 0
    assert (tmp_path / "got").read_text() == "foo"
    shutil.rmtree(other / ".dvc/cache")
    gitdata("checkout", cwd=other)
    assert (other / "foo").read_text() == "foo"
    assert (other / "data/a").read_text() == "a"
    assert "up to date" in dvc("status", cwd=other).stdout


def test_diff_lists_a_folder_that_lies_on_another_remote(
    repo: Repo, origin: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    two_outputs(repo, gitdata, dvc, tmp_path)
    with (repo.path / "data.dvc").open("a") as file:
        file.write("  remote: second\n")
    repo.git("commit", "-qa", "--amend", "--no-edit")
    gitdata("push", "-u", "origin", "main")
    shutil.rmtree(repo.path / ".dvc/cache")
    assert "data/a" in gitdata("diff", "HEAD~1", "HEAD").stdout


def test_a_stage_reads_an_input_of_another_remote(
    repo: Repo, origin: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    two_outputs(repo, gitdata, dvc, tmp_path)
    repo.write("stage-images/s/Dockerfile", "FROM debian\n")
    repo.write(
        "stages/s.json",
        '{"pipeline": {"name": "s"}, "input": {"pfs": {"repo": "foo", "glob": "/"}},'
        ' "transform": {"image": "stage-images/s", "cmd": ["sh", "-c", "cp /pfs/foo/* /pfs/out"]}}',
    )
    repo.commit("stage")
    gitdata("push", "-u", "origin", "main")
    other = tmp_path / "clone"
    origin.clone(other)
    (other / "foo").unlink(missing_ok=True)
    shutil.rmtree(other / ".dvc/cache", ignore_errors=True)
    gitdata("run", cwd=other)
    assert (other / "s/foo").read_text() == "foo"


def test_what_only_dvc_reaches_is_pushed_and_brought(
    repo: Repo, origin: Repo, gitdata: Program, dvc: Program, web: str, tmp_path: Path
) -> None:
    use_web(repo, gitdata, dvc, web)
    repo.write("data/a", "a")
    repo.write("data/b", "b" * 100_000)
    gitdata("add", "data")
    repo.commit("data")
    repo.git("push", "-u", "origin", "main")
    shutil.rmtree(repo.path / ".dvc/cache")
    assert "modified" not in dvc("pull").stdout
    other = tmp_path / "clone"
    origin.clone(other)
    gitdata("checkout", cwd=other)
    assert (other / "data/b").read_text() == "b" * 100_000
    assert "up to date" in dvc("status", cwd=other).stdout


def test_damage_on_a_remote_of_dvcs_never_reaches_the_cache(
    repo: Repo, origin: Repo, gitdata: Program, dvc: Program, web: str, tmp_path: Path
) -> None:
    use_web(repo, gitdata, dvc, web)
    repo.write("f", "right")
    gitdata("add", "f")
    repo.commit("data")
    gitdata("push", "-u", "origin", "main")
    [stored] = [p for p in (tmp_path / "web/data/files/md5").rglob("*") if p.is_file()]
    stored.write_text("wrong")
    other = tmp_path / "clone"
    origin.clone(other)
    assert "f" in gitdata("checkout", cwd=other, code=6).stderr
    assert not [p for p in (other / ".dvc/cache").rglob("*") if p.is_file() and p.read_text() == "wrong"]


def test_a_push_is_refused_where_that_remote_does_not_answer(
    repo: Repo, origin: Repo, gitdata: Program, dvc: Program
) -> None:
    use_web(repo, gitdata, dvc, "http://127.0.0.1:1")
    repo.write("f", "x")
    gitdata("add", "f")
    repo.commit("data")
    done = gitdata("push", "-u", "origin", "main", code=7)
    assert "127.0.0.1:1" in done.stderr
    assert origin.git("for-each-ref") == ""


def test_lost_data_is_named_there_too(repo: Repo, origin: Repo, gitdata: Program, dvc: Program, web: str) -> None:
    use_web(repo, gitdata, dvc, web)
    repo.write("f", "x")
    gitdata("add", "f")
    repo.commit("data")
    shutil.rmtree(repo.path / ".dvc/cache")
    done = gitdata("push", "-u", "origin", "main", code=6)
    assert "f (" in done.stderr
