"""Which places `gitdata init` takes for a data remote: nothing is written before a refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.machine import Program, Repo


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is empty"),
        (".", "the working tree itself"),
        (".git/data", "git's own folder"),
        (".dvc/cache", "the cache"),
        (".dvc/cache/files", "the cache"),
        (".dvc/remote", "DVC's own folder"),
        ("file", "not a folder"),
        ("images/remote", "the data folder"),
        ("s3://bucket/a//b", "//"),
        ("file://host/data", "not a host"),
        ("https://me:pw@host/x", "user or password"),
        ("gs://bucket/x", "dvc remote add -d storage gs://bucket/x"),
    ],
)
def test_a_place_that_cannot_be_is_refused(repo: Repo, gitdata: Program, url: str, said: str) -> None:
    repo.write("file", "x")
    repo.write("images/a", "x")
    repo.write("images.dvc", "outs: []\n")
    done = gitdata("init", "--remote", url, code=4)
    assert said in done.stderr
    assert "pw" not in done.stderr
    assert not (repo.path / ".dvc").exists()


def test_the_cache_is_refused_by_every_name(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo.path / ".git")
    assert "git's own folder" in gitdata("init", "--remote", tmp_path / "link/x", code=4).stderr
    assert "name of a remote" in gitdata("init", "--remote", "../data", "--name", "a b", code=4).stderr


def test_a_folder_outside_is_stored_as_dvc_stores_it(
    repo: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    (repo.path / "below").mkdir()
    gitdata("init", "--remote", "../../data", cwd=repo.path / "below")
    assert "url = ../../data" in (repo.path / ".dvc/config").read_text()
    assert str(tmp_path / "data") in dvc("remote", "list").stdout or "../../data" in dvc("remote", "list").stdout


@pytest.mark.parametrize("url", ["s3://bucket/a//b", "s3:/bucket/a", "me@host:/data"])
def test_the_controller_refuses_it_at_its_start(repo: Repo, gitdata: Program, url: str) -> None:
    done = gitdata("controller", "--repo", repo.path, "--remote", url, "--once", code=4)
    assert url in done.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("endpointurl=localhost:9000", "http://host:port"),
        ("endpointurl=ftp://host", "http://host:port"),
        ("endpointurl=http://key:word@host", "user or password"),
        ("endpoint_url=http://host", "did you mean endpointurl"),
        ("colour=blue", "no option 'colour'"),
        ("region=a\tb", "control character"),
    ],
)
def test_an_option_that_cannot_be_is_refused(repo: Repo, gitdata: Program, option: str, said: str) -> None:
    done = gitdata("init", "--remote", "s3://bucket/a", "--option", option, code=4)
    assert said in done.stderr
    assert "key:word" not in done.stderr
    assert not (repo.path / ".dvc").exists()


def test_a_dvc_project_in_a_subfolder_is_refused_by_every_verb(repo: Repo, gitdata: Program, dvc: Program) -> None:
    sub = repo.path / "proj"
    (sub / "deep").mkdir(parents=True)
    dvc("init", "-q", "--subdir", cwd=sub)
    repo.write("proj/foo", "foo")
    dvc("add", "-q", "foo", cwd=sub)
    repo.commit("proj")
    for words in (
        ["init"],
        ["status"],
        ["add", "foo"],
        ["checkout"],
        ["push"],
        ["pull"],
        ["commit", "-m", "x"],
        ["ls"],
    ):
        for place in (sub, sub / "deep"):
            done = gitdata(*words, cwd=place, code=3)
            assert "proj: a DVC project in a subfolder" in done.stderr
    assert "subfolders (`dvc init --subdir`): proj;" in gitdata("init", code=4).stderr
    assert not (repo.path / ".dvc").exists()


def test_a_project_that_came_below_is_left_alone(repo: Repo, gitdata: Program, dvc: Program) -> None:
    gitdata("init")
    (repo.path / "proj").mkdir()
    dvc("init", "-q", "--subdir", cwd=repo.path / "proj")
    repo.write("proj/foo", "foo")
    assert "another DVC project" in gitdata("add", "proj/foo", code=4).stderr
