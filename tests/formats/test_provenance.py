"""Provenance: conforms to its specifications, fits into a line, tells no secret, merges in any order."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gitdata.formats.provenance import (
    LINE_LIMIT,
    InputRecord,
    OutputRecord,
    manifest_sha256,
    merge_notes,
    note_line,
    parse_note,
    statement,
)
from gitdata.identity import canonical, sha256
from gitdata.model import Entry, Environment, PfsInput, Secret, Stage, Transform

SCHEMA = json.loads((Path(__file__).parent / "slsa.schema.json").read_text())
MD5, SHA, COMMIT = "d" * 32 + ".dir", "5" * 64, "c" * 40
TREE = "7" * 40


def stage(**transform: Any) -> Stage:
    return Stage("detect", Transform("stage-images/detect", **transform), PfsInput("images", "/*", "images"))


def made(given_stage: Stage | None = None, **change: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "stage": given_stage or stage(cmd=("python", "/code/detect.py")),
        "run_key": "1" * 64,
        "stage_key": "2" * 64,
        "execution_key": "3" * 64,
        "environment": Environment(f"ctx:{TREE}:-:linux/amd64", "stage-images/detect"),
        "repository": "https://git.example.org/team/cameras.git",
        "ref": "refs/heads/main",
        "commit": COMMIT,
        "job": "detect-0123456789-1",
        "executor": "local",
        "inputs": [InputRecord("images", "images", "pointer", MD5, SHA, 17, "images.dvc", "/*")],
        "output": OutputRecord(MD5, SHA, 17, 2),
        "state": "success",
        "counts": {"total": 2, "processed": 2, "skipped": 0, "failed": 0, "recovered": 0},
        "started": 1_700_000_000_005,
        "finished": 1_700_000_001_000,
        "tries": 1,
        "workers": 2,
    }
    return statement(**(fields | change))


def check(value: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(value)
    assert len(note_line(value)) <= LINE_LIMIT


def test_a_statement_conforms_and_says_everything() -> None:
    value = made()
    check(value)
    definition = value["predicate"]["buildDefinition"]
    assert value["subject"] == [
        {"name": "detect", "digest": {"sha256": SHA}, "annotations": {"md5": MD5, "size": 17, "nfiles": 2}}
    ]
    assert definition["externalParameters"]["cmd"] == ["python", "/code/detect.py"]
    assert definition["externalParameters"]["inputs"] == [{"name": "images", "repo": "images", "glob": "/*"}]
    source, environment, images = definition["resolvedDependencies"]
    assert source["digest"] == {"gitCommit": COMMIT}
    assert environment["digest"] == {"gitTree": TREE}
    assert images["digest"] == {"sha256": SHA}
    assert images["annotations"] == {"md5": MD5, "kind": "pointer", "path": "images.dvc", "size": 17}
    assert value["predicate"]["runDetails"]["metadata"]["startedOn"] == "2023-11-14T22:13:20.005Z"


@pytest.mark.parametrize(
    ("repository", "uri"),
    [
        ("https://u:p@git.example.org/r.git", "git+https://git.example.org/r.git"),
        ("git@git.example.org:team/r.git", "git+ssh://git.example.org/team/r.git"),
        ("/srv/r.git", "git+file:///srv/r.git"),
        ("file:///srv/r.git", "git+file:///srv/r.git"),
    ],
)
def test_the_source_is_a_uri(repository: str, uri: str) -> None:
    value = made(repository=repository)
    check(value)
    assert value["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"] == uri


def test_the_schema_can_refuse() -> None:
    value = made()
    del value["subject"][0]["digest"]
    with pytest.raises(jsonschema.ValidationError):
        check(value)


@pytest.mark.parametrize(
    "change",
    [
        {"state": "failed", "output": None},
        {"output": OutputRecord(MD5, None, 0, 0)},
        {"inputs": [InputRecord("g", "rules/rule.json", "git", "a" * 32, None, None, "rules/rule.json", "/", "")]},
        {"environment": Environment("oci:sha256:" + "e" * 64, "python:3.11")},
        {"environment": Environment(f"venv:{TREE}:-:3.11:linux-x86_64", "stage-images/x")},
        {"executor": "kubernetes", "ref": "", "job": ""},
        {"ref": "refs/heads/\udcff", "repository": "/srv/\udcfe"},
    ],
)
def test_every_kind_conforms(change: dict[str, Any]) -> None:
    check(made(**change))


def test_what_is_unknown_is_said_to_be_unknown() -> None:
    value = made(output=OutputRecord(MD5, None, 1, 1), inputs=[InputRecord("i", "i", "stage", MD5)])
    assert value["subject"][0]["annotations"]["sha256"] == "unknown"
    assert value["subject"][0]["digest"] == {"md5": MD5.removesuffix(".dir")}
    assert value["predicate"]["buildDefinition"]["resolvedDependencies"][2]["annotations"]["sha256"] == "unknown"


def test_a_failed_runs_subject_is_the_run() -> None:
    value = made(state="failed")
    assert value["subject"] == [{"name": "run", "digest": {"sha256": "1" * 64}}]


def test_secrets_are_not_written() -> None:
    told = stage(
        cmd=("curl", "--password=hunter2", "https://me:hunter2@example.org/x", "--token hunter2"),
        stdin=(
            "export API_KEY=hunter2",
            "export TOKEN=$TOKEN",
            "wget https://a:hunter2/x@b.org",
            'PASSWORD="hunter2 x"',
        ),
        env=(
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
            ("DB_PASSWD", "hunter2"),
            ("MODE", "fast"),
            ("URL", "s3://u:hunter2@h"),
        ),
        secrets=(Secret("mail", key="k", env_var="MAIL"),),
    )
    value = made(told, repository="https://bot:hunter2@git.example.org/r.git")
    text = json.dumps(value)
    assert "hunter2" not in text.replace("a:hunter2/x@b.org", "")
    external = value["predicate"]["buildDefinition"]["externalParameters"]
    assert external["env"] == [
        ["AWS_SECRET_ACCESS_KEY", "redacted"],
        ["DB_PASSWD", "redacted"],
        ["MODE", "fast"],
        ["URL", "s3://h"],
    ]
    assert external["secrets"] == ["mail"]
    assert external["repository"] == "https://git.example.org/r.git"
    assert external["stdin"][1] == "export TOKEN=$TOKEN", "a reference is not a secret"


def test_long_bodies_are_folded_into_their_digest() -> None:
    lines = tuple(f"echo line {n} of a long script" for n in range(500))
    value = made(stage(cmd=("sh",), stdin=lines))
    check(value)
    external = value["predicate"]["buildDefinition"]["externalParameters"]
    assert external["cmd"] == ["sh"], "what fits stays"
    body = rfc8785.dumps(list(lines))
    assert external["stdin"] == {"sha256": hashlib.sha256(body).hexdigest(), "size": len(body)}


def test_many_inputs_are_folded_too() -> None:
    inputs = [InputRecord(f"i{n}", f"i{n}", "pointer", MD5, SHA, n, "p" * 3000, "/*") for n in range(200)]
    value = made(inputs=inputs)
    check(value)
    assert value["predicate"]["buildDefinition"]["resolvedDependencies"][2]["annotations"]["folded"] == 200


words = st.text(max_size=3000)


@settings(deadline=None)  # other tests may have the processor
@given(
    cmd=st.lists(words, max_size=5),
    env=st.lists(st.tuples(words, words), max_size=5),
    name=words,
    ref=words,
    path=words,
)
def test_whatever_a_user_wrote_fits_and_is_canonical(
    cmd: list[str], env: list[tuple[str, str]], name: str, ref: str, path: str
) -> None:
    told = Stage("s", Transform(path, tuple(cmd), stdin=(ref,), env=tuple(env), user=name), PfsInput("r", "/", "n"))
    inputs = [InputRecord(name, path, "git", "a" * 32, None, None, path, ref)] * 3
    value = made(told, ref=ref, inputs=inputs, repository=path, job=name, environment=Environment("ctx:" + ref, path))
    line = note_line(value)
    assert len(line) <= LINE_LIMIT
    assert line == rfc8785.dumps(json.loads(line)) + b"\n"
    [record] = parse_note(line)
    assert record.statement == value
    assert record.id == hashlib.sha256(rfc8785.dumps(value)).hexdigest()


# --------------------------------------------------------------------------------------------------------------- notes


def test_reading_skips_what_it_cannot_trust() -> None:
    good = note_line(made())
    forged = good.replace(b"cameras", b"Cameras")
    other = b'{"v":2,"id":"x","statement":{}}\n'
    junk = [
        b"",
        b"# text",
        b"[1]",
        b"null",
        b"[" * 5000,
        b'{"v":1}',
        b'{"v":1,"id":1,"statement":{"_type":1.5}}',
        b"\xff",
    ]
    body = b"\n".join([good.strip(), forged.strip(), other.strip(), *junk, good.strip()])
    assert [record.statement for record in parse_note(body)] == [made()]


lines = st.lists(st.sampled_from([b"a", b"b", b"{}", b'{"v":9}', b""]), max_size=6).map(b"\n".join)


@settings(deadline=None)  # other tests may have the processor
@given(lines, lines, lines)
def test_merging_is_a_set_union(one: bytes, two: bytes, three: bytes) -> None:
    assert merge_notes(one, two) == merge_notes(two, one)
    assert merge_notes(merge_notes(one, two), three) == merge_notes(one, merge_notes(two, three))
    assert merge_notes(one, one) == merge_notes(one) == merge_notes(merge_notes(one))
    expected = {line for body in (one, two) for line in body.split(b"\n") if line}
    assert merge_notes(one, two).splitlines() == sorted(expected)


# ------------------------------------------------------------------------------------------------------------ manifests


def test_a_manifest_is_what_sha256sum_prints(tmp_path: Path) -> None:
    names = ["b.txt", "a/ü.txt", "a\\b", "line\nfeed", "Z"]
    listing = []
    for name in names:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
        digest = hashlib.sha256(name.encode()).hexdigest()
        listing.append(Entry(name, "0" * 32, sha256=digest))
    ordered = sorted(names, key=str.encode)
    out = subprocess.run(["sha256sum", "--", *ordered], cwd=tmp_path / "data", capture_output=True, check=True).stdout
    assert manifest_sha256(tuple(listing)) == hashlib.sha256(out).hexdigest()


def test_one_unknown_file_makes_the_manifest_unknown() -> None:
    assert manifest_sha256((Entry("a", "0" * 32, sha256=SHA), Entry("b", "1" * 32))) is None
    assert manifest_sha256(()) == hashlib.sha256(b"").hexdigest()


def _predicate(resolved: Any = (), **details: Any) -> dict[str, Any]:
    return {"predicate": {"buildDefinition": {"resolvedDependencies": list(resolved)}, "runDetails": details}}


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "x"},
        {"subject": ["x"]},
        {"subject": []},
        {"subject": [{"digest": {}}]},
        {"subject": [{"name": "detect", "digest": "x"}]},
        {"subject": [{"name": "detect", "annotations": {"size": "big"}}]},
        {"predicate": []},
        {"predicate": {}},
        {"predicate": {"runDetails": {}}},
        {"predicate": {"buildDefinition": 1, "runDetails": {}}},
        _predicate([{"name": "in", "annotations": 3}]),
        _predicate([{"name": "in", "digest": {"sha256": 3}}]),
        _predicate([{"annotations": {"kind": "git"}}]),
        _predicate(byproducts={}),
        _predicate(byproducts=[{"annotations": {"datums": []}}]),
        _predicate(metadata=[]),
    ],
)
def test_a_forged_statement_of_another_shape_is_skipped(change: dict[str, Any]) -> None:
    body = made() | change
    line = canonical({"v": 1, "id": sha256(canonical(body)), "statement": body})
    assert parse_note(note_line(made()) + line + b"\n") == parse_note(note_line(made()))
