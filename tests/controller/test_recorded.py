"""Reading back what was recorded: what counts for planning, and what people see of earlier attempts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gitdata.backends.stores import open_store
from gitdata.bounded import Bounded
from gitdata.controller.jobs import job_results
from gitdata.controller.recorded import many, read_index, read_records
from gitdata.formats.index import IndexObject, dump_pack, dump_segment, object_name
from gitdata.formats.keys import index_key, run_record_key
from gitdata.formats.records import RunRecord, dump_record
from gitdata.identity import sha256
from gitdata.model import DatumResult, Failure

KEY = "1" * 64
RECORD = RunRecord("started", KEY, KEY, 1, "j-1", "s", "c" * 40, "main", 0)
FAILED = DatumResult("2" * 64, failure=Failure("user", "broken", 1), job="j-1", log="3" * 64)


def test_many_keeps_the_order() -> None:
    assert many(lambda n: n * 2, range(50)) == [n * 2 for n in range(50)]
    assert many(str, []) == []


def test_an_earlier_attempt_keeps_its_failures_after_a_later_one_replaced_them(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    segment = dump_segment(KEY, [FAILED])
    again = replace(FAILED, failure=None, job="j-2", log="")
    pack = dump_pack(KEY, [again], [object_name(segment)])
    for data in (segment, pack):
        store.write(index_key("main", KEY, object_name(data)), data)
    assert job_results(store, "main", KEY, "j-1") == {FAILED.datum: FAILED}
    assert job_results(store, "main", KEY, "j-2") == {FAILED.datum: again}


def test_an_index_that_was_read_is_not_read_again(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    data = dump_segment(KEY, [FAILED])
    key = index_key("main", KEY, object_name(data))
    store.write(key, data)
    known: dict[str, IndexObject] = {}
    first = read_index(store, ["main"], KEY, known)
    (tmp_path / key).chmod(0o644)
    (tmp_path / key).write_bytes(b"")
    assert read_index(store, ["main"], KEY, known) == first


def test_a_cache_that_is_too_small_for_a_run_loses_nothing_of_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    for n in range(3):
        segment = dump_segment(KEY, [replace(FAILED, datum=str(n) * 64)])
        store.write(index_key("main", KEY, object_name(segment)), segment)
        record = dump_record(replace(RECORD, time=n))
        store.write(run_record_key("main", KEY, sha256(record)), record)
    index: Bounded[str, IndexObject] = Bounded(1)
    records: Bounded[str, RunRecord] = Bounded(1)
    for _ in range(2):
        assert len(read_index(store, ["main"], KEY, index)) == 3
        assert len(read_records(store, ["main"], KEY, records)) == 3
        assert (len(index), len(records)) == (1, 1)
