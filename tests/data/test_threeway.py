"""The three-way rule: nothing that is only older may be called changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.data.threeway import compare

OIDS = st.sampled_from(["a", "b", "c"])


@pytest.mark.parametrize(
    ("workspace", "base", "index", "state"),
    [
        ("a", "b", "a", "same"),
        ("a", None, "a", "same"),
        ("a", "a", "b", "stale"),
        (None, "a", "b", "absent"),
        (None, None, "b", "absent"),
        ("b", "a", "a", "changed"),
        ("a", "b", "c", "conflict"),
        ("a", None, "b", "conflict"),
    ],
)
def test_each_case_has_one_state(workspace: str | None, base: str | None, index: str, state: str) -> None:
    assert compare(workspace, base, index) == state


@given(OIDS, OIDS, OIDS)
def test_a_pointer_is_rewritten_only_where_git_did_not_move(workspace: str, base: str, index: str) -> None:
    if compare(workspace, base, index) == "changed":
        assert index == base != workspace
