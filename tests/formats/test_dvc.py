"""Pointers: the bytes of `dvc add`, everything DVC writes read back, nothing hostile believed."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import check_relpath, dump_pointer, output_path, parse_pointer, update_pointer
from gitdata.formats.dvcyaml import import_checksum
from gitdata.model import Output

OID = "5bb1e49fd0d53b6449c689626d5f40bf"

PLAIN = f"""\
outs:
- md5: {OID}.dir
  size: 14
  nfiles: 3
  hash: md5
  path: d
"""

IMPORT = """\
md5: e01554cbbd49c7dee7bfa7123c27d72d
frozen: true
deps:
- path: gitfile
  repo:
    url: ../r6src
    rev: v1
    rev_lock: 1522331b049845a492756a308131354a45577308
outs:
- md5: f5302386464f953ed581edac03556e55
  size: 2
  hash: md5
  path: gitfile
"""


def as_dvc_writes(out: Output, **more: Any) -> bytes:
    """The reference: ruamel.yaml with DVC's settings over DVC's own order of keys."""
    item: dict[str, Any] = {"md5": out.oid}
    item |= {k: v for k, v in (("size", out.size), ("nfiles", out.nfiles)) if v is not None}
    item |= {"isexec": True} if out.exec else {}
    item |= {"hash": "md5", "path": out.path}
    yaml, stream = YAML(), io.BytesIO()
    yaml.default_flow_style = False
    yaml.dump({"outs": [item], **more}, stream)
    return stream.getvalue()


oids = st.text("0123456789abcdef", min_size=32, max_size=32) | st.text("0123456789e", min_size=32, max_size=32)
texts = st.text(st.characters(exclude_characters="/\0\\:", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1)
outputs = st.builds(
    Output,
    path=texts | st.from_regex(r"[a-zA-Z][a-zA-Z0-9_.-]{0,90}", fullmatch=True),
    oid=oids | oids.map(lambda oid: oid + ".dir"),
    size=st.none() | st.integers(0, 2**53 - 1),
    nfiles=st.none() | st.integers(0, 10**6),
    exec=st.booleans(),
)


def test_golden_bytes() -> None:
    assert dump_pointer(Output("d", OID + ".dir", 14, 3)) == PLAIN.encode()
    assert dump_pointer(Output("run.sh", OID, 10, exec=True)) == (
        f"outs:\n- md5: {OID}\n  size: 10\n  isexec: true\n  hash: md5\n  path: run.sh\n".encode()
    )


@given(outputs)
@example(Output("x" * 72, OID, 1))
@example(Output("x" * 73, OID, 1))
@example(Output("yes", "0" * 32, 1))
@example(Output("True", "0e" + "1" * 30, 1))
@example(Output("12:30:45", "1" * 32 + ".dir", 1))
@example(Output("it's: #1", OID, 1))
@example(Output("a\\b", OID, 1))
@example(Output("nullify.txt", OID, 1))
@example(Output("a b " * 30 + "c", OID, 1))
def test_a_fresh_pointer_is_what_dvc_writes(out: Output) -> None:
    data = dump_pointer(out)
    assert data == as_dvc_writes(out)
    assert YAML(typ="safe").load(data)["outs"][0]["path"] == out.path
    try:
        check_relpath(out.path)
    except InvalidInputError:
        return
    pointer = parse_pointer(data, "x.dvc")
    assert pointer.outs == (out,)
    assert not pointer.legacy


def test_a_generated_pointer() -> None:
    meta = {"gitdata": {"v": 1, "state": "success", "run": "0" * 64, "result": "1e5", "stale": True}}
    data = dump_pointer(Output("stage", OID + ".dir", 5, 1), meta)
    assert data == as_dvc_writes(Output("stage", OID + ".dir", 5, 1), meta=meta)
    pointer = parse_pointer(data, "stage.dvc")
    assert pointer.generated
    assert pointer.meta == meta
    assert not parse_pointer(PLAIN.encode(), "d.dvc").generated


@pytest.mark.parametrize("path", ["yes", "no", "on", "12:30:45", "1_000", "=", "<<", "2020-01-01", "0777"])
def test_yaml_1_2_words_stay_text(path: str) -> None:
    quoted = "'" if path == "0777" else ""
    text = f"outs:\n- md5: {OID}\n  hash: md5\n  path: {quoted}{path}{quoted}\n"
    assert parse_pointer(text.encode(), "x.dvc").outs[0].path == path


def test_what_dvc_also_accepts() -> None:
    outs = f"- {{path: ./b/../c, md5: '{OID.upper()}', hash: md5}}\n- path: ../e\n  md5: {OID}\n  hash: md5\n"
    text = f"outs:\n{outs}wdir: ..\n"
    pointer = parse_pointer(text.encode(), "a/b/x.dvc")
    assert [output_path("a/b/x.dvc", pointer, out) for out in pointer.outs] == ["a/c", "e"]
    assert pointer.outs[0] == Output("./b/../c", OID)
    for empty in (b"", b"outs: []\n", b"# nothing\n"):
        assert parse_pointer(empty, "x.dvc").outs == ()


def test_an_import() -> None:
    pointer = parse_pointer(IMPORT.encode(), "gitfile.dvc")
    assert pointer.frozen
    assert pointer.deps[0]["repo"]["rev"] == "v1"
    assert pointer.outs == (Output("gitfile", "f5302386464f953ed581edac03556e55", 2),)
    assert import_checksum(YAML().load(IMPORT)) == "e01554cbbd49c7dee7bfa7123c27d72d"


def test_data_that_was_never_brought() -> None:
    assert parse_pointer(b"outs:\n- hash: md5\n  path: x\n", "x.dvc").outs == (Output("x", ""),)


def test_hashes_of_dvc_2() -> None:
    assert parse_pointer(f"outs:\n- md5: {OID}\n  size: 1\n  path: x\n".encode(), "x.dvc").legacy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("outs: 3", "lists"),
        ("- a", "mapping"),
        ("foo: 1", "'foo'"),
        (f"outs:\n- md5: {OID}\n  path: x\n  foo: 1", "'foo'"),
        (f"outs:\n- md5: {OID}\n", "without a path"),
        (f"outs:\n- md5: {OID}\n  path: 123\n", "quotes"),
        (f"outs:\n- md5: {'1' * 32}\n  path: x\n", "32 hex digits"),
        ("outs:\n- md5: ../../../../etc/passwd\n  path: x\n", "32 hex digits"),
        (f"outs:\n- md5: {OID}.tar\n  path: x\n", "32 hex digits"),
        (f"outs:\n- md5: {OID}\n  path: x\n  hash: sha1\n", "only md5"),
        ("outs:\n- etag: abc\n  path: x\n", "only md5"),
        (f"outs:\n- md5: {OID}\n  path: x\n  cloud: {{a: {{etag: b}}}}\n", "version-aware"),
        (f"outs:\n- md5: {OID}\n  path: x\n  size: -1\n", "size"),
        (f"outs:\n- md5: {OID}\n  path: x\n  size: true\n", "size"),
        (f"outs:\n- md5: {OID}\n  path: x\n  path: y\n", "twice"),
        (f"outs: &a\n- md5: {OID}\n  path: x\ndeps: *a\n", "anchors"),
        (f"outs:\n- md5: {OID}\n  path: !!python/name:os.system x\n", "tags"),
        ("outs: [" * 40 + "]" * 40, "deep"),
        ("a: 1\n---\nb: 2\n", "too many documents"),
        ("outs:\n\t- x", "x.dvc:2"),
        ("\x00", "YAML"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=r"sub/x\.dvc") as caught:
        parse_pointer(text.encode(), "sub/x.dvc")
    assert said in caught.value.message + caught.value.hint


@pytest.mark.parametrize(
    ("path", "wdir"),
    [
        ("/etc/passwd", "."), ("../../x", "."), ("..", "."), ("x", "/etc"), ("x", "../.."), (".git/config", "."),
        (".git/hooks", ".."), (".dvc/config", ".."), ("s3://bucket/x", "."), ("a\\..\\..\\..\\x", "."), (".", ".."),
        ("../.GIT/config", "."),
    ],
)  # fmt: skip
def test_a_pointer_never_leads_out(path: str, wdir: str) -> None:
    text = f"outs:\n- md5: {OID}\n  hash: md5\n  path: '{path}'\nwdir: '{wdir}'\n"
    with pytest.raises(InvalidInputError, match="sub/x"):
        parse_pointer(text.encode(), "sub/x.dvc")


def test_size_cap() -> None:
    with pytest.raises(InvalidInputError, match="too many"):
        parse_pointer(b"#" * (1024 * 1024 + 1), "x.dvc")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode(errors="replace")))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    try:
        parse_pointer(data, "x.dvc")
    except InvalidInputError:
        return


def test_an_update_keeps_what_people_wrote() -> None:
    text = f"""\
