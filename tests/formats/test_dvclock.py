"""The outputs of DVC's pipelines as a lock has them; stock DVC writes the locks and says what it keeps."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.formats.dvc import output_path
from gitdata.formats.dvclock import Locked, lock_pointer, read_lock
from helpers.machine import Program, Repo

PIPELINE = """\
vars:
- where: models
stages:
  one:
    cmd: mkdir -p ${where} && echo 1 > ${where}/m && echo 1 > m.json && echo 2 > n.json
    outs:
    - ${where}/m
    metrics:
    - m.json:
        cache: false
    - n.json
  each:
    foreach: [a, b]
    do:
      cmd: mkdir -p d-${item} && echo ${item} > d-${item}/x && echo ${item} > big-${item}
      outs:
      - d-${item}
      - big-${item}:
          push: false
  mx:
    matrix:
      p: [1, 2]
      q: [x]
    cmd: echo ${item.p} > r-${item.p}-${item.q}
    outs: ['r-${item.p}-${item.q}']
"""
BELOW = """\
stages:
  s:
    wdir: ..
    cmd: echo s > sub/out && echo t > top
    outs:
    - sub/out
    - top:
        remote: second
        persist: true
  t:
    cmd: echo t > t
    outs: [t]
"""
LOCK = b"""schema: '2.0'
stages:
  s:
    cmd: x
    outs:
    - path: made
      hash: md5
      md5: b026324c6904b2a9cb4b88d6d61c81d1
      size: 2
"""


def test_the_outputs_are_those_that_dvc_keeps(repo: Repo, dvc: Program) -> None:
    dvc("init", "-q")
    repo.write("dvc.yaml", PIPELINE)
    repo.write("sub/dvc.yaml", BELOW)
    dvc("repro", "-q")
    dvc("repro", "-q", "sub/dvc.yaml")
    found = {}
    for name in ("dvc.lock", "sub/dvc.lock"):
        lock = repo.path / name
        pointer, problems = lock_pointer(lock.read_bytes(), lock.with_name("dvc.yaml").read_bytes(), name)
        assert problems == ()
        for out, extra in zip(pointer.outs, pointer.extras, strict=True):
            found[output_path(name, pointer, out)] = (out, extra)
    kept = {p.parent.name + p.name for p in (repo.path / ".dvc/cache/files/md5").glob("*/*")}
    assert found.keys() == {
        "models/m", "n.json", "d-a", "d-b", "big-a", "big-b", "r-1-x", "r-2-x", "sub/out", "top", "sub/t",
    }  # fmt: skip
    assert {out.oid for out, _ in found.values()} <= kept
    assert (found["d-a"][0].size, found["d-a"][0].nfiles) == (2, 1)
    assert found["big-a"][1] == {"push": False}
    assert found["top"][1] == {"remote": "second"}


def test_what_was_taken_out_of_the_pipeline_is_no_output() -> None:
    assert [one.path for one in read_lock(LOCK, b"stages: {s: {cmd: x, outs: [made]}}", "").outs] == ["made"]
    assert read_lock(LOCK, b"stages: {s: {cmd: x, outs: [other]}}", "").outs == ()
    assert read_lock(LOCK, b"stages: {t: {cmd: x, outs: [made]}}", "").outs == ()
    assert read_lock(LOCK, None, "") == Locked()


def test_the_most_exact_name_says_what_is_kept() -> None:
    yaml = b"stages: {s: {cmd: x, outs: [{'${a}': {cache: false}}, made]}}"
    assert [one.path for one in read_lock(LOCK, yaml, "").outs] == ["made"]


def test_a_lock_of_dvc_2_is_known_as_such() -> None:
    old = LOCK.replace(b"      hash: md5\n", b"")
    pointer, problems = lock_pointer(old, b"stages: {s: {cmd: x, outs: [made]}}", "dvc.lock")
    assert pointer.legacy
    assert problems == ()


@pytest.mark.parametrize(
    ("lock", "yaml", "said"),
    [
        (b"<<<<<<< HEAD\n" + LOCK, b"stages: {}", "merge conflict in sub/dvc.lock"),
        (b"stages: [", b"stages: {}", "sub/dvc.lock"),
        (b"[]", b"stages: {}", "sub/dvc.lock: not a mapping"),
        (b"schema: '9'\nstages: {}", b"stages: {}", "schema"),
        (LOCK, b"stages: [", "sub/dvc.yaml"),
        (LOCK.replace(b"made", b"../../x"), b"stages: {s: {outs: [../../x]}}", ".."),
        (LOCK.replace(b"b026324c", b"xxxxxxxx"), b"stages: {s: {outs: [made]}}", "sub/made"),
        (LOCK, b"stages: {s: {wdir: '${x}', outs: [made]}}", "made of stage s"),
    ],
)
def test_what_cannot_be_read_is_named(lock: bytes, yaml: bytes, said: str) -> None:
    read = read_lock(lock, yaml, "sub")
    assert read.outs == ()
    assert said in read.problems[0]


def test_one_bad_output_leaves_the_others() -> None:
    lock = LOCK + b"    - path: bad\n      hash: md5\n      md5: 1\n"
    read = read_lock(lock, b"stages: {s: {cmd: x, outs: [made, bad]}}", "")
    assert [one.path for one in read.outs] == ["made"]
    assert "bad" in read.problems[0]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_no_bytes_break_the_reader(lock: bytes, yaml: bytes) -> None:
    read_lock(lock, yaml, "")
    read_lock(LOCK + lock, b"stages: {s: {outs: [made]}}" + yaml, "")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["s", "outs", "path", "md5", "hash", "stages", "schema", "foreach", "do", "matrix", "wdir"]),
        inner, max_size=4,
    ),
)  # fmt: skip


@given(_VALUES, _VALUES)
def test_no_shape_breaks_the_reader(lock: object, yaml: object) -> None:
    read_lock(json.dumps({"stages": {"s": lock}}).encode(), json.dumps({"stages": {"s": yaml}}).encode(), "")
    read_lock(json.dumps(lock).encode(), json.dumps(yaml).encode(), "")
