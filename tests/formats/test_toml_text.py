"""What we write as TOML, Python's own reader reads back."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.toml_text import dump_toml

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SCALAR = st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e9, 1e9) | TEXT
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3))


@given(st.dictionaries(TEXT, st.dictionaries(TEXT, VALUE, max_size=4), max_size=3))
def test_every_value_comes_back(sections: dict[str, dict[str, Any]]) -> None:
    assert tomllib.loads(dump_toml(sections)) == sections


def test_it_looks_as_a_person_writes_it() -> None:
    text = dump_toml({"images": {"registry": "registry.example/team", "options": ("--a",), "at_once": 2}})
    assert text == '[images]\nregistry = "registry.example/team"\noptions = ["--a"]\nat_once = 2\n'


def test_what_toml_cannot_say_is_refused() -> None:
    with pytest.raises(InvalidInputError):
        dump_toml({"a": {"b": None}})
