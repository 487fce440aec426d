"""`gitdata mv`: data, pointer, .gitignore, base and index move together, with stock DVC as the referee."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from helpers.machine import Program, Repo


@pytest.fixture
def data(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """A repository with a data folder and a single executable file, committed and pushed."""
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    gitdata("init", "--remote", tmp_path / "remote")
    repo.write("data/a", "1")
    repo.write("data/deep/b", "2")
    repo.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    gitdata("add", "data", "run.sh")
    repo.commit("data")
    repo.git("push", "-q", "-u", "origin", "main")
    return repo


def clean(repo: Repo, gitdata: Program, dvc: Program) -> None:
    """Both tools call the data clean, git the rest; git never sees data."""
    assert "nothing changed" in gitdata("status").stdout or "not pushed yet" in gitdata("status").stdout
    assert json.loads(dvc("status", "--json").stdout) == {}
    repo.git("add", "-A")
    held = repo.git("ls-files", "-z").split("\0")
    assert not [name for name in held if not name.endswith((".dvc", "ignore", "config", ".md")) and name]


def test_whole_outputs(data: Repo, gitdata: Program, dvc: Program) -> None:
    assert gitdata("mv", "data", "a [b]/päd 1").stdout == "data -> a [b]/päd 1\n"
    gitdata("mv", "run.sh.dvc", "tools/")
    assert (data.path / "a [b]/päd 1/deep/b").read_text() == "2"
    assert (data.path / "tools/run.sh").stat().st_mode & 0o100
    assert not (data.path / "data").exists()
    assert not (data.path / "data.dvc").exists()
    assert not (data.path / ".gitignore").exists(), "as DVC does"
    renamed = data.git("-c", "core.quotePath=false", "diff", "--cached", "--name-status", "-M").splitlines()
    assert "R100\trun.sh.dvc\ttools/run.sh.dvc" in renamed
    assert json.loads((data.path / ".git/gitdata/base.json").read_text())["outputs"].keys() == {
        "a [b]/päd 1",
        "tools/run.sh",
    }
    clean(data, gitdata, dvc)
    data.commit("moved")
    data.git("checkout", "-q", "HEAD~1")
    assert (data.path / "data/a").read_text() == "1", "the data follows git"
    data.git("checkout", "-q", "main")
    assert (data.path / "a [b]/päd 1/a").read_text() == "1"
    clean(data, gitdata, dvc)


def test_inside_of_a_folder(data: Repo, gitdata: Program, dvc: Program) -> None:
    gitdata("mv", "data/a", "data/new/c")
    gitdata("mv", "data/deep", "data/new/")
    assert sorted(str(p.relative_to(data.path)) for p in (data.path / "data").rglob("*") if p.is_file()) == [
        "data/new/c",
        "data/new/deep/b",
    ]
    clean(data, gitdata, dvc)


def test_changed_data_stays_changed(data: Repo, gitdata: Program) -> None:
    data.write("data/a", "edited")
    gitdata("mv", "data", "other")
    assert (data.path / "other/a").read_text() == "edited"
    assert "other" in gitdata("status").stdout
    data.git("commit", "-qm", "the hook takes it along")
    assert "nothing changed" in gitdata("status").stdout or "not pushed" in gitdata("status").stdout


def test_data_that_is_not_here(data: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> None:
    clone = data.clone(tmp_path / "clone")
    clone.git("remote", "set-url", "origin", str(tmp_path / "origin.git"))
    assert "(its data is not here)" in gitdata("mv", "data", "far/away", cwd=clone.path).stdout
    gitdata("mv", "far/away/deep", "far/away/flat", cwd=clone.path)
    assert not (clone.path / "far/away").exists()
    clone.commit("moved")
    gitdata("push", "-q", cwd=clone.path)
    dvc("pull", "-q", cwd=clone.path)
    assert (clone.path / "far/away/flat/b").read_text() == "2"
    assert (clone.path / "far/away/a").read_text() == "1"


def test_what_is_refused_changes_nothing(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    data.write("taken/x", "1")
    data.write("kept", "1")
    data.git("add", "kept")
    data.git("commit", "-qm", "kept")
    before = data.git("status", "--porcelain"), sorted(map(str, data.path.rglob("[!.]*")))
    for words, code in {
        ("data", "run.sh"): 5,
        ("data", "kept"): 5,
        ("data", "data/x"): 4,
        ("data", "../x"): 4,
        ("data", "x.dvc/y.dvc"): 0,
        ("data", ".git/x"): 4,
        ("run.sh", "data/"): 5,
        ("data/a", "data/deep/b"): 5,
        ("data/a", "elsewhere"): 4,
        ("data/a", "run.sh"): 4,
        ("nowhere", "x"): 4,
        ("kept", "x"): 4,
        ("taken", "x"): 4,
        ("data", "run.sh", "x"): 2,
        ("data/none", "data/x"): 6,
    }.items():
        if code:
            done = gitdata("mv", *words, code=code)
            assert done.stderr.startswith("gitdata: ")
    assert (data.git("status", "--porcelain"), sorted(map(str, data.path.rglob("[!.]*")))) == before


def test_a_call_that_was_killed_is_finished_by_the_same_call(data: Repo, gitdata: Program, dvc: Program) -> None:
    """The states between two steps, in the order in which they are made."""
    root = data.path

    def begun() -> None:
        (root / "sub").mkdir()
        (root / "sub/.gitignore").write_text("/new\n")

    def pointer() -> None:
        (root / "sub/new.dvc").write_text((root / "data.dvc").read_text().replace("path: data", "path: new"))

    def moved() -> None:
        (root / "data").rename(root / "sub/new")

    def old_pointer() -> None:
        (root / "data.dvc").unlink()

    steps = [begun, pointer, moved, old_pointer]
    for count in range(1, len(steps) + 1):
        for step in steps[:count]:
            step()
        gitdata("mv", "data", "sub/new")
        assert (root / "sub/new/deep/b").read_text() == "2"
        clean(data, gitdata, dvc)
        assert "data.dvc" not in data.git("ls-files")
        data.git("reset", "-q", "--hard")
        shutil.rmtree(root / "sub")
        gitdata("checkout", "--force")


def test_pointers_of_other_shapes(data: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> None:
    """Several outs, wdir and comments stay; of an import the relative dependency follows, and its checksum is DVC's."""
    (tmp_path / "source").write_text("s")
    dvc("import-url", "-q", "../source", "imported")
    text = (data.path / "data.dvc").read_text() + (data.path / "run.sh.dvc").read_text().removeprefix("outs:\n")
    data.write("both.dvc", "# kept\nwdir: .\n" + text + "  desc: kept too\n")
    for name in ("data", "run.sh"):
        data.git("rm", "-q", "--cached", f"{name}.dvc")
        (data.path / f"{name}.dvc").unlink()
    data.git("add", "-A")
    data.git("commit", "-qm", "shapes")
    gitdata("mv", "data", "sub/data")
    gitdata("mv", "imported", "sub/deep/imported")
    shown = (data.path / "both.dvc").read_text()
    assert "# kept" in shown
    assert "desc: kept too" in shown
    assert "path: sub/data" in shown
    assert "path: ../../../source" in (data.path / "sub/deep/imported.dvc").read_text()
    clean(data, gitdata, dvc)


def test_stages_that_name_the_old_place_are_named(data: Repo, gitdata: Program) -> None:
    spec = {"pipeline": {"name": "copy"}, "transform": {"image": "x", "cmd": ["true"]}}
    data.write("stages/copy.json", json.dumps({**spec, "input": {"pfs": {"repo": "data", "glob": "/"}}}))
    done = gitdata("mv", "data", "other")
    assert done.stderr == "stage copy (stages/copy.json) names data: change the spec to name the new path\n"
