"""A pointer of any shape follows its data to another place, or loses one of its outs; the rest of its text is kept."""

from __future__ import annotations

from dataclasses import replace

from gitdata.formats.dvc import drop_out, dump_pointer, move_out, parse_pointer
from gitdata.model import Output

SEVERAL = b"""\
# all of them
md5: 00000000000000000000000000000000
frozen: true
deps:
- path: ../source
- path: s3://b/p
- path: x
  repo: {url: ../other}
outs:
- md5: b026324c6904b2a9cb4b88d6d61c81d1
  path: a  # the first
  hash: md5
- md5: 26ab0db90d72e28ad0ba1e22ee510510
  path: b
  desc: kept
  hash: md5
"""


def test_an_out_moves_and_all_else_is_kept() -> None:
    moved = move_out(SEVERAL, "x/y.dvc", "a", "c/d", "../..").decode()
    assert [out.path for out in parse_pointer(moved.encode(), "x/y.dvc").outs] == ["c/d", "b"]
    assert "path: c/d  # the first" in moved.replace("d #", "d  #")
    assert "- path: ../../../source" in moved
    assert "- path: s3://b/p" in moved
    assert "- path: x\n" in moved
    assert "desc: kept" in moved
    assert "md5: 0000" not in moved, "the checksum of an import is of its new text"


def test_an_out_is_dropped() -> None:
    left = drop_out(SEVERAL, "y.dvc", "a")
    assert left is not None
    assert [out.path for out in parse_pointer(left, "y.dvc").outs] == ["b"]
    assert drop_out(left, "y.dvc", "b") is None
    assert drop_out(left, "y.dvc", "a") == left, "it was dropped before"


def test_a_fresh_pointer_moves_as_dvc_would_write_it() -> None:
    out = Output("data", "b026324c6904b2a9cb4b88d6d61c81d1.dir", 2, 1)
    assert move_out(dump_pointer(out), "data.dvc", "data", "new") == dump_pointer(replace(out, path="new"))
    odd = move_out(dump_pointer(out), "data.dvc", "data", "y")
    assert odd == dump_pointer(replace(out, path="y"))
