"""`cache.type`: the same promises whatever data in the workspace is made of; DVC is the referee."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from gitdata.data.cache import Cache
from gitdata.data.links import Links, read_types
from gitdata.errors import InvalidInputError
from helpers.machine import Program, Repo

TYPES = ("reflink", "hardlink", "symlink", "copy")


@pytest.fixture(params=TYPES)
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A type that works on this filesystem."""
    wanted = str(request.param)
    why = Links(Cache(tmp_path / "probe"), [wanted]).try_all(tmp_path)
    if why:
        pytest.skip(f"NOT TESTED, cache.type = {wanted}: not on this filesystem ({why[wanted]})")
    return wanted


def configured(repo: Repo, gitdata: Program, dvc: Program, types: str, remote: Path) -> None:
    gitdata("init", "--remote", remote, "--no-hooks")
    dvc("config", "cache.type", types)


def made_of(path: Path, cached: Path) -> str:
    """What a file is, as far as its `stat` says."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        assert os.fspath(path.readlink()) == os.fspath(cached)
        return "symlink"
    return "hardlink" if found.st_ino == cached.stat().st_ino else "copy"


def object_of(repo: Repo, gitdata: Program, path: str) -> Path:
    oid = gitdata.json("ls", "-r", path)["entries"][0]["oid"]
    return repo.path / ".dvc/cache/files/md5" / oid[:2] / oid[2:]


@pytest.mark.slow
def test_each_type_keeps_the_promises(repo: Repo, gitdata: Program, dvc: Program, kind: str, tmp_path: Path) -> None:
    expected = "copy" if kind == "reflink" else kind
    configured(repo, gitdata, dvc, kind, tmp_path / "remote")
    repo.write("data/1", "one")
    repo.write("data/sub/2", "two")
    repo.write("data/twin", "one")
    repo.write("data/empty", "")
    repo.write("file", "single")
    repo.write("run.sh", "echo").chmod(0o755)
    gitdata("add", "data", "file", "run.sh")
    repo.commit("data")
    cached = object_of(repo, gitdata, "data/1")
    assert made_of(repo.path / "data/1", cached) == expected, "adding leaves what DVC's would"
    assert made_of(repo.path / "file", object_of(repo, gitdata, "file")) == expected
    assert (repo.path / "run.sh").stat().st_mode & 0o777 == 0o755
    assert gitdata("status", "--exit-code").stdout.endswith("nothing changed\n")
    assert dvc("status", "-q").stdout == ""

    before = {path.name: path.read_text() for path in (repo.path / "data").rglob("*") if path.is_file()}
    shutil.rmtree(repo.path / "data")
    (repo.path / "file").unlink()
    (repo.path / "run.sh").unlink()
    gitdata("checkout")
    assert {path.name: path.read_text() for path in (repo.path / "data").rglob("*") if path.is_file()} == before
    for name in ("1", "twin"):
        assert made_of(repo.path / "data" / name, cached) == expected
    assert not (repo.path / "run.sh").is_symlink()
    made = (repo.path / "run.sh").stat()
    assert (made.st_nlink, made.st_mode & 0o100) == (1, 0o100)  # the others' rights are the umask's
    assert stat.S_IMODE(cached.stat().st_mode) == 0o444
    assert gitdata("status", "--exit-code").stdout.endswith("nothing changed\n")
    assert dvc("status", "-q").stdout == ""

    dvc("unprotect", "data")
    assert made_of(repo.path / "data/1", cached) == "copy"
    assert gitdata("status", "--exit-code").stdout.endswith("nothing changed\n")
    (repo.path / "data/1").write_text("edited")
    gitdata("add", "data")
    assert cached.read_text() == "one", "an edit never reaches the cache"
    assert dvc("status", "-q").stdout == ""
    repo.git("checkout", "HEAD", "--", "data.dvc")
    gitdata("checkout", "--force", "data")
    assert (repo.path / "data/1").read_text() == "one"


@pytest.mark.slow
@pytest.mark.parametrize("old", ["copy", "hardlink", "symlink"])
@pytest.mark.parametrize("new", ["copy", "hardlink", "symlink"])
def test_relink_makes_anew_what_is_of_another_type(
    repo: Repo, gitdata: Program, dvc: Program, old: str, new: str, tmp_path: Path
) -> None:
    configured(repo, gitdata, dvc, old, tmp_path / "remote")
    repo.write("data/1", "one")
    repo.write("data/2", "two")
    repo.write("file", "single")
    gitdata("add", "data", "file")
    dvc("config", "cache.type", new)
    (repo.path / "data/mine").write_text("not added")
    gitdata("checkout", "--relink", "data", code=5)
    assert made_of(repo.path / "data/1", object_of(repo, gitdata, "data/1")) == old, "what was edited stays as it is"
    (repo.path / "data/mine").unlink()
    said = gitdata("checkout", "--relink").stdout
    assert said == ("" if old == new else "data: made anew\nfile: made anew\n")
    for path in ("data/1", "data/2", "file"):
        assert made_of(repo.path / path, object_of(repo, gitdata, path)) == new
    assert gitdata("checkout", "--relink").stdout == ""
    assert gitdata("status", "--exit-code").stdout.endswith("nothing changed\n")
    assert dvc("checkout", "--relink").stdout != "1"
    assert made_of(repo.path / "data/1", object_of(repo, gitdata, "data/1")) == new, "DVC finds nothing to mend"


@pytest.mark.parametrize("writable", [True, False], ids=["after chmod", "as root"])
@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_an_edit_through_a_link_is_never_believed(
    repo: Repo, gitdata: Program, dvc: Program, link: str, writable: bool, tmp_path: Path
) -> None:
    """Somebody writes into the linked file itself: the object has other bytes, and is neither sent nor brought."""
    configured(repo, gitdata, dvc, link, tmp_path / "remote")
    repo.write("data/1", "one")
    gitdata("add", "data")
    repo.commit("one")
    gitdata("push", code=7)  # there is no git remote; the data is sent
    cached = object_of(repo, gitdata, "data/1")
    cached.chmod(0o644)
    with (repo.path / "data/1").open("a") as file:
        file.write(" more")
    if not writable:
        cached.chmod(0o444)
    assert "data: " in gitdata("status").stdout, "the edit is seen"
    done = gitdata("checkout", "--force", check=False)
    if done.returncode:
        assert "pull" in done.stderr
        gitdata("checkout", "--force")
    assert (repo.path / "data/1").read_text() == "one", "the remote's object took the place of the damaged one"
    assert cached.read_text() == "one"
    assert made_of(repo.path / "data/1", cached) == link


@pytest.mark.parametrize("link", ["hardlink", "symlink"])
def test_an_edit_through_a_link_is_added_as_what_it_is(
    repo: Repo, gitdata: Program, dvc: Program, link: str, tmp_path: Path
) -> None:
    configured(repo, gitdata, dvc, link, tmp_path / "remote")
    repo.write("data/1", "one")
    gitdata("add", "data")
    repo.commit("one")
    old = object_of(repo, gitdata, "data/1")
    old.chmod(0o644)
    with (repo.path / "data/1").open("a") as file:
        file.write(" more")
    old.chmod(0o444)
    gitdata("add", "data")
    repo.commit("two")
    new = object_of(repo, gitdata, "data/1")
    assert new != old
    assert new.read_text() == "one more"
    assert made_of(repo.path / "data/1", new) == link
    done = gitdata("push", check=False)
    assert done.returncode in (4, 6, 7)
    sent = tmp_path / "remote/files/md5" / old.parent.name / old.name
    assert not sent.exists(), "never the damaged object under the name of the old bytes"
    assert "Traceback" not in done.stderr


def test_a_type_that_does_not_work_is_said(repo: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> None:
    """A cache on another filesystem: /dev/shm and the test's folder are two."""
    if not Path("/dev/shm").is_dir() or Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("NOT TESTED, a cache on another filesystem: there is no second one")
    cache = Path("/dev/shm") / f"gitdata-test-{os.getpid()}"
    try:
        configured(repo, gitdata, dvc, "hardlink", tmp_path / "remote")
        dvc("config", "--local", "cache.dir", cache)
        repo.write("data/1", "one")
        gitdata("add", "data")
        shutil.rmtree(repo.path / "data")
        done = gitdata("checkout")
        assert (repo.path / "data/1").read_text() == "one"
        [said] = [line for line in done.stderr.splitlines() if "cache.type" in line]
        assert "copied" in said
        [line] = [line for line in gitdata("doctor", check=False).stdout.splitlines() if "cache.type" in line]
        assert line.startswith("hint")
        assert "no hardlink" in line
        before = (repo.path / "data/1").stat()
        gitdata("add", "data")
        assert gitdata("checkout", "--relink").stdout == "", "there is nothing to make anew"
        assert (repo.path / "data/1").stat().st_ino == before.st_ino
    finally:
        for path in sorted(cache.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        if cache.exists():
            cache.rmdir()


def test_what_dvc_does_not_know_is_refused() -> None:
    assert read_types(None) == ("reflink", "copy")
    assert read_types("hardlink, symlink") == ("hardlink", "symlink")
    with pytest.raises(InvalidInputError, match="'junction' is no type of link"):
        read_types("hardlink,junction")
