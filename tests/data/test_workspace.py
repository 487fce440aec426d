"""The workspace: its three sides, what it remembers, and that moving data keeps what is not git's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitdata.data.base import Base, mark_bringing
from gitdata.data.bring import bring, clear_gone
from gitdata.data.outgoing import outputs_at
from gitdata.data.repository import Repository
from gitdata.data.setup import add_remote, make_folder
from gitdata.data.track import add, stage, targets
from gitdata.data.workspace import Workspace
from gitdata.errors import GitdataError, RemoteError
from helpers.machine import Repo
from helpers.proxy import Fault, misbehaving
from helpers.s3 import S3


@pytest.fixture
def opened(repo: Repo, tmp_path: Path) -> Repository:
    made = Repository.find(repo.path)
    made.git.run("add", *make_folder(made))
    add_remote(made, "storage", str(tmp_path / "store"), {})
    return Repository.open(repo.path)


def track(opened: Repository, *paths: str) -> Workspace:
    space = Workspace(opened)
    known = space.staged()
    errors: list[GitdataError] = []
    stage(space, [add(space, path, known.get(path)) for path in targets(space, paths, known, errors)])
    assert not errors
    space.stats.save()
    return Workspace(opened)


def states(space: Workspace) -> dict[str, str]:
    return {seen.tracked.path: seen.state for seen in space.survey()}


def test_every_side_is_seen(opened: Repository, repo: Repo) -> None:
    repo.write("deep/images/a", "a")
    repo.write("model.pb", "m")
    space = track(opened, "deep/images", "model.pb")
    assert states(space) == {"deep/images": "same", "model.pb": "same"}
    repo.write("deep/images/b", "b")
    (repo.path / "model.pb").unlink()
    assert states(Workspace(opened)) == {"deep/images": "changed", "model.pb": "absent"}
    assert (repo.path / "deep/.gitignore").read_text() == "/images\n"


def test_without_its_memory_it_only_gets_careful(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    track(opened, "images")
    repo.write("images/b", "b")
    shutil.rmtree(opened.git_dir / "gitdata")
    assert states(Workspace(opened)) == {"images": "changed"}
    (repo.path / "images/b").unlink()
    assert states(Workspace(opened)) == {"images": "same"}


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"v":3,"outputs":{"images":"x"}}', b'{"v":1,"outputs":{"a":1}}'])
def test_a_damaged_base_is_none(opened: Repository, text: bytes) -> None:
    (opened.git_dir / "gitdata").mkdir()
    (opened.git_dir / "gitdata/base.json").write_bytes(text)
    assert Workspace(opened).base == {}


def test_what_another_process_recorded_meanwhile_is_not_undone(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    space = track(opened, "images")
    other = Workspace(opened)
    with other.lock():
        other.set_base("images", Base("0" * 32 + ".dir", partial=True))
    with space.lock():
        space.set_base("model", Base("1" * 32))
    assert Workspace(opened).base == {"images": Base("0" * 32 + ".dir", partial=True), "model": Base("1" * 32)}


def test_pointers_that_move_while_data_is_looked_at_are_looked_at_again(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    space = track(opened, "images")
    rows = space.pointer_rows()
    repo.write("images/a", "b")
    track(opened, "images")
    space.settle(["images"], rows)
    assert (space.folder / "pointers").read_bytes() != space.pointer_rows()
    space.follow(rows)
    assert (space.folder / "pointers").read_bytes() != space.pointer_rows()


def test_nothing_in_a_folder_of_dvcs_own_is_a_pointer(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    track(opened, "images")
    text = (repo.path / "images.dvc").read_text().replace("path: images", "path: other")
    repo.write(".dvc/other.dvc", text)
    repo.git("add", "-f", ".dvc/other.dvc")
    space = Workspace(opened)
    assert space.staged().keys() == space.written().keys() == {"images"}
    assert not space.problems
    tree = repo.git("write-tree")
    assert [one.path for one in outputs_at(opened.git, tree).outputs] == ["images"]


def test_the_pointer_in_the_working_tree_counts(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    track(opened, "images")
    staged = Workspace(opened).staged()["images"].out.oid
    pointer = repo.path / "images.dvc"
    pointer.write_text(pointer.read_text().replace(staged, "0" * 32 + ".dir"))
    (seen,) = Workspace(opened).survey()
    assert (seen.git, seen.written, seen.state) == (staged, "0" * 32 + ".dir", "stale")
    assert seen.unstaged


def test_two_pointers_to_one_path_are_a_problem_of_both_and_of_no_other(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    track(opened, "images")
    repo.write("other/a", "a")
    track(opened, "other")
    shutil.copy(repo.path / "images.dvc", repo.path / "again.dvc")
    space = Workspace(opened)
    assert [seen.tracked.path for seen in space.survey()] == ["images", "other"]  # the index has one of them
    assert space.problems.keys() == {"images.dvc", "again.dvc"}
    assert "images is an output of both" in space.problems["again.dvc"].message


def test_bringing_replaces_a_file_by_a_folder_and_back(opened: Repository, repo: Repo) -> None:
    repo.write("thing", "file")
    file = track(opened, "thing").staged()["thing"]
    (repo.path / "thing").unlink()
    repo.write("thing/inner", "folder")
    folder = track(opened, "thing").staged()["thing"]
    space = Workspace(opened)
    for tracked, place in ((file, "thing"), (folder, "thing/inner"), (file, "thing")):
        assert [one.done for one in bring(space, [tracked])] == ["written"]
        assert (repo.path / place).read_text() in ("file", "folder")
        assert (repo.path / place).is_file()


def test_bringing_leaves_ignored_files_alone(opened: Repository, repo: Repo) -> None:
    repo.write(".dvcignore", "*.log\n")
    repo.write("images/a", "a")
    first = track(opened, "images").staged()["images"]
    repo.write("images/b", "b")
    track(opened, "images")
    repo.write("images/mine.log", "log")
    assert [one.done for one in bring(Workspace(opened), [first])] == ["written"]
    assert sorted(p.name for p in (repo.path / "images").iterdir()) == ["a", "mine.log"]


def test_what_nobody_else_has_is_not_cleared_away(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    track(opened, "images")
    (repo.path / "images.dvc").unlink()
    space = Workspace(opened)
    shutil.rmtree(opened.cache.folder)
    assert [(one.done, one.problem) for one in clear_gone(space, {})] == [("kept", "untracked")]
    assert (repo.path / "images/a").exists()


def test_a_remote_that_does_not_answer_is_asked_once_and_not_for_each_output(
    opened: Repository, repo: Repo, s3: S3, tmp_path: Path
) -> None:
    for name in ("first", "here", "second"):
        repo.write(name, name)
    outs = track(opened, "first", "here", "second").staged()
    for name in outs:
        (repo.path / name).unlink()
    for name in ("first", "second"):
        opened.cache.path(outs[name].out.oid).unlink()
    with misbehaving(s3.endpoint) as proxy:
        proxy.rule = lambda request: Fault(status=400)
        config = f"['remote \"storage\"']\n    url = s3://bucket/x\n    endpointurl = {proxy.url}\n"
        repo.write(".dvc/config.local", config)
        done = {one.path: one for one in bring(Workspace(Repository.open(repo.path)), outs.values())}
        assert {path: one.done for path, one in done.items()} == {
            "first": "missing",
            "here": "written",
            "second": "missing",
        }
        assert isinstance(done["second"].error, RemoteError)
        asked = {request.path for request in proxy.seen}
    assert len(asked) == 1, "the second output waits for nobody"


def test_a_missing_object_changes_nothing(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    first = track(opened, "images").staged()["images"]
    repo.write("images/a", "b")
    repo.write("images/c", "c")
    track(opened, "images")
    for lost in opened.cache.folder.glob("files/md5/0c/*"):  # md5 of "a" begins with 0c
        lost.unlink()
    (one,) = bring(Workspace(opened), [first])
    assert one.done == "missing"
    assert (repo.path / "images/a").read_text() == "b"
    assert (repo.path / "images/c").exists()


def test_a_killed_checkout_goes_on_and_edits_are_kept(opened: Repository, repo: Repo) -> None:
    repo.write("images/a", "a")
    repo.write("images/gone", "g")
    first = track(opened, "images").staged()["images"]
    (repo.path / "images/gone").unlink()
    repo.write("images/b", "b")
    second = track(opened, "images").staged()["images"]
    bring(Workspace(opened), [first])
    # As a kill leaves it: b has been written, gone has not been removed.
    mark_bringing(opened.git_dir / "gitdata", "images", first.out.oid, second.out.oid)
    repo.write("images/b", "b")
    assert states(Workspace(opened)) == {"images": "conflict"}
    repo.write("images/mine", "m")
    assert [one.done for one in bring(Workspace(opened), [second])] == ["kept"]
    (repo.path / "images/mine").unlink()
    assert [one.done for one in bring(Workspace(opened), [second])] == ["written"]
    assert sorted(p.name for p in (repo.path / "images").iterdir()) == ["a", "b"]
    assert not (opened.git_dir / "gitdata/bringing.json").exists()
