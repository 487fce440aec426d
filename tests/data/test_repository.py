"""A repository on this machine: found, configured and locked as DVC finds, configures and locks it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitdata.data.repository import Repository, pointers_at
from gitdata.data.statindex import StatIndex
from gitdata.data.transfer import pull_objects, push_objects
from gitdata.data.tree import hash_path
from gitdata.errors import BusyError, InvalidInputError, NotARepositoryError
from gitdata.formats.dvc import dir_oid, dump_dir, dump_pointer, parse_pointer
from gitdata.model import Output
from helpers.machine import Program, Repo
from helpers.s3 import S3

OID = "5bb1e49fd0d53b6449c689626d5f40bf"


@pytest.fixture
def made(repo: Repo) -> Repo:
    """A repository with ``.dvc/``."""
    (repo.path / ".dvc").mkdir()
    (repo.path / ".dvc/config").write_text("")
    (repo.path / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    return repo


def pointer(path: str, oid: str = OID) -> str:
    return dump_pointer(Output(path, oid, 1)).decode()


# ------------------------------------------------------------------------------------------------------------- opening


def test_found_from_any_folder(made: Repo) -> None:
    (made.path / "a/b").mkdir(parents=True)
    found = Repository.open(made.path / "a/b")
    assert (found.root, found.git_dir, found.common_dir) == (made.path, made.path / ".git", made.path / ".git")
    assert found.cache.folder == made.path / ".dvc/cache"


def test_a_worktree_has_its_own_git_dir(made: Repo, tmp_path: Path) -> None:
    made.git("add", ".dvc")
    made.git("commit", "-qm", "init")
    made.git("worktree", "add", "-q", str(tmp_path / "tree"))
    found = Repository.open(tmp_path / "tree")
    assert found.root == tmp_path / "tree"
    assert found.git_dir == made.path / ".git/worktrees/tree"
    assert found.common_dir == made.path / ".git"


def test_no_repository(tmp_path: Path, repo: Repo) -> None:
    with pytest.raises(NotARepositoryError, match="no git working tree"):
        Repository.open(tmp_path)
    with pytest.raises(NotARepositoryError) as caught:
        Repository.open(repo.path)
    assert "gitdata init" in caught.value.hint
    assert Repository.find(repo.path).root == repo.path


def test_paths_inside(made: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    (made.path / "sub").mkdir()
    monkeypatch.chdir(made.path / "sub")
    found = Repository.open()
    assert found.relative(Path("x")) == "sub/x"
    assert found.relative(Path("../x/../y")) == "y"
    assert found.relative(made.path / "z") == "z"
    with pytest.raises(InvalidInputError, match="outside"):
        found.relative(Path("../../x"))


# ------------------------------------------------------------------------------------------------------- configuration


def test_precedence(made: Repo, home: Path) -> None:
    section = "['remote \"r\"']\n"
    (Path(os.environ["DVC_SYSTEM_CONFIG_DIR"]) / "config").write_text(section + "region = system\nurl = s3://system\n")
    (Path(os.environ["DVC_GLOBAL_CONFIG_DIR"]) / "config").write_text(section + "region = global\nprofile = global\n")
    (made.path / ".dvc/config").write_text(f"[core]\nremote = R\n{section}url = s3://repo/x\nprofile = repo\n")
    (made.path / ".dvc/config.local").write_text(section + "secret_access_key = local\n")
    config = Repository.open(made.path).remote_config()
    assert (config.name, config.url) == ("r", "s3://repo/x")
    assert config.options == {"region": "global", "profile": "repo", "secret_access_key": "local"}


def test_relative_paths_are_relative_to_their_file(made: Repo, tmp_path: Path) -> None:
    text = "[cache]\ndir = ../../cache\n['remote \"r\"']\nurl = ../../remote\n['remote \"h\"']\nurl = ~/remote\n"
    (made.path / ".dvc/config").write_text(text)
    made.git("config", "gitdata.allowOutside", "true")
    found = Repository.open(made.path)
    assert found.cache.folder == tmp_path / "cache"
    assert found.remote_config("r").url == str(tmp_path / "remote")
    assert found.remote_config("h").url == str(tmp_path / "home/remote")


def test_a_remote_below_another(made: Repo) -> None:
    text = "['remote \"a\"']\nurl = s3://b/x\nregion = r\n['remote \"c\"']\nurl = remote://a/y\n"
    (made.path / ".dvc/config").write_text(text)
    config = Repository.open(made.path).remote_config("c")
    assert (config.url, dict(config.options)) == ("s3://b/x/y", {"region": "r"})


def test_no_remote(made: Repo) -> None:
    with pytest.raises(InvalidInputError, match="no data remote is set"):
        Repository.open(made.path).remote()
    with pytest.raises(InvalidInputError, match="no data remote named 'x'"):
        Repository.open(made.path).remote("x")


def test_a_broken_configuration_is_named(made: Repo) -> None:
    (made.path / ".dvc/config").write_text("[core]\nnonsense\n")
    with pytest.raises(InvalidInputError, match=r"\.dvc/config:2"):
        Repository.open(made.path).remote()


# ------------------------------------------------------------------------------------------------------------ pointers


def test_pointers_of_the_work_tree_and_of_a_commit(made: Repo) -> None:
    made.write("a.dvc", pointer("a"))
    made.write("sub/b.dvc", pointer("b"))
    sha = made.commit("pointers")
    made.write("new.dvc", pointer("new"))
    made.write("ignored.dvc", pointer("ignored"))
    made.write(".gitignore", "/ignored.dvc\n")
    (made.path / "a.dvc").unlink()
    found = Repository.open(made.path)
    assert list(found.pointers().found) == ["new.dvc", "sub/b.dvc"]
    assert list(pointers_at(found.git, sha).found) == ["a.dvc", "sub/b.dvc"]


def test_a_symlink_is_no_pointer_of_a_commit(made: Repo) -> None:
    (made.path / "evil.dvc").symlink_to("/etc/passwd")
    assert pointers_at(Repository.open(made.path).git, made.commit("link")).found == {}


# ---------------------------------------------------------------------------------------------------------------- lock


def hold(path: Path) -> subprocess.Popen[str]:
    """Another process that holds DVC's lock."""
    code = "import fcntl,sys,time; f=open(sys.argv[1],'a'); fcntl.flock(f,2); print('held',flush=True); time.sleep(60)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder


