"""Spec files from anybody: what cannot be read is one line, and nothing else ever happens."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.spec import parse_specs, stage_from_json, stage_json
from gitdata.formats.spec_text import read_documents
from helpers.specs import BASE, problems, read, spec


@pytest.mark.parametrize(
    ("data", "file", "says"),
    [
        (b"", "stages/v.json", "empty"),
        (b"  \n# nothing\n", "stages/v.yaml", "empty"),
        (b"\xff{}", "stages/v.json", "not UTF-8"),
        (b'{"pipeline":{"name":"x"}', "stages/v.json", "stages/v.json:1:25: not JSON"),
        (b'{"a":1,"a":2}', "stages/v.json", "the key 'a' stands twice"),
        (b"a: 1\na: 2\n", "stages/v.yaml", "twice"),
        (b"a: &x 1\nb: *x\n", "stages/v.yaml", "anchors and aliases"),
        (b"a: !!python/object:os.system {}\n", "stages/v.yaml", "tags"),
        (b"[1]", "stages/v.json", "not an object"),
        (b"[1]", "stages/v.yaml", "not an object"),
        (b"just words", "stages/v.yaml", "not an object"),
        (b"[" * 100_000, "stages/v.json", "nested too deeply"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "stages/v.json", "nested more than"),
        (b"a: " + b"[" * 40 + b"]" * 40, "stages/v.yaml", "nested too deeply"),
        (b'{"a": NaN}', "stages/v.json", "stages/v.json: $.a: NaN is not"),
        (b'{"a": [1, {"b": 1e999}]}', "stages/v.json", "stages/v.json: $.a[1].b: no number"),
        (b"{}{}", "stages/v.json", "stages/v.json#1: $.pipeline: is missing"),
        (b'{"a": 1} {"a": -Infinity}', "stages/v.json", "stages/v.json#2: $.a: -Infinity is not"),
        (b'{"a": ' + b"1" * 5000 + b"}", "stages/v.json", "stages/v.json: $.a: a number of 5000 digits"),
        (b'{"a b": [-' + b"1" * 5000 + b"]}", "stages/v.json", 'stages/v.json: $["a b"][0]: a number of 5001 digits'),
        (b"a: " + b"1" * 5000, "stages/v.yaml", "stages/v.yaml:1: not valid YAML: a number of 5000 digits"),
        (b"a: 0x" + b"f" * 5000, "stages/v.yaml", "stages/v.yaml:1: not valid YAML: a number of 5002 digits"),
        (b"a: .nan", "stages/v.yaml", "stages/v.yaml: $.a: no number"),
        (b"a: -.inf", "stages/v.yaml", "stages/v.yaml: $.a: no number"),
        (b"a: 1e999", "stages/v.yaml", "stages/v.yaml: $.a: no number"),
        (b"a: \x01", "stages/v.yaml", "stages/v.yaml: not valid YAML: a control character"),
        (b'{"a": {"b": 1, "b": 2}}', "stages/v.json", "stages/v.json: $.a.b: the key 'b' stands twice"),
        (b'{"description": "\\ud800"}', "stages/v.json", "$.description: '\\ud800' holds a NUL or broken Unicode"),
        (b'{"description": "\\u0000"}', "stages/v.json", "NUL"),
        (b" " * (1 << 20) + b"{}", "stages/v.json", "too many for a spec"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(data: bytes, file: str, says: str) -> None:
    line, *more = problems(data, file)
    assert says in line
    assert not more or says.endswith("is missing")
    assert not any(word in line for word in ("sys.", "int()", "codec", "limit (", "float", "NaN to"))


def test_json_with_tabs_is_read_under_any_ending_and_yaml_flow_too() -> None:
    assert read(json.dumps(BASE, indent="\t").encode(), "stages/v.yml").name == "validate"
    flow = b"{pipeline: {name: v}, transform: {image: i, cmd: [a]}, input: {pfs: {repo: r, glob: /}}}"
    assert read(flow, "stages/v.yaml").name == "v"
    assert read(b"\xef\xbb\xbf" + json.dumps(BASE).encode()).name == "validate"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_spec_or_an_input_error(data: bytes) -> None:
    told: list[tuple[str, str]] = []
    for file in ("stages/x.json", "stages/x.yaml"):
        try:
            parse_specs(data, file)
        except InvalidInputError as error:
            told.append((file, error.message))
    assert all(file in message for file, message in told)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
places = st.sampled_from(
    ["pipeline", "pipeline__name", "transform", "transform__cmd", "transform__env", "transform__secrets", "input",
     "input__pfs", "input__cross", "input__pfs__glob", "input__pfs__name", "parallelism_spec", "notify",
    "datum_timeout",
     "resource_limits", "egress"]
)  # fmt: skip


@given(places, json_values)
def test_any_value_anywhere_is_accepted_or_an_input_error(place: str, value: Any) -> None:
    told = ""
    try:
        stage = read(spec(**{place: value}))
    except InvalidInputError as error:
        told = error.message
    assert all(line.startswith("stages/v.json: ") for line in told.split("\n")) or not told
    assert told or stage_from_json(stage_json(stage)) == stage


@pytest.mark.parametrize(
    "data",
    [
        b"{" + b",".join(b'"pipelnie%d":1' % i for i in range(40_000)) + b"}",
        b"{" + b",".join(b'"a%d":1' % i for i in range(70_000)) + b',"a69999":2}',
        json.dumps(spec(transform__env={f"K{i}": 1 for i in range(60_000)})).encode(),
        json.dumps(spec(input={"cross": [{"pfs": {"repo": "a", "glob": "/"}}] * 20_000})).encode(),
        json.dumps(spec(transform__stdin=["://" * 200_000, "_key" * 60_000])).encode(),
        b'{"pipeline":{}}' * 60_000,
    ],
    ids=["unknown fields", "a key twice", "numbers in env", "a wide cross", "almost a password", "many documents"],
)
def test_a_file_made_of_mistakes_is_refused_in_no_time(data: bytes) -> None:
    begin = time.process_time()
    with contextlib.suppress(InvalidInputError):
        parse_specs(data, "stages/x.json")
    assert time.process_time() - begin < 4


@pytest.mark.parametrize("between", ["\n---\n", "---\n", "\r\n--- \r\n", "\n---\n\n---\n", "\n"])
def test_documents_of_a_json_file_may_be_divided_as_in_yaml(between: str) -> None:
    first, second = json.dumps({"a": "---"}), json.dumps({"b": 1})
    text = f"{first}{between if between[0] != '-' else chr(10) + between}{second}\n---\n"
    assert read_documents(text.encode(), "stages/both.json") == [{"a": "---"}, {"b": 1}]
    assert read_documents(f"---\n{first}".encode(), "stages/one.json") == [{"a": "---"}]


@pytest.mark.parametrize("text", ["{} ---\n{}", "{}\n--\n{}", "{}\n--- {}\n{}", "{}\n----\n{}"])
def test_other_dashes_are_no_json(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not JSON"):
        read_documents(text.encode(), "stages/both.json")
