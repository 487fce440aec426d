"""A pushed setting does not make a clone write outside of itself; what this clone's person says does."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.machine import Program, Repo


@pytest.fixture
def mallory(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """A repository with data."""
    gitdata("init", "--remote", tmp_path / "store")
    repo.write("data/a", "a\n")
    gitdata("add", "data")
    repo.commit("data")
    return repo


def _sent(gitdata: Program, repo: Repo, tmp_path: Path) -> Repo:
    """What others clone: a bare repository with all that was committed, the data on the remote."""
    bare = Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", str(bare.path))
    gitdata("push", "-u", "origin", "main")
    return bare


def test_a_pushed_cache_outside_is_asked_about_once(
    mallory: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    bare = _sent(gitdata, mallory, tmp_path)
    dvc("config", "cache.dir", tmp_path / "victim" / "cache")
    mallory.commit("a cache for all")
    mallory.git("push", "--quiet", "--no-verify", "origin", "main")
    clone = bare.clone(tmp_path / "clone")
    for verb in (["checkout"], ["add", "new"], ["run"], ["pull"]):
        clone.write("new", "1\n")
        done = gitdata(*verb, cwd=clone.path, code=4)
        assert f"cache.dir in .dvc/config is {tmp_path}/victim/cache: outside of this repository" in done.stderr, verb
    assert not (tmp_path / "victim").exists()
    hint = done.stderr.partition("git config --add ")[2].splitlines()[0].split()
    clone.git("config", "--add", *hint)
    gitdata("checkout", "--remote", "storage", cwd=clone.path, check=False)
    gitdata("add", "new", cwd=clone.path)
    assert (tmp_path / "victim/cache/files/md5").is_dir()


@pytest.mark.parametrize("how", ["local", "global", "allowed"])
def test_a_cache_that_the_person_named_needs_no_question(
    mallory: Repo, gitdata: Program, dvc: Program, tmp_path: Path, how: str
) -> None:
    place = tmp_path / "big disk" / "cache"
    if how == "allowed":
        mallory.git("config", "gitdata.allowOutside", "true")
        dvc("config", "cache.dir", place)
    else:
        dvc("config", f"--{how}", "cache.dir", place)
    mallory.write("more", "1\n")
    gitdata("add", "more")
    assert (place / "files/md5").is_dir()


@pytest.mark.parametrize("name", [".dvc/cache", ".dvc/tmp"])
def test_a_pushed_link_in_the_place_of_a_folder_is_a_way_outside_too(
    mallory: Repo, gitdata: Program, tmp_path: Path, name: str
) -> None:
    bare = _sent(gitdata, mallory, tmp_path)
    (tmp_path / "victim").mkdir()
    clone = bare.clone(tmp_path / "clone")
    (clone.path / name).symlink_to(tmp_path / "victim")
    clone.git("add", "--force", name)
    clone.git("commit", "--quiet", "--no-verify", "-m", "link")
    other = Repo(clone.path).clone(tmp_path / "other")
    other.write("new", "1\n")
    done = gitdata("add", "new", cwd=other.path, code=4)
    assert f"{name} is a symlink that is committed" in done.stderr
    assert list((tmp_path / "victim").iterdir()) == []


def test_a_link_of_this_machine_is_its_persons_own(mallory: Repo, gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "big").mkdir()
    (mallory.path / ".dvc/cache").rename(tmp_path / "big" / "cache")
    (mallory.path / ".dvc/cache").symlink_to(tmp_path / "big" / "cache")
    mallory.write("more", "1\n")
    gitdata("add", "more")


def test_nothing_is_sent_to_a_folder_that_holds_other_things(
    mallory: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    _sent(gitdata, mallory, tmp_path)
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "authorized_keys").write_text("a key\n")
    dvc("remote", "modify", "storage", "url", victim)
    mallory.write("new", "1\n")
    gitdata("add", "new")
    mallory.commit("another remote, and new data")
    done = gitdata("push", "origin", "main", code=4)
    assert "which holds other things (authorized_keys)" in done.stderr
    assert [path.name for path in victim.iterdir()] == ["authorized_keys"]
    mallory.git("config", "--add", "gitdata.allowOutside", str(victim))
    gitdata("push", "origin", "main")
    assert (victim / "files/md5").is_dir()


@pytest.mark.parametrize("kind", ["none", "empty", "store", "beside"])
def test_a_folder_that_is_or_may_become_a_store_needs_no_question(
    mallory: Repo, gitdata: Program, tmp_path: Path, kind: str
) -> None:
    bare = Repo.create(tmp_path / "origin.git", bare=True)
    mallory.git("remote", "add", "origin", str(bare.path))
    mallory.git("config", "--unset-all", "gitdata.allowOutside", check=False)
    store = tmp_path / "store"
    if kind == "empty":
        store.mkdir()
    elif kind != "none":
        (store / "files" / "md5").mkdir(parents=True)
        if kind == "beside":
            (store / "README").write_text("our data\n")
    gitdata("push", "-u", "origin", "main")
    assert (store / "files/md5").is_dir()


def test_who_names_a_folder_has_answered(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "README").write_text("of the team\n")
    gitdata("init", "--remote", tmp_path / "shared")
    assert repo.git("config", "--get", "gitdata.allowOutside") == str(tmp_path / "shared")
    gitdata("init", "--remote", tmp_path / "shared")
    assert len(repo.git("config", "--get-all", "gitdata.allowOutside").splitlines()) == 1