def test_the_lock_excludes(made: Repo) -> None:
    found = Repository.open(made.path)
    with found.lock():
        file = made.path / ".dvc/tmp/lock"
        assert file.read_text() == f" {os.getpid()}\n"
        with file.open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with file.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert file.exists()


def test_a_held_lock_is_waited_for_and_reported(made: Repo) -> None:
    (made.path / ".dvc/tmp").mkdir()
    holder = hold(made.path / ".dvc/tmp/lock")
    assert holder.stdout is not None
    try:
        begin = time.monotonic()
        with pytest.raises(BusyError, match="another gitdata or DVC process"), Repository.open(made.path).lock():
            pass
        assert 2.5 < time.monotonic() - begin < 20
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    with Repository.open(made.path).lock():
        pass  # a lock dies with its process


def test_claims_of_a_running_dvc_are_respected(made: Repo) -> None:
    (made.path / ".dvc/tmp").mkdir()
    claims = made.path / ".dvc/tmp/rwlock"
    living, dead = os.getppid(), 2**22 + 1
    claims.write_text(json.dumps({"write": {"/x/data": {"pid": living, "cmd": "dvc repro"}}}))
    with pytest.raises(BusyError, match="/x/data is in use by 'dvc repro'"), Repository.open(made.path).lock():
        pass
    for text in (
        json.dumps({"write": {"/x": {"pid": dead, "cmd": "x"}}}),
        "",
        "{",
        '{"write": {}}',
        "[]",
        '{"read": 3}',
    ):
        claims.write_text(text)
        with Repository.open(made.path).lock():
            pass


def test_another_kind_of_lock_is_refused(made: Repo) -> None:
    (made.path / ".dvc/config").write_text("[core]\nhardlink_lock = true\n")
    with pytest.raises(InvalidInputError, match="hardlink_lock"), Repository.open(made.path).lock():
        pass


# --------------------------------------------------------------------------------------------- stock DVC, the referee


def track(found: Repository, path: str) -> str:
    """The least that `gitdata add` does: cache, then pointer; the oid."""
    listing = hash_path(StatIndex(found.git_dir / "gitdata/stat.json", found.root), path)
    assert isinstance(listing, tuple)
    for entry in listing:
        found.cache.add_file(found.root / path / entry.path)
    data = dump_dir(listing)
    found.cache.add_bytes(data, directory=True)
    out = Output(path, dir_oid(data), sum(entry.size or 0 for entry in listing), len(listing))
    (found.root / f"{path}.dvc").write_bytes(dump_pointer(out))
    return out.oid


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_dvc_agrees_in_both_directions(
    repo: Repo, dvc: Program, tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    dvc("init", "-q")
    url = str(tmp_path / "remote")
    if kind == "s3":
        server: S3 = request.getfixturevalue("s3")
        url = f"s3://{server.bucket()}/x"
    dvc("remote", "add", "-q", "-d", "r", url)
    if kind == "s3":
        dvc("remote", "modify", "-q", "r", "endpointurl", server.endpoint)
    for name, text in (("ours/a", "1"), ("ours/sub/é", "2"), ("theirs/b", "3"), ("theirs/c", "4")):
        repo.write(name, text)
    found = Repository.open(repo.path)
    ours = track(found, "ours")
    (repo.path / ".gitignore").write_text("/ours\n")
    before = (repo.path / "ours.dvc").read_bytes()
    assert json.loads(dvc("status", "--json").stdout) == {}
    dvc("add", "-q", "ours", "theirs")
    assert (repo.path / "ours.dvc").read_bytes() == before

    # Ours up, theirs up; each brings the other's down into an empty cache.
    theirs = parse_pointer((repo.path / "theirs.dvc").read_bytes(), "theirs.dvc").outs[0].oid
    push_objects(found.remote(), found.cache, [ours])
    dvc("push", "-q", "theirs")
    for path in sorted((repo.path / ".dvc/cache").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    found = Repository.open(repo.path)
    assert pull_objects(found.remote(), found.cache, [theirs]).objects == 3
    dvc("pull", "-q", "ours")
    assert found.cache.listing(ours)
    assert json.loads(dvc("status", "--json").stdout) == {}
    assert json.loads(dvc("status", "-c", "--json").stdout) == {}
    assert "up to date" in dvc("push").stdout + dvc("push").stderr


@pytest.mark.slow
def test_dvc_waits_for_our_lock(repo: Repo, dvc: Program) -> None:
    dvc("init", "-q")
    repo.write("data/a", "1")
    with Repository.open(repo.path).lock():
        assert "Unable to acquire lock" in dvc("add", "data", code=1).stderr