# the training set
outs:
- path: d  # here
  desc: photos
  md5: {OID}.dir
  size: 14
  nfiles: 3
  remote: big
  hash: md5
meta:
  owner: me
"""
    new = update_pointer(text.encode(), Output("d", "a" * 32 + ".dir", 20, 4)).decode()
    assert new == text.replace(OID, "a" * 32).replace("size: 14", "size: 20").replace("nfiles: 3", "nfiles: 4")


def test_an_update_from_folder_to_file() -> None:
    new = update_pointer(("# c\n" + PLAIN).encode(), Output("d", OID, 2, exec=True))
    assert new.decode() == f"# c\nouts:\n- md5: {OID}\n  size: 2\n  hash: md5\n  path: d\n  isexec: true\n"


def test_an_update_of_dvc_2_appends_the_hash() -> None:
    text = f"outs:\n- md5: {OID}\n  size: 1\n  path: x\n"
    new = update_pointer(text.encode(), Output("x", "a" * 32, 1)).decode()
    assert new == f"outs:\n- md5: {'a' * 32}\n  size: 1\n  path: x\n  hash: md5\n"


def test_an_update_that_changes_nothing_changes_nothing() -> None:
    for text in (PLAIN, IMPORT, "# c\n" + PLAIN):
        out = parse_pointer(text.encode(), "x.dvc").outs[0]
        assert update_pointer(text.encode(), out).decode() == text


def test_an_update_of_another_path_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no out 'other'"):
        update_pointer(PLAIN.encode(), Output("other", OID))
