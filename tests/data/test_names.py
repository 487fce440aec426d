"""Names of data: what is refused is named as a person can look for it, and what other systems take for one is said."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.data.materialize import write_listing
from gitdata.errors import ConflictError
from gitdata.formats.dvcdir import alike
from gitdata.model import Entry
from helpers.machine import Program, Repo

COMPOSED, DECOMPOSED = "n\u00e9.txt", "ne\u0301.txt"
EMPTY = "d41d8cd98f00b204e9800998ecf8427e"


@pytest.mark.parametrize(
    ("paths", "pairs"),
    [
        (["a", "b", "bc"], []),
        (["A.txt", "a.txt"], [("A.txt", "a.txt")]),
        (["sub/A", "sub/a", "Sub/a"], [("Sub/a", "sub/A"), ("Sub/a", "sub/a")]),
        ([COMPOSED, DECOMPOSED], [(DECOMPOSED, COMPOSED)]),
        (["STRASSE", "straße"], [("STRASSE", "straße")]),
        (["A", "a/b"], [("A", "a/b")]),
        (["A/x", "a/y"], []),
    ],
)
def test_names_that_are_one_elsewhere(paths: list[str], pairs: list[tuple[str, str]]) -> None:
    assert alike(paths) == pairs


@given(st.lists(st.text("aAbB/é\u0301e", min_size=1), unique=True))
def test_each_pair_is_of_two_of_the_paths(paths: list[str]) -> None:
    for first, second in alike(paths):
        assert first != second
        assert {first, second} <= set(paths)


@pytest.mark.parametrize("folder", [False, True], ids=["a name", "a folder's name"])
def test_a_name_that_is_not_utf8_is_refused_as_a_person_can_find_it(repo: Repo, gitdata: Program, folder: bool) -> None:
    gitdata("init", "--no-hooks")
    place = os.fsencode(repo.path / "scans")
    path = Path(os.fsdecode(place + (b"/x\xff\xfe/1" if folder else b"/sub/x\xff\xfe")))
    path.parent.mkdir(parents=True)
    path.write_text("1")
    done = gitdata("add", "scans", code=4)
    shown = "x\\xff\\xfe/1" if folder else "sub/x\\xff\\xfe"
    assert f"'scans/{shown}': its name is not valid UTF-8" in done.stderr
    assert "udcff" not in done.stderr
    [hint] = [line for line in done.stderr.splitlines() if line.startswith("hint: ")]
    command = hint.partition("such as: ")[2].replace("NEW-NAME", "found")
    subprocess.run(["bash", "-c", command], cwd=repo.path, check=True)
    assert (repo.path / "found").read_text() == "1", "the command of the hint finds the file"


def test_names_that_are_one_elsewhere_are_stored_and_said(repo: Repo, gitdata: Program, dvc: Program) -> None:
    gitdata("init", "--no-hooks")
    for name in ("A.txt", "a.txt", COMPOSED, DECOMPOSED):
        repo.write(f"data/{name}", f"content of {name}")
    if len(list((repo.path / "data").iterdir())) < 4:
        pytest.skip("filesystems: this one takes names that differ only in case for one")
    done = gitdata("add", "data")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("warning: ")]
    assert "'A.txt' and 'a.txt'" in line
    assert "1 more" in line
    repo.commit("data")
    (repo.path / "data").rename(repo.path / "was")
    gitdata("checkout")
    for file in (repo.path / "was").iterdir():
        assert (repo.path / "data" / file.name).read_text() == file.read_text()
    assert dvc("status", "-q").stdout == ""


def test_two_names_never_overwrite_each_other(tmp_path: Path) -> None:
    listing = (Entry("A/x", EMPTY), Entry("a/X", EMPTY), Entry("b", EMPTY))
    (tmp_path / "probe").write_text("")
    if (tmp_path / "PROBE").exists():
        with pytest.raises(ConflictError, match="'A/x' and 'a/X' are one name"):
            write_listing(listing, lambda oid: [], tmp_path / "new")
        assert not (tmp_path / "new").exists()
    else:
        write_listing(listing, lambda oid: [], tmp_path / "new")
        assert {path.relative_to(tmp_path / "new").as_posix() for path in (tmp_path / "new").rglob("*")} == {
            "A", "A/x", "a", "a/X", "b"
        }  # fmt: skip


def test_a_command_to_copy_is_quoted_for_the_shell(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    gitdata("init", "--remote", tmp_path / "remote", "--no-hooks")
    repo.write("my $data/1", "1")
    repo.git("add", "-f", "my $data/1")
    done = gitdata("add", "my $data", code=4)
    [hint] = [line for line in done.stderr.splitlines() if line.startswith("hint: ")]
    subprocess.run(["sh", "-c", hint.removeprefix("hint: ").partition(",")[0]], cwd=repo.path, check=True)
    gitdata("add", "my $data")
