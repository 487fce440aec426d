"""Listings: DVC's bytes exactly, and nothing of a hostile one gets through."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.dvcdir import check_relpath, dir_oid, dump_dir, object_key, parse_dir
from gitdata.model import Entry

A, B = "a" * 32, "b" * 32

names = st.text(st.characters(exclude_characters="/\0\\:", exclude_categories=["Cs"]), min_size=1, max_size=8).filter(
    lambda name: name not in (".", "..") and name.strip(". ").casefold() not in ("git", "dvc")
)
paths = st.lists(names, min_size=1, max_size=3).map("/".join)


def body(*entries: Any) -> bytes:
    return json.dumps(list(entries)).encode()


def test_golden_bytes() -> None:
    entries = [Entry("sub/2", B), Entry("1.txt", A), Entry("é\u007f", A), Entry("😀", B), Entry("\uff5e", B)]
    data = dump_dir(entries)
    assert data == (
        b'[{"md5": "' + A.encode() + b'", "relpath": "1.txt"}, {"md5": "' + B.encode() + b'", "relpath": "sub/2"}, '
        b'{"md5": "' + A.encode() + b'", "relpath": "\\u00e9\\u007f"}, '
        b'{"md5": "' + B.encode() + b'", "relpath": "\\uff5e"}, '
        b'{"md5": "' + B.encode() + b'", "relpath": "\\ud83d\\ude00"}]'
    )
    assert dir_oid(data) == hashlib.md5(data).hexdigest() + ".dir"
    assert dump_dir([]) == b"[]"
    assert dir_oid(b"[]") == "d751713988987e9331980363e24189ce.dir"


@given(st.dictionaries(paths, st.text("0123456789abcdef", min_size=32, max_size=32), max_size=8))
def test_what_is_dumped_is_parsed(files: dict[str, str]) -> None:
    entries = tuple(Entry(path, oid) for path, oid in sorted(files.items()))
    try:
        data = dump_dir(entries)
    except InvalidInputError:
        assert (
            any("/" in path for path in files)
            or any(len(path.encode()) > 255 for path in files)
            or any(ord(c) in range(0x200C, 0x2070) or c == "\ufeff" for path in files for c in path)
        )
        return
    reference = sorted(({"md5": oid, "relpath": path} for path, oid in files.items()), key=lambda e: e["relpath"])
    assert data == json.dumps(reference, sort_keys=True).encode()
    assert parse_dir(data, "x.dir") == entries


@pytest.mark.parametrize(
    "path",
    [
        "", "/etc/passwd", "..", "../up", "a/../b", "a/..", ".", "./a", "a/./b", "a//b", "a/", "nul\0", "\ud800",
        ".git/config", "a/.git/hooks/pre-commit", ".GIT/config", ".Git", "a/.dvc/config", ".DVC", "git~1/config",
        ".git./x", ".git /x", ".g\u200cit/config", ".git\ufeff/x", ".git::$INDEX_ALLOCATION/config",
        "..\\up", "a\\..\\b", "a\\.git\\config", "x" * 256, "é" * 128, "/".join("a" * 101), "a/" * 1999 + "bcdef",
    ],
)  # fmt: skip
def test_hostile_paths_are_refused(path: str) -> None:
    with pytest.raises(InvalidInputError, match="refused path"):
        check_relpath(path)
    with pytest.raises(InvalidInputError):
        parse_dir(body({"md5": A, "relpath": path}), "evil.dir")
    with pytest.raises(InvalidInputError):
        dump_dir([Entry(path, A)])


@pytest.mark.parametrize(
    "path",
    ["a", "..a", "a..",
     "...", "-dash", ".hidden", ".gitignore", ".gitattributes", ".github/x", "a b", "tab\t",
     "new\nline", "back\\slash", "x.dvc", "é", "e\u0301", "x" * 255, "/".join("a" * 100), "git", "dvc", "~", "con"],
)  # fmt: skip
def test_ordinary_paths_pass(path: str) -> None:
    check_relpath(path)
    assert [entry.path for entry in parse_dir(dump_dir([Entry(path, A)]), "x.dir")] == [path]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[",
        b"null",
        b"\xff",
        b'[{"md5": "' + A.encode() + b'", "relpath": "a"}]\n',
        b'[{"md5":"' + A.encode() + b'","relpath":"a"}]',
        '[{"md5": "%s", "relpath": "é"}]'.replace("%s", A).encode(),
        body({"relpath": "a", "md5": A}),
        body({"md5": A, "relpath": "b"}, {"md5": A, "relpath": "a"}),
        body({"md5": A, "relpath": "a"}, {"md5": B, "relpath": "a"}),
        body({"md5": A, "relpath": "a"}, {"md5": A, "relpath": "a-b"}, {"md5": B, "relpath": "a/b"}),
        body({"md5": A, "relpath": "a", "size": 3}),
        body({"md5": A}),
        body({"md5": A + ".dir", "relpath": "a"}),
        body({"md5": A.upper(), "relpath": "a"}),
        body({"md5": "../../../etc/passwd", "relpath": "a"}),
        body({"md5": 1, "relpath": "a"}),
        body({"md5": A, "relpath": ["a"]}),
        body("a"),
        b"[" * 100_000,
        b"[" + b"1" * 5000 + b"]",
    ],
)
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"evil\.dir"):
        parse_dir(data, "evil.dir")


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    try:
        parse_dir(data, "x.dir")
    except InvalidInputError:
        return
    assert json.loads(data) is not None


def test_object_keys() -> None:
    assert object_key("ab" + "c" * 30) == "files/md5/ab/" + "c" * 30
    assert object_key("ab" + "c" * 30 + ".dir") == "files/md5/ab/" + "c" * 30 + ".dir"
    for bad in ("", "a" * 31, "A" * 32, "../../" + "a" * 26, "a" * 32 + ".dirx", "a" * 32 + "\n"):
        with pytest.raises(InvalidInputError):
            object_key(bad)
