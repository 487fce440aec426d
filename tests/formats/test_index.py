"""The datum index: exact bytes, the fold in any order, and that merging packs changes nothing that a reader sees."""

from __future__ import annotations

import dataclasses
import json
from hashlib import sha256
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.index import (
    IndexObject,
    choose_merge,
    dump_pack,
    dump_segment,
    fold_index,
    object_name,
    parse_index,
)
from gitdata.identity import canonical
from gitdata.model import DatumResult, Entry, Failure, FailureClass

KEY = "e" * 64
OUT = Entry("out/a", "1" * 32, 5, True, "2" * 64)
DONE = DatumResult("d" * 64, (OUT,), None, False, 1, 10, 20, (("3" * 32, "4" * 64, 7),), "5" * 64, "s-0123456789-1")
FAILED = DatumResult("c" * 64, failure=Failure("user", "exit 3: no", 3), tries=3, job="s-0123456789-2")

text = st.text(st.characters(codec="utf-8"), max_size=8)
hex64 = st.text("0123456789abcdef", min_size=64, max_size=64)
hex32 = st.text("0123456789abcdef", min_size=32, max_size=32)
count = st.integers(0, 2**53 - 1)
outputs = st.dictionaries(
    st.text("abc-é", min_size=1, max_size=4),
    st.tuples(hex32, st.none() | count, st.booleans(), st.none() | hex64),
    max_size=3,
).map(lambda found: tuple(Entry(path, *found[path]) for path in sorted(found)))
failures = st.builds(Failure, st.sampled_from(get_args(FailureClass)), text, st.none() | st.integers(-64, 255))


@st.composite
def results(draw: st.DrawFn) -> DatumResult:
    failure = draw(st.none() | failures)
    return DatumResult(
        datum=draw(st.sampled_from(["a" * 64, "b" * 64, "c" * 64])),
        outputs=() if failure else draw(outputs),
        failure=failure,
        recovered=draw(st.booleans()),
        tries=draw(count),
        started=draw(count),
        finished=draw(count),
        fetched=tuple(sorted(draw(st.lists(st.tuples(hex32, hex64, count), max_size=2)))),
        log=draw(st.just("") | hex64),
        job=draw(text),
    )


def unique(some: list[DatumResult]) -> list[DatumResult]:
    return list({r.datum: r for r in some}.values())


objects = st.lists(st.tuples(st.booleans(), st.lists(results(), max_size=3).map(unique)), max_size=5)


def stored(some: list[tuple[bool, list[DatumResult]]]) -> dict[str, IndexObject]:
    dumped = [dump_pack(KEY, r, ()) if packed else dump_segment(KEY, r) for packed, r in some]
    return {object_name(data): parse_index(data) for data in dumped}


@given(st.lists(results(), max_size=3).map(unique), st.lists(hex64, max_size=3))
def test_what_is_written_is_read(some: list[DatumResult], names: list[str]) -> None:
    segment = parse_index(dump_segment(KEY, some))
    assert segment == IndexObject("segment", KEY, (), tuple(sorted(some, key=lambda r: r.datum)))
    replaces = [f"seg-{name}" for name in names]
    pack = parse_index(dump_pack(KEY, reversed(some), replaces))
    assert pack == IndexObject("pack", KEY, tuple(sorted(set(replaces))), segment.results)


def test_the_bytes_are_those_of_the_format() -> None:
    data = dump_pack(KEY, [DONE, FAILED], [f"seg-{'0' * 64}"])
    head, failed, done, end = data.split(b"\n")
    assert end == b""
    assert json.loads(head) == {"v": 1, "kind": "pack", "stage_key": KEY, "replaces": [f"seg-{'0' * 64}"]}
    assert json.loads(done) == {
        "datum": "d" * 64,
        "out": [["out/a", "1" * 32, "2" * 64, 5, True]],
        "fetched": [["3" * 32, "4" * 64, 7]],
        "tries": 1,
        "started": 10,
        "finished": 20,
        "log": "5" * 64,
        "job": "s-0123456789-1",
        "recovered": False,
    }
    assert json.loads(failed)["failure"] == {"kind": "user", "message": "exit 3: no", "exit_code": 3}
    assert "out" not in json.loads(failed)
    assert all(canonical(json.loads(line)) == line for line in (head, failed, done))
    assert object_name(data) == f"pack-{sha256(data).hexdigest()}"
    segment = dump_segment(KEY, [DONE])
    assert object_name(segment) == f"seg-{sha256(segment).hexdigest()}"


def test_a_commands_last_words_cannot_make_the_index_unreadable() -> None:
    words = "\ud800" + "x" * 10_000_000
    found = parse_index(dump_segment(KEY, [dataclasses.replace(FAILED, failure=Failure("user", words))])).results[0]
    assert found.failure is not None
    assert found.failure.message.startswith("?xxx")
    assert len(found.failure.message) <= 4000


