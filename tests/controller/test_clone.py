"""The controller's clone is a cache: whatever a kill, a disk or a hand did to it, the next turn works."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitdata.controller.clone import open_clone
from helpers.lab import Lab


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("copy", "cp /pfs/in/* /pfs/out/")
    lab.push("stages")
    lab.settle()
    lab.work.write("in/b", "two")
    lab.push("more")
    return lab


def clone_of(lab: Lab) -> Path:
    git, lock = open_clone(lab.root / "cache", str(lab.origin.path))
    lock.close()
    return git.path


def test_locks_of_a_git_that_was_killed_are_removed(lab: Lab) -> None:
    clone = clone_of(lab)
    for name in (
        "HEAD", "config", "packed-refs", "shallow", "index", "refs/seen/heads/main", "refs/seen/heads/new/branch",
        "refs/seen/notes/gitdata/provenance", "refs/gitdata/fetched/outbox", "objects/info/commit-graph",
    ):  # fmt: skip
        file = clone / f"{name}.lock"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("killed")
    journal = clone / "gitdata/deliveries/a.lock"
    journal.parent.mkdir(parents=True, exist_ok=True)
    journal.touch()
    lab.settle()
    assert lab.files("copy") == {"a": "one", "b": "two"}
    assert journal.exists()


def objects(clone: Path) -> list[Path]:
    return [path for path in (clone / "objects").rglob("*") if path.is_file()]


def emptied(clone: Path) -> None:
    for path in objects(clone):
        path.chmod(0o644)
        path.write_bytes(b"")


def cut(clone: Path) -> None:
    for path in objects(clone):
        path.chmod(0o644)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def without_objects(clone: Path) -> None:
    for path in objects(clone):
        path.unlink()


DAMAGE: dict[str, Callable[[Path], object]] = {
    "objects emptied": emptied,
    "objects cut": cut,
    "objects gone": without_objects,
    "HEAD empty": lambda clone: (clone / "HEAD").write_bytes(b""),
    "config garbage": lambda clone: (clone / "config").write_bytes(b"\0[["),
    "refs are a file": lambda clone: (shutil.rmtree(clone / "refs"), (clone / "refs").write_text("x")),
    "a ref empty": lambda clone: (clone / "refs/seen/heads/main").write_bytes(b""),
    "a ref to nothing": lambda clone: (clone / "refs/seen/heads/main").write_text("1" * 40 + "\n"),
    "packed-refs garbage": lambda clone: (clone / "packed-refs").write_bytes(b"\0\1\2 nonsense\n"),
    "only HEAD": lambda clone: [shutil.rmtree(path) for path in clone.iterdir() if path.is_dir()],
    "gone": shutil.rmtree,
    "a file": lambda clone: (shutil.rmtree(clone), clone.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_clone_is_made_anew(lab: Lab, damage: str) -> None:
    DAMAGE[damage](clone_of(lab))
    lab.settle()
    assert lab.files("copy") == {"a": "one", "b": "two"}


@pytest.mark.parametrize("damage", ["objects cut", "objects gone", "config garbage", "refs are a file"])
def test_a_clone_that_is_damaged_while_the_controller_runs_is_made_anew(lab: Lab, damage: str) -> None:
    with lab.controller() as controller:
        while controller.turn():
            pass
        lab.work.write("in/c", "three")
        lab.push("and more")
        DAMAGE[damage](controller.site.git.path)
        for _ in range(300):
            if not controller.turn() and "c" in lab.files("copy"):
                break
    assert lab.files("copy") == {"a": "one", "b": "two", "c": "three"}
