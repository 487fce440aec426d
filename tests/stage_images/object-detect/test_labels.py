"""Label maps in every shape that protobuf's text format allows; everything else is refused."""

from __future__ import annotations

import contextlib
import importlib.util
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.stages import CAMERAS, IMAGES


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("labels", IMAGES / "object-detect" / "labels.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LABELS = load()


def test_the_shipped_map() -> None:
    text = (CAMERAS / "model" / "label_map.pbtxt").read_text()
    assert LABELS.parse_label_map(text) == {1: "person", 2: "car", 3: "dog"}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", {}),
        ("# nothing but a comment", {}),
        ('item { name: "/m/01g317" id: 1 display_name: "person" }', {1: "person"}),
        ("item: <id: 2, name: 'it\\'s'; >", {2: "it's"}),
        ('item { id: 3 # the third\n name: "a" "b" }', {3: "ab"}),
        ('item { id: 4 name: "caf\\303\\251" }', {4: "café"}),
        ('item { id: 5 name: "café" keypoints { id: 1 label: "nose" } tags: [1, 2] }', {5: "café"}),
        ('item { display_name: "} item {" id: 6 }', {6: "} item {"}),
        ('item{id:7 name:"x"}item{id:8 name:"y"}', {7: "x", 8: "y"}),
    ],
)
def test_maps(text: str, names: dict[int, str]) -> None:
    assert LABELS.parse_label_map(text) == names


@pytest.mark.parametrize(
    "text",
    [
        "person",
        "item",
        "item {",
        "item }",
        "item { id: 1 }",
        'item { name: "x" }',
        'item { id: "" name: "x" }',
        'item { id: 1.5 name: "x" }',
        'item { id: 1 name: "x }',
        "item { id: 1 name: }",
        'item { id: 1 name: "x" } }',
        'item { id: 1 name: "x" tags: [1 }',
        '{"id": 1, "name": "x"}',
        "item { id: 1 name: \x00 }",
    ],
)
def test_what_is_no_map(text: str) -> None:
    with pytest.raises(LABELS.LabelMapError):
        LABELS.parse_label_map(text)


def quoted(text: str) -> str:
    return (
        '"' + "".join(f"\\{byte:03o}" if byte in b'"\\\n' or byte > 126 else chr(byte) for byte in text.encode()) + '"'
    )


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 10**6), st.text(min_size=1)))
def test_what_is_written_is_read(names: dict[int, str]) -> None:
    items = [f"item {{ id: {number}\n name: {quoted(name)} }}\n" for number, name in names.items()]
    assert LABELS.parse_label_map("".join(items)) == names


@settings(deadline=None)
@given(st.text(alphabet='item{}<>[]:;,"\\ \n#a1'))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(LABELS.LabelMapError):
        LABELS.parse_label_map(text)
