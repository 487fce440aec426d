"""One bad pointer is a problem by its name, and all others are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.data.pointers import overlaps, read_pointers
from gitdata.errors import ConflictError, InvalidInputError
from gitdata.formats.dvc import Pointer, dump_pointer
from gitdata.model import Output

OID = "b026324c6904b2a9cb4b88d6d61c81d1"
BAD = {
    "conflict": b"<<<<<<< HEAD\nouts:\n=======\n>>>>>>> x\n",
    "version-aware": b"outs:\n- path: x\n  hash: md5\n  md5: %s\n  cloud:\n    up: {etag: 1}\n" % OID.encode(),
    "files": b"outs:\n- path: x\n  hash: md5\n  files: []\n",
    "absolute": b"outs:\n- path: /etc/passwd\n  hash: md5\n  md5: %s\n" % OID.encode(),
    "outside": b"outs:\n- path: ../x\n  hash: md5\n  md5: %s\n" % OID.encode(),
    "unknown key": b"outs: []\nnonsense: 1\n",
    "no mapping": b"[]\n",
    "bytes": b"\xff\xfe\x00",
}


def good(path: str) -> bytes:
    return dump_pointer(Output(path, OID, 2))


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_pointer_is_named_and_the_others_are_read(kind: str) -> None:
    read = read_pointers({"a.dvc": good("a"), "bad.dvc": BAD[kind], "z.dvc": good("z")})
    assert list(read.found) == ["a.dvc", "z.dvc"]
    assert list(read.problems) == ["bad.dvc"]
    assert "bad.dvc" in read.problems["bad.dvc"].message


def test_in_a_merge_conflict_the_text_counts_for_nothing() -> None:
    read = read_pointers({"a.dvc": good("a"), "b.dvc": good("b")}, ["b.dvc"])
    assert list(read.found) == ["a.dvc"]
    assert isinstance(read.problems["b.dvc"], ConflictError)
    assert "merge conflict" in read.problems["b.dvc"].message


@pytest.mark.parametrize(("one", "other"), [("x", "x"), ("x", "x/y"), ("x/y/z", "x")])
def test_pointers_whose_outputs_meet_are_both_problems(one: str, other: str) -> None:
    pointers = {"1.dvc": Pointer((Output(one, OID),)), "2.dvc": Pointer((Output(other, OID),))}
    assert {name for name, _ in overlaps(pointers)} == {"1.dvc", "2.dvc"}
    assert not list(overlaps({"1.dvc": Pointer((Output("x", OID),)), "2.dvc": Pointer((Output("xy", OID),))}))


@given(st.sets(st.sampled_from(sorted(BAD))), st.sets(st.sampled_from("abcdefgh")))
def test_no_number_of_bad_pointers_hides_a_good_one(bad: set[str], names: set[str]) -> None:
    texts = {f"{name}.dvc": good(name) for name in names} | {f"{name}.dvc": BAD[name] for name in bad}
    read = read_pointers(texts)
    assert set(read.found) == {f"{name}.dvc" for name in names}
    assert all(isinstance(error, InvalidInputError) for error in read.problems.values())
