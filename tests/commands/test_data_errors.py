"""What goes wrong ends in one clear line and an exit code of its own."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from pathlib import Path

import pytest

from helpers.machine import Program, Repo
from helpers.s3 import S3


def line(done: object) -> str:
    text = getattr(done, "stderr", "")
    assert "Traceback" not in text
    lines = [row for row in text.splitlines() if row.startswith("gitdata:")]
    assert len(lines) == 1, text
    return lines[0]


def test_not_a_repository(gitdata: Program, tmp_path: Path) -> None:
    for verb in (["status"], ["init"], ["add", "x"], ["push"], ["log"]):
        line(gitdata(*verb, code=3))


def test_no_remote(repo: Repo, gitdata: Program) -> None:
    gitdata("init")
    repo.write("x", "x")
    gitdata("add", "x")
    repo.git("commit", "-qm", "x")
    assert "no data remote" in line(gitdata("push", code=4))


def test_a_deleted_cache_comes_back_or_is_named(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    shutil.rmtree(shared.path / ".dvc/cache")
    assert "not in the cache" in gitdata("status").stdout
    shutil.rmtree(shared.path / "images")
    gitdata("checkout")
    assert (shared.path / "images/a.jpg").read_text() == "a"
    shutil.rmtree(shared.path / ".dvc/cache")
    shutil.rmtree(shared.path / "images")
    shutil.rmtree(tmp_path / "store")
    assert "images" in line(gitdata("checkout", check=False))
    assert not (shared.path / "images").exists()


def test_a_bad_pointer(shared: Repo, gitdata: Program) -> None:
    shared.write("images.dvc", "outs:\n- md5: nonsense\n  path: ../../etc\n")
    assert "images.dvc" in gitdata("status", code=4).stdout
    assert "images.dvc" in line(gitdata("checkout", code=4))


def test_a_hostile_listing_writes_nothing(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    for path in ("../../escape", "/tmp/escape", "a/../../x", ".git/hooks/pre-commit"):
        body = f'[{{"md5": "{"0" * 32}", "relpath": "{path}"}}]'.encode()
        oid = hashlib.md5(body, usedforsecurity=False).hexdigest()
        place = tmp_path / "store/files/md5" / oid[:2] / (oid[2:] + ".dir")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(body)
        shared.write("evil.dvc", f"outs:\n- md5: {oid}.dir\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: evil\n")
        line(gitdata("checkout", "evil", code=4))
        line(gitdata("get", "evil", "-o", tmp_path / "got", code=4))
        assert not (shared.path / "evil").exists()
        assert not (tmp_path / "got").exists()


def test_a_pointer_of_git_lfs_is_no_data(data: Repo, gitdata: Program) -> None:
    data.write("images/deep/net.bin", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 5\n")
    assert "images/deep/net.bin: a Git LFS pointer" in line(gitdata("add", "images", code=4))
    assert not (data.path / "images.dvc").exists()


def test_a_full_disk(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    # A limit on file size stands for the disk: both end a write in the middle of an object.
    data.write("big", b"x" * 3_000_000)
    done = Program("sh", cwd=data.path)("-c", "ulimit -f 1000; exec gitdata add big", check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not list((data.path / ".dvc/cache").rglob("*.tmp"))
    assert not (data.path / "big.dvc").exists()
    gitdata("add", "big")


def test_wrong_credentials(repo: Repo, gitdata: Program, s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    gitdata("init", "--remote", f"s3://{bucket}/x")
    repo.write("x", "x")
    gitdata("add", "x")
    repo.git("commit", "-qm", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    line(gitdata("push", code=7))


def test_the_same_on_s3(repo: Repo, gitdata: Program, s3: S3, tmp_path: Path) -> None:
    bucket = s3.bucket()
    gitdata("init", "--remote", f"s3://{bucket}/x")
    repo.write("images/a.jpg", "a")
    gitdata("add", "images")
    repo.git("commit", "-qm", "x")
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("push", "-q", tmp_path / "origin.git", "main")
    shutil.rmtree(repo.path / "images")
    shutil.rmtree(repo.path / ".dvc/cache")
    gitdata("checkout")
    assert (repo.path / "images/a.jpg").read_text() == "a"


def test_a_locked_repository_is_said(data: Repo, gitdata: Program) -> None:
    (data.path / ".dvc/tmp").mkdir(exist_ok=True)
    with (data.path / ".dvc/tmp/lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "process" in line(gitdata("add", "images", code=8))


def test_a_dvcignore_that_came_with_the_data_is_looked_at_as_a_file(
    shared: Repo, gitdata: Program, tmp_path: Path
) -> None:
    body = f'[{{"md5": "{hashlib.md5(b"x").hexdigest()}", "relpath": ".dvcignore"}}]'.encode()
    oid = hashlib.md5(body, usedforsecurity=False).hexdigest()
    for name, data in ((hashlib.md5(b"x").hexdigest(), b"x"), (f"{oid}.dir", body)):
        place = tmp_path / "store/files/md5" / name[:2] / name[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    shared.write("old.dvc", f"outs:\n- md5: {oid}.dir\n  size: 1\n  nfiles: 1\n  hash: md5\n  path: old\n")
    shared.write(".gitignore", "/images\n/old\n")
    shared.commit("what a stage once wrote")
    gitdata("checkout")
    gitdata("status", "--exit-code")
    assert [one["state"] for one in gitdata.json("status")["outputs"]] == ["same", "same"]
    shared.write("images/.dvcignore", "x")
    assert "DVC refuses a .dvcignore" in gitdata("add", "images", code=4).stderr


def test_checkout_of_a_branch_names_git_switch(data: Repo, gitdata: Program) -> None:
    data.commit("first")
    assert "git switch main" in gitdata("checkout", "main", code=6).stderr
    assert "gitdata ls" in gitdata("checkout", "nowhere", code=6).stderr
