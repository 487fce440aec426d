"""What a hostile or unlucky commit, store or disk gives the controller ends in a line, never in a loop or a death."""

from __future__ import annotations

import subprocess
import threading
import tracemalloc
from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.backends.images import export_tree
from gitdata.controller.clone import open_clone
from gitdata.controller.journal import abandoned
from gitdata.controller.loop import Controller
from gitdata.controller.published import generated_pointers
from gitdata.controller.recorded import read_index
from gitdata.controller.serve import serve
from gitdata.controller.site import Site
from gitdata.data.hashing import hash_bytes
from gitdata.errors import InvalidInputError
from gitdata.executors.local import LocalExecutor
from gitdata.formats.dvc import dump_pointer, object_key
from gitdata.formats.dvcdir import dir_oid, dump_dir
from gitdata.formats.index import dump_pack, dump_segment, object_name
from gitdata.formats.keys import index_key
from gitdata.formats.records import parse_record
from gitdata.identity import sha256
from gitdata.model import DatumResult, Entry, Environment, Output, Stage
from helpers.lab import Lab, faster
from helpers.machine import Program, Repo

COPY = "cp /pfs/in/* /pfs/out/"
KEY = "1" * 64


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("copy", COPY)
    return lab


@pytest.mark.parametrize("text", ["outs: 3\n", "outs:\n- {md5: x, path: ../../etc}\n", "\xff"])
def test_a_pointer_that_cannot_be_read_is_recorded_and_stops_nothing(lab: Lab, text: str) -> None:
    lab.push("good")
    lab.settle()
    lab.work.write("bad.dvc", text)
    bad = lab.push("bad")
    lab.settle()
    assert lab.output().source == bad
    (remark,) = lab.output().remarks
    assert remark.startswith("bad.dvc")
    assert lab.states() == {"copy": "success"}
    assert lab.files("copy") == {"a": "one"}
    (lab.work.path / "bad.dvc").unlink()
    lab.push("repaired")
    lab.settle()
    assert lab.states() == {"copy": "success"}


def test_a_size_that_no_json_can_hold_is_recorded_though_nobody_reads_the_data(lab: Lab) -> None:
    empty = "d41d8cd98f00b204e9800998ecf8427e"
    lab.work.write("big.dvc", f"outs:\n- md5: {empty}\n  size: 9007199254740993\n  hash: md5\n  path: big\n")
    lab.stage("none", COPY, {"pfs": {"repo": "big", "glob": "/zz*"}})
    bad = lab.push("big")
    lab.settle()
    assert lab.output().source == bad
    assert lab.states() == {"copy": "success", "none": "failed"}
    assert "size of 'big'" in lab.output().reasons["none"]


def test_a_request_of_a_time_that_no_json_can_hold_is_left_alone(lab: Lab) -> None:
    text = b'{"branch":"main","by":"me","kind":"retry","target":"x-1","time":9007199254740992,"v":1}'
    lab.origin.update_ref(f"refs/gitdata/requests/{sha256(text)}", lab.origin.write_blob(text))
    lab.push("stages")
    lab.settle()
    assert lab.states() == {"copy": "success"}


class Defective(LocalExecutor):
    """Has a defect that one stage meets."""

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        if stage.name == "odd":
            raise ZeroDivisionError("odd")
        return super().environment(git, commit, stage, known, asked)


def test_a_defect_that_one_branch_meets_does_not_keep_the_others(lab: Lab, tmp_path: Path) -> None:
    lab.push("good", branch="other")
    lab.stage("odd", COPY)
    lab.push("odd")
    git, lock = open_clone(tmp_path / "cache", str(lab.origin.path))
    executor = Defective(str(tmp_path / "data"), cache_home=tmp_path / "cache")
    site = Site(git=git, store=lab.store, executor=executor, origin=str(lab.origin.path))
    controller = Controller(site, faster(branches=("*",)), say=lab.log.append)
    with lock, pytest.raises(ZeroDivisionError):
        serve(controller, once=True, stop=threading.Event())
    executor.close()
    assert lab.states("other") == {"copy": "success"}
    assert lab.tip() is None
    assert sum("Traceback" in line and "ZeroDivisionError: odd" in line for line in lab.log) == 1


def test_meta_that_only_looks_like_ours_is_no_output(lab: Lab) -> None:
    lab.work.write(
        "x.dvc",
        "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e\n  size: 0\n  hash: md5\n  path: x\nmeta:\n  gitdata: 3\n",
    )
    lab.push("meta")
    lab.settle()
    assert lab.states() == {"copy": "success"}


def test_lost_outputs_of_a_stage_that_never_makes_the_same_twice_are_made_again(lab: Lab) -> None:
    lab.stage("copy", "head -c 8 /dev/urandom | od -An -tx1 > /pfs/out/random")
    lab.push("random")
    lab.settle()
    before = lab.files("copy")
    for file in lab.root.joinpath("data/files/md5").glob("*/*"):
        file.unlink()
    lab.work.write("README", "words")
    lab.push("readme")
    lab.settle()
    assert lab.files("copy").keys() == before.keys()
    assert lab.files("copy") != before


def test_a_damaged_listing_is_made_again(lab: Lab) -> None:
    lab.push("stages")
    lab.settle()
    oid = generated_pointers(lab.origin, lab.tip())["copy"].output.oid
    damaged = lab.root / "data/files/md5" / oid[:2] / oid[2:]
    damaged.chmod(0o644)
    damaged.write_text("[]")
    lab.work.write("README", "words")
    lab.push("readme")
    lab.settle()
    assert lab.files("copy") == {"a": "one"}


