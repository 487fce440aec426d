"""YAML as people and DVC write it: the 1.2 core schema, read strictly from untrusted bytes.

PyYAML alone follows YAML 1.1, where ``yes`` is a boolean and ``12:30:45`` a number; DVC writes both unquoted. Called by
the pointer reader for what its quick path does not know. It must never resolve an alias or a tag (a small file could
become a huge value), and never let a second key of the same name win silently.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from gitdata.errors import InvalidInputError

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_DOCUMENTS = 1000
MAX_DIGITS = 100


class _Loader(yaml.CSafeLoader):
    """libyaml with the resolvers of the core schema; keys are strings and unique."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} is not text", key_node.start_mark)
        if key in found:
            raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", key_node.start_mark)
        found[key] = loader.construct_object(value_node, deep=True)
    return found


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value
    if len(text) > MAX_DIGITS:
        problem = f"a number of {len(text)} digits; write a smaller one"
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
    if text.startswith(("0o", "0x")):
        return int(text, 8 if text[1] == "o" else 16)
    return int(text)


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


def load_yaml(data: bytes, name: str, *, max_bytes: int = MAX_BYTES) -> Any:
    """The value of a single YAML document. Raises InvalidInputError naming the file and the line."""
    return _load(data, name, max_bytes, most=1)[0]


def load_yaml_documents(data: bytes, name: str, *, max_bytes: int = MAX_BYTES) -> list[Any]:
    """The values of all documents of a YAML file, in order. Raises as ``load_yaml`` does."""
    return _load(data, name, max_bytes, most=MAX_DOCUMENTS)


def _load(data: bytes, name: str, max_bytes: int, most: int) -> list[Any]:
    if len(data) > max_bytes:
        raise InvalidInputError(f"{name}: {len(data)} bytes are too many (limit: {max_bytes})")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name}: not UTF-8 (byte {error.start})", hint="save it as UTF-8") from error
    try:
        _check_events(data, name, most)
        return list(yaml.load_all(data, Loader=_Loader)) or [None]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise InvalidInputError(f"{where}: not valid YAML: {error.problem}") from error
    except yaml.reader.ReaderError as error:
        raise InvalidInputError(f"{name}: not valid YAML: a control character at byte {error.position}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name}: not valid YAML") from error


def _check_events(data: bytes, name: str, most: int) -> None:
    """Refuse what is dangerous to build before anything is built."""
    depth = documents = 0
    for event in yaml.parse(data, Loader=yaml.CSafeLoader):
        where = f"{name}:{event.start_mark.line + 1}" if event.start_mark else name
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise InvalidInputError(f"{where}: anchors and aliases are not accepted", hint="write the value out")
        if getattr(event, "tag", None) is not None:
            raise InvalidInputError(f"{where}: tags (!…) are not accepted", hint="remove the tag")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.DocumentStartEvent):
            documents += 1
        if depth > MAX_DEPTH or documents > most:
            raise InvalidInputError(f"{where}: {'too many documents' if documents > most else 'nested too deeply'}")
