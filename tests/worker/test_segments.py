"""When results reach the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.backends.stores import open_store
from gitdata.errors import GitdataError
from gitdata.formats.index import parse_index
from gitdata.formats.keys import datum_prefix
from gitdata.identity import sha256
from gitdata.model import DatumResult
from gitdata.worker.segments import MAX_RESULTS, Segments

KEY = sha256(b"stage")


def result(number: int) -> DatumResult:
    return DatumResult(sha256(str(number).encode()), job="job-1")


def test_results_are_written_by_number_by_time_and_at_the_end(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    segments = Segments(store, "main", KEY, flush_seconds=3600)

    def written() -> list[int]:
        found = (store.read(info.key) for info in store.list(datum_prefix("main", KEY)))
        return sorted(len(parse_index(data).results) for data in found)

    for number in range(MAX_RESULTS - 1):
        segments.add(result(number))
    assert written() == []
    segments.add(result(MAX_RESULTS))
    assert written() == [MAX_RESULTS]
    segments.add(result(MAX_RESULTS + 1))
    segments.flush_if_due()
    assert written() == [MAX_RESULTS]
    segments.flush()
    segments.flush()
    assert written() == [1, MAX_RESULTS]
    impatient = Segments(store, "main", KEY, flush_seconds=0)
    impatient.add(result(-1))
    assert written() == [1, 1, MAX_RESULTS]


def test_a_flush_that_fails_loses_nothing(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.write_text("no folder")
    store = open_store(str(root))
    segments = Segments(store, "main", KEY, flush_seconds=3600)
    segments.add(result(1))
    with pytest.raises((GitdataError, OSError)):
        segments.flush()
    root.unlink()
    segments.flush()
    assert len(list(store.list(datum_prefix("main", KEY)))) == 1
