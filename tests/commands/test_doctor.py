"""gitdata doctor on a machine and in a repository that are well, and in ones that are not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from helpers.machine import Program, Repo
from helpers.s3 import S3


def states(gitdata: Program, code: int = 0) -> dict[str, str]:
    return {one["name"]: one["state"] for one in gitdata.json("doctor", code=code)["checks"]}


def test_all_is_well(gitdata: Program, repo: Repo, tmp_path: Path) -> None:
    Repo.create(tmp_path / "origin", bare=True)
    repo.git("remote", "add", "origin", str(tmp_path / "origin"))
    gitdata("init", "--remote", tmp_path / "data")
    found = states(gitdata)
    needed = ("git", "cache folder", "repository", "hooks", "git remote", "data remote", "data remote, writing")
    assert [name for name in needed if found[name] != "ok"] == []
    assert (tmp_path / "data/files/md5/d4/1d8cd98f00b204e9800998ecf8427e").read_bytes() == b""
    text = gitdata("doctor").stdout
    assert "ok      hooks: 9 installed" in text


def test_what_is_missing_has_a_line_with_its_cure_and_a_code(gitdata: Program, repo: Repo, tmp_path: Path) -> None:
    gitdata("init", "--remote", tmp_path / "data")
    gitdata("hooks", "uninstall")
    done = gitdata("doctor", code=10)
    assert "missing hooks: pre-commit is absent" in done.stdout
    assert "(gitdata hooks install)" in done.stdout
    assert "hint    git remote: no git remote origin" in done.stdout


def test_a_remote_that_cannot_be_written_is_found(gitdata: Program, repo: Repo, tmp_path: Path) -> None:
    gitdata("init", "--remote", tmp_path / "data")
    (tmp_path / "data").write_text("a file where the folder should be")
    assert states(gitdata, code=7)["data remote, writing"] == "missing"


def test_a_bucket_that_is_not_there(gitdata: Program, repo: Repo, s3: S3) -> None:
    gitdata("init", "--remote", "s3://no-such-bucket/data")
    done = gitdata("doctor", code=7)
    assert "no such bucket" in done.stdout


def test_outside_of_a_repository_the_machine_is_looked_at(gitdata: Program, tmp_path: Path) -> None:
    found = states(gitdata)
    assert (found["git"], found["repository"]) == ("ok", "hint")
    assert "hooks" not in found


def test_a_sparse_checkout_that_leaves_gitdata_out_is_named(gitdata: Program, repo: Repo) -> None:
    gitdata("init")
    repo.commit("init")
    repo.git("sparse-checkout", "set", "stages")
    [line] = [line for line in gitdata("doctor", code=3).stdout.splitlines() if " repository: " in line]
    assert line.startswith("missing repository: ")
    assert line.endswith("(the checkout is sparse) (git sparse-checkout add .dvc)")
    repo.git("sparse-checkout", "disable")
    repo.write(".dvc/config", "").unlink()
    assert gitdata("status", code=3).stderr.endswith("hint: git checkout HEAD -- .dvc\n")


def test_this_machine_is_looked_at_without_the_client_of_a_cluster() -> None:
    """It costs half a second."""
    code = "import sys; from gitdata.cli import main; main(['doctor', '--help']); sys.exit('kubernetes' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
