"""Keys of the remote: the table of ``docs/formats.md`` section 2, and that nothing else ever becomes a key."""

from __future__ import annotations

import pytest

from gitdata.errors import InvalidInputError
from gitdata.formats import keys

A, B = "a" * 64, "b" * 64


def test_keys_are_those_of_the_format() -> None:
    assert keys.datum_prefix("main", A) == f"gitdata/v1/main/datums/{A}/"
    assert keys.index_key("main", A, f"seg-{B}") == f"gitdata/v1/main/datums/{A}/seg-{B}"
    assert keys.plan_key("local/ann", A) == f"gitdata/v1/local/ann/plans/{A}"
    assert keys.runs_prefix("main") == "gitdata/v1/main/runs/"
    assert keys.runs_prefix("main", A) == f"gitdata/v1/main/runs/{A}/"
    assert keys.run_record_key("main", A, B) == f"gitdata/v1/main/runs/{A}/{B}"
    assert keys.log_key("main", A) == f"gitdata/v1/main/logs/{A}"
    assert keys.context_key("main", A) == f"gitdata/v1/main/contexts/{A}"
    assert keys.live_key("main", "validate-0123456789-1") == "gitdata/v1/main/live/validate-0123456789-1"


def test_listed_keys_give_their_names_back() -> None:
    assert keys.index_name(keys.index_key("main", A, f"pack-{B}")) == f"pack-{B}"
    assert keys.run_record_name(keys.run_record_key("local/x", A, B)) == (A, B)


@pytest.mark.parametrize(
    "key", ["", "x", f"gitdata/v1/main/datums/{A}/seg-x", f"{A}/{B}x", f"{A}/seg-{B}/", f"{A}x/{B}"]
)
def test_keys_without_their_shape_are_ignored(key: str) -> None:
    assert keys.index_name(key) is None
    assert keys.run_record_name(key) is None


@pytest.mark.parametrize(
    "zone", ["", "other", "local", "local/", "local/..", "local/a/b", "main/", "local/-x", "main\n"]
)
def test_only_trust_zones_are_zones(zone: str) -> None:
    with pytest.raises(InvalidInputError, match="zone"):
        keys.plan_key(zone, A)


@pytest.mark.parametrize("name", ["", "../" + A, A.upper(), A[:-1], A + "\n", "seg-" + A])
def test_only_digests_are_digests(name: str) -> None:
    for make in (keys.plan_key, keys.log_key, keys.context_key, keys.datum_prefix, keys.runs_prefix):
        with pytest.raises(InvalidInputError):
            make("main", name)


@pytest.mark.parametrize("job", ["", "../x", "-x", "A", "x" * 101])
def test_only_job_names_are_job_names(job: str) -> None:
    with pytest.raises(InvalidInputError):
        keys.live_key("main", job)


@pytest.mark.parametrize("name", [B, f"segment-{B}", f"seg-{B}/..", ""])
def test_only_segments_and_packs_are_in_the_index(name: str) -> None:
    with pytest.raises(InvalidInputError):
        keys.index_key("main", A, name)