def test_a_success_wins_then_recovered_then_a_failure() -> None:
    datum = "d" * 64
    failed = dataclasses.replace(FAILED, datum=datum)
    recovered = dataclasses.replace(DONE, outputs=(), recovered=True)
    assert fold_index(stored([(True, [failed]), (False, [recovered])])) == {datum: recovered}
    assert fold_index(stored([(True, [failed]), (True, [recovered]), (False, [DONE])])) == {datum: DONE}


def test_of_two_successes_the_pack_wins_then_the_smaller_name() -> None:
    one, two = DONE, dataclasses.replace(DONE, tries=2)
    assert fold_index(stored([(False, [one]), (True, [two])]))[DONE.datum] == two
    assert fold_index(stored([(True, [one]), (False, [two])]))[DONE.datum] == one
    segments = stored([(False, [one]), (False, [two])])
    assert fold_index(segments)[DONE.datum] == segments[min(segments)].results[0]


def test_a_refused_result_makes_room_for_the_next() -> None:
    one, two = DONE, dataclasses.replace(DONE, tries=2)
    both = stored([(True, [one]), (False, [two])])
    assert fold_index(both, lambda r: r.tries == 2)[DONE.datum] == two
    assert fold_index(both, lambda r: False) == {}


def test_a_failure_of_another_attempt_can_be_refused() -> None:
    old, new = FAILED, dataclasses.replace(FAILED, job="s-0123456789-3")
    both = stored([(True, [old]), (False, [new])])
    assert fold_index(both, lambda r: r.failure is None or r.job == new.job)[FAILED.datum] == new


def test_what_a_pack_replaces_is_not_read() -> None:
    segment = dump_segment(KEY, [DONE])
    pack = dump_pack(KEY, [FAILED], [object_name(segment)])
    both = {object_name(data): parse_index(data) for data in (segment, pack)}
    assert fold_index(both) == {FAILED.datum: FAILED}


@settings(max_examples=40)
@given(objects, st.randoms(use_true_random=False))
def test_the_fold_is_the_same_in_any_order(some: list[tuple[bool, list[DatumResult]]], random: Any) -> None:
    found = stored(some)
    names = list(found)
    random.shuffle(names)
    assert fold_index({name: found[name] for name in names}) == fold_index(found)


@pytest.mark.parametrize(
    ("sizes", "count"),
    [((), 0), ((5,), 1), ((1, 2), 2), ((1, 3), 1), ((1, 2, 6), 3), ((1, 2, 7), 2), ((100, 1, 1, 900), 3), ((0, 1), 1)],
)
def test_packs_merge_while_the_newest_is_half_as_big_as_the_one_before(sizes: tuple[int, ...], count: int) -> None:
    assert choose_merge(sizes) == count


@given(st.lists(st.integers(1, 50), min_size=1, max_size=200))
def test_the_number_of_packs_stays_logarithmic_and_bytes_are_seldom_rewritten(runs: list[int]) -> None:
    packs: list[int] = []
    written = 0
    for size in runs:
        packs.insert(0, size)
        n = choose_merge(packs)
        packs[:n] = [sum(packs[:n])]
        written += packs[0]
    total = sum(runs)
    assert sum(packs) == total
    assert len(packs) <= total.bit_length() + 1
    assert written <= total * 3 * (total.bit_length() + 1)


def line(**change: Any) -> bytes:
    raw = json.loads(dump_segment(KEY, [DONE]).splitlines()[1]) | change
    return dump_segment(KEY, []) + canonical({k: v for k, v in raw.items() if v is not ...}) + b"\n"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "the end is missing"),
        (b'{"v":1,"kind":"plan"}\n', "not a segment or pack"),
        (b'{"v":9,"kind":"pack"}\n', "newer than this gitdata"),
        (
            b'{"v":1,"kind":"pack","stage_key":"%b","replaces":["../x"]}\n' % KEY.encode(),
            "neither a segment nor a pack",
        ),
        (b'{"v":1,"kind":"segment","stage_key":"x"}\n', "stage_key does not have its shape"),
        (line(datum="x"), "line 2: datum does not have its shape"),
        (line(out=...), "out is missing"),
        (line(out=[["../x", "1" * 32, None, 1, False]]), "refused path"),
        (line(out=[["x", "1" * 32, "2", 1, False]]), "no proper sha256"),
        (line(out=[["x", "1" * 32, None, 2**60 // 2**8, False], 7]), "not an array of 5"),
        (line(fetched=[["x", "4" * 64, 1]]), "line 2: fetched does not have its shape"),
        (line(log="../../x"), "log does not have its shape"),
        (line(recovered=0), "recovered is neither true nor false"),
        (line(tries=-1), "tries is not a count"),
        (line(failure={"kind": "cosmic", "message": "", "exit_code": None}), "unknown class of failure"),
        (line(failure={"kind": "user", "message": "", "exit_code": "1"}), "exit_code is not an integer"),
        (line(failure=None), "failure: not a JSON object"),
    ],
)
def test_a_hostile_object_is_refused_in_one_line(data: bytes, says: str) -> None:
    with pytest.raises(InvalidInputError, match=says) as caught:
        parse_index(data, "seg-x")
    assert caught.value.message.startswith("seg-x: ")
    assert "\n" not in caught.value.message
