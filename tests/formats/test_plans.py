"""Plans: exact bytes, the way back, and what a hostile plan is told."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.plans import dump_plan, parse_plan
from gitdata.identity import canonical
from gitdata.model import (
    CrossInput,
    Datum,
    DatumInput,
    Entry,
    Environment,
    Notify,
    Parallelism,
    PfsInput,
    RunPlan,
    Scheduling,
    Secret,
    Stage,
    Toleration,
    Transform,
    UnionInput,
)

text = st.text(st.characters(codec="utf-8"), max_size=8)
digest = st.text("0123456789abcdef", min_size=64, max_size=64)
count = st.integers(0, 2**53 - 1)
names = st.text("abcdefgh-é ", min_size=1, max_size=6)
entries = st.builds(
    Entry,
    path=st.lists(names, min_size=1, max_size=3).map("/".join),
    oid=st.text("0123456789abcdef", min_size=32, max_size=32),
    size=st.none() | count,
    exec=st.booleans(),
)
pfs = st.builds(PfsInput, text, text, text, text)
inputs = st.recursive(
    pfs,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda i: CrossInput(tuple(i)))
        | st.lists(inner, max_size=3).map(lambda i: UnionInput(tuple(i)))
    ),
    max_leaves=4,
)
texts = st.lists(text, max_size=3).map(tuple)
pairs = st.lists(st.tuples(text, text), max_size=3).map(tuple)
transforms = st.builds(
    Transform,
    image=text,
    cmd=texts,
    stdin=st.none() | texts,
    err_cmd=texts,
    err_stdin=st.none() | texts,
    env=pairs,
    secrets=st.lists(st.builds(Secret, text, text, text, text), max_size=2).map(tuple),
    accept_return_code=st.lists(st.integers(0, 255), max_size=3).map(tuple),
    working_dir=text,
    user=text,
)
scheduling = st.builds(
    Scheduling,
    node_selector=pairs,
    tolerations=st.lists(st.builds(Toleration, text, text, text, text, st.none() | count), max_size=2).map(tuple),
    priority_class=text,
    pull_secrets=texts,
    service_account=text,
    network=text,
)
stages = st.builds(
    Stage,
    name=text,
    transform=transforms,
    input=inputs,
    parallelism=st.builds(Parallelism, count, st.none() | count),
    datum_tries=count,
    datum_timeout_ms=count,
    job_timeout_ms=count,
    salt=text,
    description=text,
    resources=pairs,
    notify=st.none() | st.builds(Notify, text, text, count),
    file=text,
    warnings=texts,
    scheduling=scheduling,
)
datum_inputs = st.builds(
    DatumInput,
    name=text,
    match=text.map("/{}".format),
    entries=st.lists(entries, max_size=3).map(tuple),
    key=text,
)
plans = st.builds(
    RunPlan,
    stage=stages,
    stage_key=digest,
    run_key=digest,
    execution_key=digest,
    environment=st.builds(Environment, text, text),
    commit=st.sampled_from(["", "c" * 40, "d" * 64]),
    commits=pairs,
    datums=st.lists(st.builds(Datum, digest, st.lists(datum_inputs, max_size=3).map(tuple)), max_size=3).map(tuple),
    job=text,
)

SIMPLE = RunPlan(
    stage=Stage("s", Transform("i", ("c",)), PfsInput("r", "/*", "r")),
    stage_key="1" * 64,
    run_key="2" * 64,
    execution_key="3" * 64,
    environment=Environment("venv:x", "i"),
    commit="c" * 40,
    commits=(("r", "c" * 40),),
    datums=(Datum("4" * 64, (DatumInput("r", "/a", (Entry("a", "5" * 32, None, True),)),)),),
    job="s-0123456789-1",
)


@given(plans)
def test_a_plan_comes_back_from_canonical_lines(plan: RunPlan) -> None:
    data = dump_plan(plan)
    assert parse_plan(data) == plan
    assert b"".join(canonical(json.loads(line)) + b"\n" for line in data.split(b"\n")[:-1]) == data


def test_the_bytes_are_those_of_the_format() -> None:
    head, datum, end = dump_plan(SIMPLE).split(b"\n")
    assert end == b""
    assert datum == (
        b'{"id":"%b","inputs":[{"entries":[["a","%b",true,null]],"key":"","match":"/a","name":"r"}]}'
        % (b"4" * 64, b"5" * 32)
    )
    fields = json.loads(head)
    assert canonical(fields) == head
    assert set(fields) == {
        "v", "kind", "stage", "stage_key", "run_key", "execution_key", "environment", "commit", "commits", "job",
    }  # fmt: skip
    assert fields["kind"] == "plan"
    assert fields["v"] == 1


def test_an_input_that_stands_in_every_datum_is_held_once() -> None:
    model = DatumInput("model", "/", tuple(Entry(f"layer-{n}", "5" * 32, n) for n in range(1000)))
    datums = tuple(Datum(f"{n:064d}", (DatumInput("r", f"/{n}", ()), model)) for n in range(300))
    data = dump_plan(replace(SIMPLE, datums=datums))
    tracemalloc.start()
    found = parse_plan(data)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.datums == datums
    assert most < len(data) / 4


def changed(line: int, **change: Any) -> bytes:
    values = [json.loads(text) for text in dump_plan(SIMPLE).splitlines()]
    for key, value in change.items():
        if value is None:
            del values[line][key]
        else:
            values[line][key] = value
    return b"".join(canonical(value) + b"\n" for value in values)


def entry(*row: Any) -> list[Any]:
    return [{"name": "r", "match": "/a", "key": "", "entries": [list(row)]}]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the end is missing"),
        (b"{}\n", "line 1: v is missing"),
        (b"[]\n", "line 1: not a JSON object"),
        (b"\n", "line 1 is not JSON"),
        (b"[" * 100_000 + b"\n", "line 1 is not JSON"),
        (dump_plan(SIMPLE)[:-1], "the end is missing"),
        (changed(0, v=2), "version 2 is newer"),
        (changed(0, v=True), "v is not a count"),
        (changed(0, kind="segment"), "not a plan"),
        (changed(0, run_key="2"), "run_key does not have its shape"),
        (changed(0, run_key="2" * 63 + "\n"), "run_key does not have its shape"),
        (changed(0, commit="--all"), "commit does not have its shape"),
        (changed(0, stage=None), "stage is missing"),
        (changed(0, stage=[]), "stage: not a JSON object"),
        (changed(0, commits=[["a"]]), "not an array of 2"),
        (changed(1, id="../../x"), "id does not have its shape"),
        (changed(1, inputs={}), "inputs is not an array"),
        (changed(1, inputs=entry("../x", "5" * 32, True, 1)), "line 2: inputs.0.: entries: refused path"),
        (changed(1, inputs=entry("/x", "5" * 32, True, 1)), "refused path"),
        (changed(1, inputs=entry(".git/config", "5" * 32, True, 1)), "refused path"),
        (changed(1, inputs=entry("x", "5" * 31, True, 1)), "has no md5"),
        (changed(1, inputs=entry("x", "5" * 32 + ".dir", True, 1)), "has no md5"),
        (changed(1, inputs=entry("x", "5" * 32, 1, 1)), "neither executable"),
        (changed(1, inputs=entry("x", "5" * 32, True, -1)), "is not a count"),
        (changed(1, inputs=entry("x", "5" * 32, True, "1")), "is not a count"),
        (changed(1, inputs=entry("x", "5" * 32, True)), "not an array of 4"),
        (changed(1, inputs=[{"name": "r", "match": "a", "key": "", "entries": []}]), "match does not begin with /"),
    ],
)
def test_a_hostile_plan_is_refused_in_one_line(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        parse_plan(data, "plans/x")
    assert caught.value.message.startswith("plans/x: ")
    assert "\n" not in caught.value.message


@given(st.binary(max_size=60), st.integers(0, 2000), st.integers(0, 100))
def test_damaged_bytes_never_raise_anything_else(noise: bytes, at: int, cut: int) -> None:
    data = dump_plan(SIMPLE)
    at %= len(data)
    damaged = data[:at] + noise + data[at + cut :]
    try:
        parse_plan(damaged)
    except InvalidInputError:
        return


def test_input_expressions_cannot_nest_without_end() -> None:
    expression: dict[str, Any] = {"pfs": {"repo": "r", "glob": "/", "name": "r", "branch": ""}}
    for _ in range(60):
        expression = {"cross": [expression]}
    head = json.loads(dump_plan(SIMPLE).splitlines()[0])
    head["stage"]["input"] = expression
    with pytest.raises(InvalidInputError, match="nested"):
        parse_plan(canonical(head) + b"\n")
