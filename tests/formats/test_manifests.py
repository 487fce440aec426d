"""Objects as YAML, read back by our strict reader of YAML 1.2 and by PyYAML's of 1.1: both must see the same."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitdata.formats.manifests import dump_manifests
from gitdata.formats.yaml12 import load_yaml_documents

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=30)


@given(st.lists(st.dictionaries(TEXT.filter(bool), TEXT | st.integers(0, 9) | st.booleans(), min_size=1), min_size=1))
def test_every_reader_sees_the_same(objects: list[dict[str, Any]]) -> None:
    text = dump_manifests(objects)
    assert list(yaml.safe_load_all(text)) == objects
    assert load_yaml_documents(text.encode(), "t") == objects


@pytest.mark.parametrize(
    "value", ["1e3", "0x10", "yes", "NO", "on", "~", "1_000", "12:30", "", "- a", "1.5", "=", "<<"]
)
def test_a_text_that_some_reader_takes_for_something_else_is_quoted(value: str) -> None:
    assert dump_manifests([{"a": value}]) == f'---\na: "{value}"\n'


def test_what_has_lines_is_a_block() -> None:
    assert dump_manifests([{"a": "[b]\nc = 1\n"}]) == "---\na: |\n  [b]\n  c = 1\n"
