"""Run records: bytes that come back the same, and a fold that does not depend on order."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.records import Counts, RunRecord, dump_record, fold, parse_record, standing
from gitdata.model import Output

BASE = RunRecord(
    kind="started",
    run_key="a" * 64,
    execution_key="b" * 64,
    attempt=1,
    job="detect-0123456789-1",
    stage="detect",
    commit="c" * 40,
    branch="main",
    time=1_700_000_000_000,
    plan="d" * 64,
    executor="local",
)
RESULT = replace(
    BASE,
    kind="result",
    state="success",
    output=Output("detect", "0" * 32 + ".dir", 12, 3),
    counts=Counts(total=3, processed=2, skipped=1),
    bytes_down=7,
    started=5,
    finished=9,
    statement={"subject": [{"name": "detect"}]},
)
FAILED = replace(BASE, kind="failed", cause="infrastructure", message="the disk is full", plan="", executor="")


CANCELLED = replace(BASE, kind="cancelled", message="no commit wants it", plan="", executor="")


@pytest.mark.parametrize(
    "record", [BASE, CANCELLED, RESULT, FAILED, replace(RESULT, state="failed", output=None, cause="user")]
)
def test_a_record_comes_back_as_it_was(record: RunRecord) -> None:
    assert parse_record(dump_record(record), "x") == record


def test_the_bytes_are_canonical() -> None:
    data = dump_record(BASE)
    assert data == json.dumps(json.loads(data), sort_keys=True, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"v":2}',
        b"\xff",
        dump_record(BASE).replace(b'"detect"', b"7"),
        dump_record(BASE).replace(b'"started"', b'"x"'),
        dump_record(BASE).replace(b'"attempt":1', b'"attempt":9007199254740991'),
        dump_record(BASE).replace(b'"attempt":1', b'"attempt":"1"'),
        dump_record(BASE).replace(b'"main"', b'"\\ud800"'),
        dump_record(RESULT).replace(b'{"subject"', b'{"more":9007199254740992,"subject"'),
    ],
)
def test_what_is_no_record_is_refused_by_name(data: bytes) -> None:
    with pytest.raises(InvalidInputError, match="the-name"):
        parse_record(data, "the-name")


@given(
    st.permutations(
        [
            ("1" * 64, BASE),
            ("2" * 64, FAILED),
            ("3" * 64, replace(FAILED, attempt=4)),
            ("4" * 64, RESULT),
            ("5" * 64, replace(CANCELLED, attempt=5)),
        ]
    )
)
def test_the_fold_does_not_depend_on_order(records: list[tuple[str, RunRecord]]) -> None:
    history = fold(records)
    assert history.next_attempt == 5
    assert history.last_failure is not None
    assert history.last_failure[0] == "3" * 64
    assert list(history.results) == ["4" * 64]
    assert history.started == (BASE,)


def test_an_attempt_stands_as_its_end_says_else_as_its_last_start_or_cancel() -> None:
    again = replace(BASE, time=BASE.time + 1)
    assert standing({"1": BASE, "2": CANCELLED}) == ("2", CANCELLED)
    assert standing({"1": BASE, "2": CANCELLED, "3": again}) == ("3", again)
    assert standing({"1": replace(CANCELLED, time=BASE.time + 9), "2": FAILED}) == ("2", FAILED)
