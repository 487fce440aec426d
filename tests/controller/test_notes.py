"""Notes: a grow-only set of lines, whatever shape git gave the tree, however many write at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.controller.notes import NOTES_REF, add_notes, read_notes
from helpers.machine import Repo

IDENT = "gitdata <gitdata@noreply.invalid> 1700000000 +0000"
A, B = "aa" * 20, "bb" * 20


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return Git(Repo.create(tmp_path / "bare.git", bare=True).path, sealed=True)


def test_lines_are_added_as_a_sorted_set(git: Git) -> None:
    first = add_notes(git, None, {A: [b'{"b":1}\n', b'{"a":1}\n'], B: [b'{"c":1}\n']}, ident=IDENT)
    second = add_notes(git, first, {A: [b'{"aa":1}\n', b'{"b":1}\n']}, ident=IDENT)
    assert read_notes(git, second, [A, B, "cc" * 20]) == {A: b'{"a":1}\n{"aa":1}\n{"b":1}\n', B: b'{"c":1}\n'}
    assert second is not None
    assert git.commit(second).parents == (first,)
    assert git.refs() == {}, "a private ref was left behind"


def test_nothing_new_is_the_same_commit(git: Git) -> None:
    tip = add_notes(git, None, {A: [b'{"a":1}\n']}, ident=IDENT)
    assert add_notes(git, tip, {A: [b'{"a":1}\n']}, ident=IDENT) == tip
    assert add_notes(git, tip, {}, ident=IDENT) == tip
    assert add_notes(git, None, {}, ident=IDENT) is None


def test_the_same_arguments_give_the_same_sha(git: Git, tmp_path: Path) -> None:
    other = Git(Repo.create(tmp_path / "other.git", bare=True).path, sealed=True)
    lines = {A: [b'{"a":1}\n', b'{"b":1}\n'], B: [b"x\n"]}
    shuffled = {B: [b"x\n"], A: [b'{"b":1}\n', b'{"a":1}\n', b'{"a":1}\n']}
    assert add_notes(git, None, lines, ident=IDENT) == add_notes(other, None, shuffled, ident=IDENT)


@pytest.mark.parametrize("shape", [A, f"{A[:2]}/{A[2:]}", f"{A[:2]}/{A[2:4]}/{A[4:]}"])
def test_every_fan_out_is_found_and_kept(git: Git, shape: str) -> None:
    tree = git.change_tree(None, {shape: ("100644", git.write_blob(b"old\n"))})
    base = git.write_commit(tree, [], "notes\n", author=IDENT, committer=IDENT)
    tip = add_notes(git, base, {A: [b"new\n"]}, ident=IDENT)
    assert tip is not None
    assert [e.path for e in git.ls_tree(tip)] == [shape]
    assert read_notes(git, tip, [A])[A] == b"new\nold\n"
    git.update_ref(NOTES_REF, tip)
    assert git.text("notes", "--ref", NOTES_REF, "show", A) == "new\nold", "stock git reads it"


def test_a_commit_noted_under_two_shapes_becomes_one(git: Git) -> None:
    one, two = git.write_blob(b"one\n"), git.write_blob(b"two\n")
    tree = git.change_tree(None, {A: ("100644", one), f"{A[:2]}/{A[2:]}": ("100644", two)})
    base = git.write_commit(tree, [], "notes\n", author=IDENT, committer=IDENT)
    assert read_notes(git, base, [A])[A] == b"one\ntwo\n"
    tip = add_notes(git, base, {A: [b"three\n"]}, ident=IDENT)
    assert tip is not None
    assert len(git.ls_tree(tip)) == 1
    assert read_notes(git, tip, [A])[A] == b"one\nthree\ntwo\n"


def test_stock_git_and_we_write_in_turns(repo: Repo) -> None:
    """git changes the fan-out as notes grow; both find each other's notes, and nothing is lost."""
    git = Git(repo.path)
    names = [f"{n:02x}" * 20 for n in range(200)]
    git.run("notes", "--ref", NOTES_REF, "add", "-m", "git's", repo.head())
    tip = add_notes(git, git.resolve(NOTES_REF), {n: [b"ours\n"] for n in [*names, repo.head()]}, ident=IDENT)
    assert tip is not None
    git.update_ref(NOTES_REF, tip)
    git.run("notes", "--ref", NOTES_REF, "append", "-m", "git's too", names[0])
    tip = add_notes(git, git.resolve(NOTES_REF), {names[0]: [b"more\n"], names[1]: [b"more\n"]}, ident=IDENT)
    held = read_notes(git, tip, [*names, repo.head()])
    assert held[names[0]] == b"git's too\nmore\nours\n"
    assert held[names[1]] == b"more\nours\n"
    assert held[repo.head()] == b"git's\nours\n"
    assert len(held) == 201


def test_an_ident_cannot_inject_commands(git: Git) -> None:
    with pytest.raises(ValueError, match="ident"):
        add_notes(git, None, {A: [b"x\n"]}, ident=IDENT + "\nfrom refs/heads/main")


WRITER = """
import sys, random, time
from pathlib import Path
from gitdata.backends.git import Git
from gitdata.controller.notes import NOTES_REF, add_notes
clone, url, who = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
git = Git(clone, sealed=True)
for turn in range(3):
    while True:
        base = git.ls_remote(url, NOTES_REF).get(NOTES_REF)
        if base:
            git.fetch(url, f"+{NOTES_REF}:refs/fetched/notes")
        line = f'{{"writer":{who},"turn":{turn}}}\\n'.encode()
        tip = add_notes(git, base, {"aa" * 20: [line], who * 40: [line]},
                        ident="gitdata <gitdata@noreply.invalid> 1700000000 +0000")
        if git.push(url, {NOTES_REF: tip}).accepted:
            break
        time.sleep(random.uniform(0, 0.05))
"""


def test_eight_writers_lose_nothing(git: Git, tmp_path: Path) -> None:
    writers = []
    for who in range(8):
        clone = Repo.create(tmp_path / f"clone{who}.git", bare=True)
        command = [sys.executable, "-c", WRITER, str(clone.path), str(git.path), str(who)]
        writers.append(subprocess.Popen(command))
    assert [writer.wait(120) for writer in writers] == [0] * 8
    held = read_notes(git, git.resolve(NOTES_REF), [A, *(str(n) * 40 for n in range(8))])
    assert len(held[A].splitlines()) == 24
    assert all(len(held[str(n) * 40].splitlines()) == 3 for n in range(8))
    assert git.text("rev-list", "--count", NOTES_REF) == "24"
