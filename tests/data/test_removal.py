"""`gitdata rm`: data, pointer, .gitignore, base and index go together; nothing goes that no commit has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers.machine import Program, Repo


@pytest.fixture
def data(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    gitdata("init", "--remote", tmp_path / "remote")
    repo.write("data/a", "1")
    repo.write("data/deep/b", "2")
    repo.write("x/one", "3")
    gitdata("add", "data", "x/one")
    repo.commit("data")
    return repo


def test_whole_outputs(data: Repo, gitdata: Program, dvc: Program) -> None:
    assert gitdata("rm", "data").stdout == "data: removed\n"
    assert not (data.path / "data").exists()
    assert data.git("status", "--porcelain").splitlines() == ["D  .gitignore", "D  data.dvc"]
    gitdata("rm", "-r", "x")
    assert not (data.path / "x/one").exists()
    data.git("commit", "-qm", "removed")
    assert json.loads(dvc("status", "--json").stdout) == {}
    data.git("checkout", "-q", "HEAD~1")
    assert (data.path / "data/deep/b").read_text() == "2", "earlier commits have it"
    data.git("checkout", "-q", "main")
    assert not (data.path / "data").exists()


def test_inside_of_a_folder(data: Repo, gitdata: Program, dvc: Program) -> None:
    gitdata("rm", "data/deep")
    assert [p.name for p in (data.path / "data").iterdir()] == ["a"]
    assert data.git("status", "--porcelain") == "M  data.dvc"
    assert json.loads(dvc("status", "--json").stdout) == {}
    gitdata("rm", "data/none", code=6)


def test_cached_keeps_the_data_as_dvc_remove_does(data: Repo, gitdata: Program) -> None:
    done = gitdata("rm", "--cached", "data")
    assert "the files stay here, and git does not ignore them any more" in done.stdout
    assert (data.path / "data/a").read_text() == "1"
    assert data.git("status", "--porcelain").splitlines() == ["D  .gitignore", "D  data.dvc", "?? data/"]
    data.git("commit", "-qm", "no data any more")
    gitdata("checkout")
    assert (data.path / "data/a").read_text() == "1", "no hook and no verb clears it away"
    gitdata("add", "data")
    assert "a part of data" in gitdata("rm", "--cached", "data/a", code=4).stderr


def test_a_command_to_copy_is_quoted_for_the_shell(data: Repo, gitdata: Program) -> None:
    data.write("my data/a", "1")
    gitdata("add", "my data")
    assert "gitdata rm --cached 'my data'" in gitdata("rm", "my data", code=5).stderr
    data.commit("more")
    data.write("my data/a", "2")
    assert "`gitdata add 'my data'`" in gitdata("rm", "my data", code=5).stderr
    assert "gitdata rm 'my data/a'" in gitdata("mv", "my data/a", "elsewhere", code=4).stderr


def test_nothing_goes_that_no_commit_has(data: Repo, gitdata: Program) -> None:
    data.write("new", "only here")
    gitdata("add", "new")
    data.write("data/a", "edited")
    data.write("data/extra", "new")
    for words in (["data"], ["data/a"], ["data/extra"], ["new"], ["x/one", "data"]):
        done = gitdata("rm", *words, code=5)
        assert "`gitdata rm --cached" in done.stderr
        assert "rm -f" not in done.stderr
    assert (data.path / "data/a").read_text() == "edited"
    assert (data.path / "x/one").exists(), "all are checked before one goes"
    gitdata("rm", "data/deep")
    shutil.rmtree(data.path / ".dvc/cache")
    gitdata("rm", "x/one", code=5)
    gitdata("rm", "-f", "data", "new", "x/one")
    assert not (data.path / "data").exists()
    assert not (data.path / "new").exists()


def test_what_is_no_data_of_the_folder_stays(data: Repo, gitdata: Program) -> None:
    data.write(".dvcignore", "*.log\n")
    data.write("data/deep/x.log", "log")
    gitdata("rm", "data")
    assert (data.path / "data/deep/x.log").read_text() == "log"
    assert not (data.path / "data/a").exists()


def test_a_call_that_was_killed_is_finished_by_the_same_call(data: Repo, gitdata: Program) -> None:
    root = data.path
    steps = [lambda: shutil.rmtree(root / "data"), (root / "data.dvc").unlink, (root / ".gitignore").unlink]
    for count in range(1, len(steps) + 1):
        for step in steps[:count]:
            step()
        gitdata("rm", "data")
        assert data.git("status", "--porcelain").splitlines() == ["D  .gitignore", "D  data.dvc"]
        data.git("reset", "-q", "--hard")
        gitdata("checkout", "--force")
        assert (root / "data/a").exists()


def test_data_that_is_not_here_and_what_gitdata_cannot_move(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    clone = data.clone(tmp_path / "clone")
    clone.git("config", "core.hooksPath", "/dev/null")
    gitdata("push", "-q", code=7)
    gitdata("rm", "data/deep", cwd=clone.path)
    assert "nfiles: 1" in (clone.path / "data.dvc").read_text()
    clone.write("old.dvc", "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  path: old\n")
    clone.commit("DVC 2")
    clone.write("old", "")
    assert "DVC 2" in gitdata("rm", "old", code=4, cwd=clone.path).stderr
    gitdata("rm", "--cached", "old", cwd=clone.path)
    assert (clone.path / "old").exists()


def test_several_outs_of_one_pointer(data: Repo, gitdata: Program, dvc: Program) -> None:
    text = (
        (data.path / "data.dvc").read_text()
        + "- path: x/one\n"
        + (data.path / "x/one.dvc")
        .read_text()
        .split("outs:\n- ")[1]
        .replace("  path: one\n", "")
        .replace("md5:", "  md5:", 1)
    )
    data.write("both.dvc", "# kept\n" + text)
    data.git("rm", "-q", "--cached", "data.dvc", "x/one.dvc")
    (data.path / "data.dvc").unlink()
    (data.path / "x/one.dvc").unlink()
    data.commit("both")
    gitdata("rm", "data")
    assert "path: data" not in (data.path / "both.dvc").read_text()
    assert "# kept" in (data.path / "both.dvc").read_text()
    assert json.loads(dvc("status", "--json").stdout) == {}
