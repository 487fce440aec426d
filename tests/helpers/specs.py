"""A small stage spec and ways to change it, for the tests of specs."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gitdata.errors import InvalidInputError
from gitdata.formats.spec import load_pipeline, parse_specs, sources_of
from gitdata.model import Stage

BASE: dict[str, Any] = {
    "pipeline": {"name": "validate"},
    "transform": {"image": "stage-images/validate", "cmd": ["python", "validate.py"]},
    "input": {"pfs": {"repo": "images", "glob": "/*"}},
}
TREE = [
    "README.md", "images.dvc", "data/more.dvc", "rules/rule.json", "rules/.gitignore", "rules/extra.dvc", ".dvc/config",
    "stage-images/validate/Dockerfile", "stage-images/validate/validate.py", "stage-images/broken/main.py",
    "stages/v.json",
]  # fmt: skip
SOURCES = sources_of(TREE)


def spec(**change: Any) -> dict[str, Any]:
    """BASE with values changed by dotted path (``__`` for ``.``); ``...`` removes."""
    found = copy.deepcopy(BASE)
    for path, value in change.items():
        at, (*parents, last) = found, path.split("__")
        for name in parents:
            at = at.setdefault(name, {})
        if value is ...:
            del at[last]
        else:
            at[last] = value
    return found


def read(raw: Any, file: str = "stages/v.json") -> Stage:
    (stage,) = parse_specs(raw if isinstance(raw, bytes) else json.dumps(raw).encode(), file)
    return stage


def problems(raw: Any, file: str = "stages/v.json", sources: dict[str, str] | None = None) -> list[str]:
    data = raw if isinstance(raw, bytes) else json.dumps(raw).encode()
    with pytest.raises(InvalidInputError) as caught:
        load_pipeline({file: data}, SOURCES if sources is None else sources)
    lines = caught.value.message.split("\n")
    assert all(line.startswith(file) and line.isprintable() for line in lines)
    return lines
