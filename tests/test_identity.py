"""Ids: the golden vectors of ``docs/formats.md`` section 3, RFC 8785, and what an id depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gitdata import identity
from gitdata.formats.stages import stage_from_json
from gitdata.model import DatumInput, Entry, PfsInput, Scheduling, Secret, Stage, Toleration, Transform

GOLDEN: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden" / "ids.json").read_text())

STAGE = Stage("a", Transform("image", ("run",), env=(("K", "v"),)), PfsInput("images", "/*", "images"))

text = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | text,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(max_codepoint=127)), inner),
    max_leaves=20,
)


def compute(kind: str, given: dict[str, Any]) -> str:
    match kind:
        case "stage":
            return identity.stage_key(given["environment"], stage_from_json(given["stage"]))
        case "datum":
            inputs = [
                DatumInput(i["name"], i["match"], tuple(Entry(p, o, exec=x) for p, o, x in i["entries"]), i["key"])
                for i in given["inputs"]
            ]
            return identity.datum_id(given["stage_key"], inputs)
        case "run":
            return identity.run_key(given["stage_key"], reversed(given["datums"]))
        case "execution":
            return identity.execution_key(given["run_key"], stage_from_json(given["stage"]))
        case "message":
            return identity.message_id(given["target"], given["message"])
        case _:
            return identity.job_name(given["stage"], given["remote"], given["zone"], given["run_key"], given["attempt"])


@pytest.mark.parametrize("case", GOLDEN, ids=[f"{i}-{c['kind']}" for i, c in enumerate(GOLDEN)])
def test_golden_vectors(case: dict[str, Any]) -> None:
    assert compute(case["kind"], case["given"]) == case["id"]
    hashed = hashlib.sha256(case["canonical"].encode()).hexdigest()
    assert hashed == case["id"] or hashed[:10] == case["id"].split("-")[-2]


def test_every_kind_of_id_has_a_golden_vector() -> None:
    assert {case["kind"] for case in GOLDEN} == {"stage", "datum", "run", "execution", "message", "job"}


@given(values)
def test_canonical_json_is_rfc_8785(value: Any) -> None:
    assert identity.canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("value", [1.0, {"a": [0.5]}, 2**53, {"é": 1}, "\ud800", {1: 2}])
def test_what_would_not_be_the_same_everywhere_is_refused(value: Any) -> None:
    with pytest.raises(ValueError):
        identity.canonical(value)


@given(st.lists(st.tuples(text, text, text, st.lists(st.tuples(text, st.booleans()))), max_size=4))
def test_the_fast_datum_id_is_the_id_of_the_canonical_json(raw: list[Any]) -> None:
    inputs = [
        DatumInput(name, match, tuple(Entry(p, "0" * 32, 7, x) for p, x in entries), key)
        for name, match, key, entries in raw
    ]
    body = {
        "v": 1,
        "kind": "datum",
        "stage_key": "f" * 64,
        "inputs": [
            {"name": i.name, "match": i.match, "key": i.key, "entries": [[e.path, e.oid, e.exec] for e in i.entries]}
            for i in inputs
        ],
    }
    assert identity.datum_id("f" * 64, inputs) == hashlib.sha256(rfc8785.dumps(body)).hexdigest()


def with_transform(**change: Any) -> Stage:
    return dataclasses.replace(STAGE, transform=dataclasses.replace(STAGE.transform, **change))


@pytest.mark.parametrize(
    "changed",
    [
        with_transform(cmd=("run", "")),
        with_transform(stdin=()),
        with_transform(stdin=("",)),
        with_transform(err_cmd=("x",)),
        with_transform(err_stdin=()),
        with_transform(env=(("K", "w"),)),
        with_transform(user="1"),
        with_transform(working_dir="/"),
        with_transform(accept_return_code=(1,)),
        dataclasses.replace(STAGE, salt="x"),
    ],
)
def test_what_makes_a_result_changes_the_stage_key(changed: Stage) -> None:
    assert identity.stage_key("e", changed) != identity.stage_key("e", STAGE)


@pytest.mark.parametrize(
    "changed",
    [
        dataclasses.replace(STAGE, name="b", description="d", file="f", datum_tries=9, datum_timeout_ms=1),
        with_transform(secrets=(Secret("s", "k", "E"),)),
        with_transform(image="another name of the same environment"),
    ],
)
def test_what_does_not_make_a_result_keeps_the_stage_key(changed: Stage) -> None:
    assert identity.stage_key("e", changed) == identity.stage_key("e", STAGE)


def test_the_environment_changes_the_stage_key() -> None:
    assert identity.stage_key("e", STAGE) != identity.stage_key("f", STAGE)


def test_tries_timeouts_resources_and_secrets_change_the_execution_key() -> None:
    changed = [
        STAGE,
        dataclasses.replace(STAGE, datum_tries=4),
        dataclasses.replace(STAGE, datum_timeout_ms=1),
        dataclasses.replace(STAGE, job_timeout_ms=1),
        dataclasses.replace(STAGE, resources=(("limits.cpu", "1"),)),
        with_transform(secrets=(Secret("s", "k", "E"),)),
        with_transform(secrets=(Secret("s", "other", "E"),)),
        with_transform(secrets=(Secret("s", "k", "OTHER"),)),
        with_transform(secrets=(Secret("s", mount_path="/s"),)),
        with_transform(secrets=(Secret("s", mount_path="/other"),)),
        dataclasses.replace(STAGE, scheduling=Scheduling(priority_class="batch")),
        dataclasses.replace(STAGE, scheduling=Scheduling(tolerations=(Toleration("a", seconds=3),))),
        dataclasses.replace(STAGE, scheduling=Scheduling(network="open")),
    ]
    assert len({identity.stage_key("e", stage) for stage in changed}) == 1
    assert len({identity.execution_key("0" * 64, stage) for stage in changed}) == len(changed)


@given(st.text(), st.text(), st.integers(1, 10**6))
def test_a_job_name_is_a_dns_label(stage: str, remote: str, attempt: int) -> None:
    name = identity.job_name(stage, remote.encode(errors="replace").decode(), "main", "0" * 64, attempt)
    assert len(name) <= 63
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert not name.startswith("-")
