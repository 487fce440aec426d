"""A spec file's bytes to its documents, as plain values: the first step of reading a spec.

Called by ``spec`` alone. JSON, also several documents one after the other as Pachyderm's own examples have,
or YAML. The bytes are anybody's: size and depth are capped, a key that stands twice is refused, aliases are
never followed.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from gitdata.errors import InvalidInputError
from gitdata.formats.yaml12 import load_yaml_documents

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_DOCUMENTS = 100
MAX_VALUES = 20_000
MAX_DIGITS = 100  # no field has more than 18; Python itself gives up at 4,300, in words about its own settings

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,59}")
# Between documents also a line of three dashes, as in YAML: Pachyderm's own examples have it.
_BETWEEN = re.compile(r"(?:[ \t\r\n]+|(?<![^\n])---[ \t]*(?=[\r\n]|\Z))*")


@dataclass(frozen=True, slots=True)
class _Refused:
    """What stands in a document in place of a value that is none; the walk over it says where. why: for people."""

    why: str


def read_documents(data: bytes, file: str) -> list[dict[str, Any]]:
    """The documents of a spec file, in order, at least one. Raises InvalidInputError naming the file."""
    if len(data) > MAX_BYTES:
        raise InvalidInputError(f"{file}: {len(data)} bytes are too many for a spec (limit: {MAX_BYTES})")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
    found = _json_or_yaml(text, file)
    documents = [d for d in found if d is not None]  # an empty YAML document, as after a last ---
    if not documents:
        raise InvalidInputError(f"{file}: empty; write a spec or remove the file")
    if len(documents) > MAX_DOCUMENTS:
        raise InvalidInputError(f"{file}: {len(documents)} documents are too many (limit: {MAX_DOCUMENTS})")
    for number, document in enumerate(documents, 1):
        label = f"{file}#{number}" if len(documents) > 1 else file
        if not isinstance(document, dict):
            raise InvalidInputError(f"{label}: not an object; a spec begins with pipeline, transform, input")
        _check(document, label)
    return documents


def _json_or_yaml(text: str, file: str) -> list[Any]:
    is_json = file.lower().endswith(".json")
    if not is_json and not text.lstrip().startswith("{"):
        return load_yaml_documents(text.encode(), file)
    try:
        return _json(text, file)
    except InvalidInputError:
        if is_json:
            raise
        try:
            return load_yaml_documents(text.encode(), file)
        except InvalidInputError:
            pass
        raise


def _json(text: str, file: str) -> list[Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_constant, parse_int=_integer)
    documents = []
    at = _skip(text, 0)
    try:
        while at < len(text):
            value, at = decoder.raw_decode(text, at)
            documents.append(value)
            at = _skip(text, at)
    except json.JSONDecodeError as error:
        raise InvalidInputError(f"{file}:{error.lineno}:{error.colno}: not JSON: {error.msg}") from error
    except RecursionError as error:
        raise InvalidInputError(f"{file}: nested too deeply") from error
    return documents


def _skip(text: str, at: int) -> int:
    space = _BETWEEN.match(text, at)
    return space.end() if space else at


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counted = Counter(key for key, _ in pairs)
        twice = counted.most_common(1)[0][0]
        found[twice] = _Refused(f"the key {twice[:60]!a} stands twice in one object; remove one")
    return found


def _no_constant(text: str) -> _Refused:
    return _Refused(f"{text} is not a JSON value; write a number")


def _integer(text: str) -> int | _Refused:
    return int(text) if len(text) <= MAX_DIGITS else _Refused(f"a number of {len(text)} digits; write a smaller one")


def _check(document: Any, file: str) -> None:
    """Refuse what no later step could put into a process or an id, or could only work through for seconds."""
    todo: list[tuple[Any, tuple[str | int, ...]]] = [(document, ())]
    for _ in range(MAX_VALUES):
        if not todo:
            return
        value, path = todo.pop()
        if len(path) > MAX_DEPTH:
            raise InvalidInputError(f"{file}: nested more than {MAX_DEPTH} deep")
        if isinstance(value, _Refused):
            raise InvalidInputError(f"{file}: {_where(path)}: {value.why}")
        if isinstance(value, str):
            if "\0" in value or any("\ud800" <= c <= "\udfff" for c in value):
                text = f"{value[:60]!a} holds a NUL or broken Unicode; remove it"
                raise InvalidInputError(f"{file}: {_where(path)}: {text}")
        elif isinstance(value, float) and not math.isfinite(value):
            raise InvalidInputError(f"{file}: {_where(path)}: no number, or too big for one; write a smaller one")
        elif isinstance(value, list):
            todo += [(inner, (*path, i)) for i, inner in enumerate(value)]
        elif isinstance(value, dict):
            todo += [(key, path) for key in value]
            todo += [(inner, (*path, key)) for key, inner in value.items()]
    raise InvalidInputError(f"{file}: more than {MAX_VALUES} values in one spec; split it, or move data into a file")


def _where(path: tuple[str | int, ...]) -> str:
    """The JSON path of a value, as ``spec_schema`` writes it."""
    parts = (f".{p}" if isinstance(p, str) and _PLAIN_KEY.fullmatch(p) else f"[{json.dumps(p)[:80]}]" for p in path)
    return "$" + "".join(parts)
