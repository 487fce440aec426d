"""One document of a spec file against ``stage.schema.json``: the second step of reading a spec.

Called by ``spec`` alone. Field names become snake_case and quoted integers integers; what stands in the
schema as known but not honoured becomes a remark or a problem (``x-warn``, ``x-refuse``); jsonschema finds
the rest. Problems are (JSON path as the user spelled it, text with the way out). This module is the only one
that imports jsonschema, and does so when a spec is checked: it costs 135 ms, and most commands check none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import lru_cache
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]{1,18}(\.[0-9]{1,18})?")
_TYPES = {
    dict: "an object",
    list: "an array",
    str: "a text",
    bool: "true or false",
    int: "an integer",
    float: "a number",
}
_NAMES = {"object": "an object", "array": "an array", "string": "a text", "boolean": "true or false",
          "integer": "an integer", "number": "a number"}  # fmt: skip

Path = tuple[str | int, ...]

MAX_PROBLEMS = 50  # of one kind, of one document: nobody reads more, and a file may be made of mistakes


@lru_cache(maxsize=1)
def schema() -> dict[str, Any]:
    """The schema of a stage, as it is installed."""
    found: dict[str, Any] = json.loads(files("gitdata.formats").joinpath("stage.schema.json").read_text("utf-8"))
    return found


@lru_cache(maxsize=1)
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


class Document:
    """One document: ``value`` with every field under its own name, ``problems`` and ``warnings`` as (JSON
    path, text).
    """

    def __init__(self, raw: dict[str, Any]) -> None:
        self.problems: list[tuple[str, str]] = []
        self.warnings: list[tuple[str, str]] = []
        self._spelled: dict[Path, str] = {}
        self.value: dict[str, Any] = self._respell(raw, schema(), ())
        for error in islice(_validator().iter_errors(self.value), MAX_PROBLEMS):
            self._explain(error)
        self.problems = list(dict.fromkeys(self.problems))

    def where(self, path: Iterable[str | int]) -> str:
        """The JSON path of a value, with the field names as they are spelled in the file."""
        text = "$"
        done: Path = ()
        for part in path:
            done = (*done, part)
            if isinstance(part, int):
                text += f"[{part}]"
            else:
                name = self._spelled.get(done, part)
                text += f".{name}" if _PLAIN_KEY.fullmatch(name) else f"[{show(name)}]"
        return text

    def problem(self, path: Iterable[str | int], text: str) -> None:
        self.problems.append((self.where(path), text))

    def _respell(self, value: Any, node: dict[str, Any], path: Path) -> Any:
        node = _resolve(node)
        if isinstance(value, dict) and "properties" in node:
            return self._respell_object(value, node["properties"], path)
        if isinstance(value, list) and "items" in node:
            return [self._respell(inner, node["items"], (*path, i)) for i, inner in enumerate(value)]
        if isinstance(value, str) and node.get("type") == "integer" and _INTEGER.fullmatch(value):
            return int(value)
        if isinstance(value, str) and node.get("type") == "number" and _NUMBER.fullmatch(value):
            return float(value)
        return value

    def _respell_object(self, value: dict[str, Any], fields: dict[str, Any], path: Path) -> dict[str, Any]:
        names = _spellings(tuple(fields))
        found: dict[str, Any] = {}
        for key, inner in value.items():
            name = names.get(key, key)
            here = (*path, name)
            if name in found:
                self.problem(here, f"stands twice, also as {show(key)}; remove one")
                continue
            self._spelled[here] = key
            if name not in fields:
                found[name] = inner
            elif inner is not None:  # null means absent, as in Pachyderm
                node = _resolve(fields[name])
                if "x-refuse" in node and inner not in (False, 0, ""):
                    self.problem(here, node["x-refuse"])
                if "x-warn" in node and inner not in (False, 0, "", [], {}):
                    self.warnings.append((self.where(here), node["x-warn"]))
                found[name] = self._respell(inner, fields[name], here)
        return found

    def _explain(self, error: ValidationError) -> None:
        """One line for each thing that one violated rule of the schema means."""
        path: Path = tuple(error.absolute_path)
        wanted: Any = error.validator_value
        value: Any = error.instance
        rule = str(error.validator)
        node = error.schema if isinstance(error.schema, dict) else {}
        fix = str(node.get("x-fix", ""))
        if rule == "additionalProperties" and isinstance(value, dict):
            fields = tuple(node.get("properties", ()))
            for name in islice((name for name in value if name not in fields), MAX_PROBLEMS):
                self.problem((*path, name), "unknown field; " + _suggest(name, fields))
        elif rule == "required" and isinstance(value, dict):
            for name in wanted:
                if name not in value:
                    fix = str(_resolve(node["properties"][name]).get("x-fix", "add it"))
                    self.problem((*path, name), f"is missing; {fix}")
        elif rule == "type":
            self.problem(path, _wrong_type(value, wanted, fix))
        elif rule in ("minProperties", "maxProperties"):
            self.problem(path, f"has {len(value)} fields{': ' if value else ''}{', '.join(value)}; {fix}")
        else:
            said = _RULES[rule].format(show(wanted)) if rule in _RULES else f"breaks the rule {rule}"
            self.problem(path, f"{show(value)} {said}; {fix or 'change it'}")


_RULES = {
    "pattern": "does not have its form",
    "enum": "is none of {0}",
    "minimum": "is less than {0}",
    "maximum": "is more than {0}",
    "minLength": "is empty",
    "maxLength": "is longer than {0}",
    "minItems": "is empty",
    "maxItems": "has more than {0} items",
}


def _resolve(node: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref")
    found: dict[str, Any] = schema()["$defs"][reference.rpartition("/")[2]] if reference else node
    return found


@lru_cache(maxsize=64)
def _spellings(fields: tuple[str, ...]) -> dict[str, str]:
    """Every spelling of the fields: snake_case and lowerCamelCase."""
    camel = {re.sub(r"_([a-z0-9])", lambda m: m.group(1).upper(), name): name for name in fields}
    return camel | {name: name for name in fields}


def _suggest(name: str, fields: Sequence[str]) -> str:
    near = get_close_matches(name[:60], [*fields, *_spellings(tuple(fields))], n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "remove it"


def _wrong_type(value: Any, wanted: Any, fix: str) -> str:
    kinds = [wanted] if isinstance(wanted, str) else list(wanted)
    if "string" in kinds and not fix and isinstance(value, bool | int | float):
        fix = f'quote it: "{json.dumps(value)}"'
    must = " or ".join(_NAMES.get(kind, kind) for kind in kinds)
    return f"is {_TYPES.get(type(value), 'null')}, must be {must}" + (f"; {fix}" if fix else "; change it")


def show(value: Any) -> str:
    """A value for a message: one line, short, nothing that drives a terminal."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else text[:77] + "…"
