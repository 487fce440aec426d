"""What goes wrong for a user ends in one clear line, with an exit code of its kind, and nothing is lost."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from helpers.machine import Program, Repo
from helpers.s3 import S3


@pytest.fixture
def data(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """A repository with data on its remote and an ``origin``, all pushed."""
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    gitdata("init", "--remote", tmp_path / "remote")
    repo.write("data/a.txt", "alpha\n")
    gitdata("add", "data")
    repo.commit("data")
    repo.git("push", "-q", "-u", "origin", "main")
    return repo


def one_line(gitdata: Program, *words: str | Path, code: int, says: str, env: Mapping[str, str] | None = None) -> None:
    """The command fails with ``code`` and one line that says ``says``, at most followed by one of what to do next."""
    done = gitdata(*words, code=code, env=env)
    first, *rest = done.stderr.splitlines()
    assert first.startswith("gitdata: ")
    assert says in first
    assert [line.split(":")[0] for line in rest] in ([], ["hint"])
    assert done.stdout == ""


def use_remote(repo: Repo, url: str, **options: str) -> None:
    """Another data remote, and data that is not there yet."""
    lines = ["[core]", "    remote = other", "['remote \"other\"']", f"    url = {url}"]
    lines += [f"    {key} = {value}" for key, value in options.items()]
    repo.write(".dvc/config", "\n".join(lines) + "\n")


def test_a_path_that_does_not_exist(data: Repo, gitdata: Program) -> None:
    one_line(gitdata, "add", "imagse", code=6, says="imagse")


def test_a_broken_spec(data: Repo, gitdata: Program) -> None:
    data.write("stages/copy.json", '{"pipeline": {"name": "copy"}, "transfrom": {}}')
    done = gitdata("stage", "validate", code=4)
    assert "stages/copy.json: $.transfrom" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_no_remote(repo: Repo, gitdata: Program) -> None:
    gitdata("init")
    repo.write("data/a.txt", "alpha\n")
    gitdata("add", "data")
    repo.commit("data")
    one_line(gitdata, "push", code=4, says="no data remote is set")


def test_a_remote_that_nobody_answers(data: Repo, gitdata: Program, s3: S3) -> None:
    use_remote(data, f"s3://{s3.bucket()}/x", endpointurl="http://127.0.0.1:9")
    one_line(gitdata, "push", code=7, says="127.0.0.1:9")


def test_wrong_credentials(data: Repo, gitdata: Program, s3: S3) -> None:
    use_remote(data, f"s3://{s3.bucket()}/x")
    one_line(gitdata, "push", code=7, says="s3://", env={"AWS_SECRET_ACCESS_KEY": "wrong"})


def test_no_such_bucket(data: Repo, gitdata: Program, s3: S3) -> None:
    use_remote(data, "s3://nowhere/x")
    one_line(gitdata, "push", code=7, says="nowhere")


def test_a_deleted_cache_and_a_deleted_remote(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    shutil.rmtree(data.path / ".dvc" / "cache")
    shutil.rmtree(data.path / "data")
    shutil.rmtree(tmp_path / "remote")
    (tmp_path / "remote").mkdir()
    one_line(gitdata, "checkout", code=6, says="data")


def test_a_damaged_object_on_the_remote(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    shutil.rmtree(data.path / ".dvc" / "cache")
    shutil.rmtree(data.path / "data")
    for stored in (tmp_path / "remote" / "files").rglob("*"):
        if stored.is_file() and stored.read_bytes() == b"alpha\n":
            stored.chmod(0o644)
            stored.write_bytes(b"ALPHA\n")
    done = gitdata("pull", check=False)
    assert done.returncode in (4, 6, 7)
    assert "Traceback" not in done.stderr
    assert not (data.path / "data" / "a.txt").exists(), "nothing damaged arrives"


def test_a_hostile_pointer(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    data.write("evil.dvc", "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e.dir\n  hash: md5\n  path: ../evil\n")
    one_line(gitdata, "checkout", code=4, says="evil.dvc")
    assert not (tmp_path / "evil").exists()


def test_a_pointer_that_is_no_yaml(data: Repo, gitdata: Program) -> None:
    data.write("data.dvc", "<<<<<<< HEAD\nouts:\n=======\n")
    assert "data.dvc" in gitdata("status", code=4).stdout


def test_a_branch_that_diverged(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    other = data.clone(tmp_path / "other")
    other.git("remote", "set-url", "origin", str(tmp_path / "origin.git"))
    other.write("theirs", "1")
    other.commit("theirs")
    other.git("push", "-q", "origin", "main")
    data.write("ours", "1")
    data.commit("ours")
    done = gitdata("push", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert "pull" in done.stderr, "says what to do"


def test_a_lock_that_somebody_holds(data: Repo, gitdata: Program) -> None:
    lock = data.path / ".dvc" / "tmp" / "lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        data.write("data/b.txt", "beta\n")
        one_line(gitdata, "add", "data", code=8, says="lock")


def test_a_full_disk(data: Repo, gitdata: Program) -> None:
    """A cache on a file system of 256 KiB, in namespaces of the test's own."""
    data.write("big.bin", b"x" * 1_000_000)
    cache = data.path / ".dvc" / "cache"
    script = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec gitdata add big.bin'
    inside = Program("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, cwd=data.path)
    done = inside(cache, code=10)
    assert done.stderr.splitlines()[0].endswith("the disk is full; nothing was lost")
    assert not (data.path / "big.bin.dvc").exists()
    assert (data.path / "big.bin").stat().st_size == 1_000_000


def test_a_full_remote(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    """It is the remote's disk that is named, not the cache's."""
    data.write("big.bin", b"x" * 1_000_000)
    gitdata("add", "big.bin")
    data.commit("big")
    script = 'mount -t tmpfs -o size=256k tmpfs "$0" && exec gitdata push'
    inside = Program("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, cwd=data.path)
    done = inside(tmp_path / "remote", code=10)
    said = next(line for line in done.stderr.splitlines() if line.startswith("gitdata: "))
    assert said.startswith(f"gitdata: {tmp_path / 'remote'}")
    assert said.endswith("the disk is full; nothing was lost")


def test_a_run_on_no_cores(data: Repo, gitdata: Program) -> None:
    one_line(gitdata, "run", "--jobs", "-3", code=2, says="--jobs must be at least 1")


def test_settings_of_the_controller_that_do_not_exist(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[controller]\npol_seconds = 3\n")
    words = ("controller", "--once", "--repo", tmp_path / "origin.git", "--remote", tmp_path / "remote")
    one_line(gitdata, *words, "--config", tmp_path / "c.toml", code=4, says="pol_seconds")