def test_a_datum_whose_input_is_missing_is_tried_again(lab: Lab) -> None:
    lab.work.write("in.dvc", "outs:\n- md5: 0cc175b9c0f1b6a831c399e269772661\n  size: 1\n  hash: md5\n  path: data\n")
    lab.stage("copy", "cp /pfs/data/* /pfs/out/", {"pfs": {"repo": "data", "glob": "/*"}})
    lab.push("no data")
    said = lab.settle()
    assert len(lab.started(said)) == 3
    assert lab.states() == {"copy": "failed"}


def test_a_folder_whose_listing_comes_later_is_seen_when_somebody_asks(lab: Lab, gitdata: Program) -> None:
    data = dump_dir((Entry("a", hash_bytes(b"one").md5, 3),))
    lab.work.write("data.dvc", dump_pointer(Output("data", dir_oid(data), 3, 1)))
    lab.stage("copy", "cp /pfs/data/* /pfs/out/", {"pfs": {"repo": "data", "glob": "/*"}})
    lab.push("no data")
    assert "push the data, then `gitdata job retry copy`" in "\n".join(lab.settle())
    assert lab.states() == {"copy": "failed"}
    lab.store.write(object_key(hash_bytes(b"one").md5), b"one")
    lab.store.write(object_key(dir_oid(data)), data)
    gitdata("init", "--remote", str(lab.root / "data"), cwd=lab.work.path)
    gitdata("job", "retry", "copy", cwd=lab.work.path)
    lab.settle()
    assert lab.files("copy") == {"a": "one"}


def test_what_a_pack_replaced_is_not_read(lab: Lab) -> None:
    store = lab.store
    segment = dump_segment(KEY, [DatumResult("2" * 64, job="j-1")])
    pack = dump_pack(KEY, [DatumResult("2" * 64, job="j-1")], [object_name(segment)])
    for data in (segment, pack):
        store.write(index_key("main", KEY, object_name(data)), data)
    assert list(read_index(store, ["main"], KEY, {})) == [object_name(pack)]
    assert len(read_index(store, ["main"], KEY, {}, replaced=True)) == 2


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"v":1,"kind":"started","attempt":1e999}', b"[]", b"\xff"])
def test_a_hostile_record_is_one_error(body: bytes) -> None:
    with pytest.raises(InvalidInputError, match="not a run record"):
        parse_record(body, "r")


def test_a_damaged_journal_claims_nothing_unsent(repo: Repo) -> None:
    folder = repo.path / ".git/gitdata/deliveries"
    folder.mkdir(parents=True)
    (folder / "n.jsonl").write_bytes(b'["claim","a"]\n\0\0\0\n["claim","b"]\n')
    [journal] = abandoned(Git(repo.path))
    assert not journal.unsent("a")


def bomb(repo: Repo, levels: int) -> str:
    """A commit of a few trees that hold each other: 10 to the power of ``levels`` files."""

    def tree(kind: str, sha: str) -> str:
        made = "".join(f"{kind} {sha}\tn{i}\n" for i in range(10))
        return Git(repo.path).text("mktree", input=made.encode())

    sha = tree("100644 blob", Git(repo.path).write_blob(b"x"))
    for _ in range(levels - 1):
        sha = tree("040000 tree", sha)
    who = "a <a@b> 1 +0000"
    return Git(repo.path).write_commit(sha, [repo.head()], "bomb", author=who, committer=who)


def huge(repo: Repo, path: str, mebibytes: int) -> None:
    """A file of zeros that is small in git and in no working tree."""
    with subprocess.Popen(["head", "-c", str(mebibytes << 20), "/dev/zero"], stdout=subprocess.PIPE) as zeros:
        sha = subprocess.check_output(["git", "hash-object", "-w", "--stdin"], stdin=zeros.stdout, cwd=repo.path)
    repo.git("update-index", "--add", "--cacheinfo", f"100644,{sha.decode().strip()},{path}")
    repo.git("commit", "--quiet", "-m", "huge")


def test_trees_without_an_end_stop_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.push("good")
    lab.settle()
    lab.work.git("push", "--quiet", "origin", f"{bomb(lab.work, 12)}:refs/heads/main")
    lab.settle()
    assert "list of files is longer" in lab.output().error
    lab.push("repaired", force=True)
    lab.settle()
    assert lab.states() == {"copy": "success"}


@pytest.mark.parametrize(("path", "mebibytes"), [("in/zeros", 130), ("zeros.dvc", 66)])
def test_a_huge_file_is_recorded_and_never_read(lab: Lab, path: str, mebibytes: int) -> None:
    lab.push("good")
    huge(lab.work, path, mebibytes)
    lab.work.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
    tracemalloc.start()
    lab.settle()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "MiB are read" in " ".join([lab.output().error, *lab.log])
    assert lab.output().source == lab.work.head()
    assert most < 60 << 20


def test_an_image_folder_too_big_to_build(repo: Repo, tmp_path: Path) -> None:
    repo.write("images/tool/Dockerfile", "FROM scratch\n")
    repo.commit("image")
    huge(repo, "images/tool/a", 120)
    git = Git(repo.path)
    sha = git.text("rev-parse", "HEAD:images/tool/a")
    tree = git.change_tree(git.text("rev-parse", "HEAD:images/tool"), dict.fromkeys("bcde", ("100644", sha)))
    with pytest.raises(InvalidInputError, match="has 6 files and 600 MiB"):
        export_tree(git, tree, "images/tool", tmp_path / "context")
