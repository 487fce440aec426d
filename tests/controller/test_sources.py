"""What a commit offers as inputs: pointers whose data the controller cannot have say why."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.controller.sources import Source, Tree
from gitdata.errors import GitdataError
from gitdata.formats.dvc import object_key
from helpers.machine import Repo

OID = "0cc175b9c0f1b6a831c399e269772661"  # of "a"
OUT = f"outs:\n- md5: {OID}\n  size: 1\n  hash: md5\n  path: data\n"
IMPORTED = f"frozen: true\ndeps:\n- path: data\n  repo:\n    url: https://other.example\n{OUT}"
ABSENT = "deps:\n- path: http://other.example/data\nouts:\n- path: data\n  hash: md5\n"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    (tmp_path / "remote").mkdir()
    return open_store(str(tmp_path / "remote"))


def source(repo: Repo, store: ObjectStore, pointer: str) -> Source:
    repo.write("in.dvc", pointer)
    return Tree(Git(repo.path), repo.commit("pointer")).source("data", store)


@pytest.mark.parametrize(
    ("pointer", "message", "hint"),
    [
        (OUT.replace("  hash: md5\n", ""), "in.dvc has hashes of DVC 2", "dvc cache migrate"),
        (ABSENT, "in.dvc names no data yet", "dvc update"),
        (f"{OUT}  remote: other\n", "in.dvc has its data on the remote 'other'", "take the line `remote` out"),
        (IMPORTED, "imported from another repository", "`dvc pull in.dvc` and `gitdata push`"),
    ],
)
def test_a_pointer_whose_data_is_not_there_says_where_it_is(
    repo: Repo, store: ObjectStore, pointer: str, message: str, hint: str
) -> None:
    with pytest.raises(GitdataError, match=message) as caught:
        source(repo, store, pointer)
    assert hint in caught.value.hint


@pytest.mark.parametrize("pointer", [f"{OUT}  remote: other\n", IMPORTED])
def test_what_is_kept_elsewhere_is_taken_from_here_too(repo: Repo, store: ObjectStore, pointer: str) -> None:
    store.write(object_key(OID), b"a")
    assert [entry.oid for entry in source(repo, store, pointer).listing] == [OID]
