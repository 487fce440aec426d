"""Reading canonical JSON lines that anybody may have written: every field is asked for by name and type.

Used by the readers of plans and of the datum index. A ``Fields`` wraps one JSON object and raises
InvalidInputError naming the object and the line; it never guesses and never coerces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import Any

from gitdata.errors import InvalidInputError
from gitdata.formats.dvcdir import check_relpath
from gitdata.model import Entry

SHA256 = re.compile(r"[0-9a-f]{64}")
MD5 = re.compile(r"[0-9a-f]{32}")
OID = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
MAX_BYTES = 1 << 30
MAX_TEXT = 1 << 20

_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_decode = json.JSONDecoder().raw_decode


def join_lines(objects: Iterable[dict[str, Any]]) -> bytes:
    """Objects as canonical JSON lines (their writers put no floats in them)."""
    return "".join(_encode(o) + "\n" for o in objects).encode()


class Fields:
    """One JSON object read strictly. where: names it in messages."""

    __slots__ = ("_raw", "_where")

    def __init__(self, raw: Any, where: str) -> None:
        if not isinstance(raw, dict):
            raise InvalidInputError(f"{where}: not a JSON object")
        self._raw = raw
        self._where = where

    def bad(self, what: str) -> InvalidInputError:
        return InvalidInputError(f"{self._where}: {what}")

    def has(self, key: str) -> bool:
        return key in self._raw

    def value(self, key: str) -> Any:
        if key not in self._raw:
            raise self.bad(f"{key} is missing")
        return self._raw[key]

    def text(self, key: str, shape: re.Pattern[str] | None = None, *, empty: bool = False) -> str:
        return self.check_text(key, self.value(key), shape, empty=empty)

    def check_text(self, key: str, value: Any, shape: re.Pattern[str] | None, *, empty: bool = False) -> str:
        if not isinstance(value, str) or len(value) > MAX_TEXT:
            raise self.bad(f"{key} is not a text")
        if shape is not None and not (empty and value == "") and not shape.fullmatch(value):
            raise self.bad(f"{key} does not have its shape")
        return value

    def number(self, key: str) -> int:
        """An integer that is not negative."""
        return self.check_number(key, self.value(key))

    def check_number(self, key: str, value: Any) -> int:
        if type(value) is not int or not 0 <= value < 1 << 53:
            raise self.bad(f"{key} is not a count")
        return value

    def flag(self, key: str) -> bool:
        value = self.value(key)
        if not isinstance(value, bool):
            raise self.bad(f"{key} is neither true nor false")
        return value

    def array(self, key: str) -> list[Any]:
        value = self.value(key)
        if not isinstance(value, list):
            raise self.bad(f"{key} is not an array")
        return value

    def rows(self, key: str, width: int) -> Iterator[list[Any]]:
        """The items of an array of arrays of ``width`` values."""
        for row in self.array(key):
            if not isinstance(row, list) or len(row) != width:
                raise self.bad(f"{key} has an item that is not an array of {width}")
            yield row

    def texts(self, key: str) -> tuple[str, ...]:
        return tuple(self.check_text(key, value, None) for value in self.array(key))

    def pairs(self, key: str) -> tuple[tuple[str, str], ...]:
        return tuple((self.check_text(key, a, None), self.check_text(key, b, None)) for a, b in self.rows(key, 2))

    def object(self, key: str) -> Fields:
        return Fields(self.value(key), f"{self._where}: {key}")

    def objects(self, key: str) -> Iterator[Fields]:
        for i, raw in enumerate(self.array(key)):
            yield Fields(raw, f"{self._where}: {key}[{i}]")

    def entry(self, key: str, path: Any, oid: Any, size: Any, exec: Any, sha256: Any = None) -> Entry:
        """A checked ``Entry``: its path passes the same gate as those of a directory listing."""
        if not isinstance(path, str):
            raise self.bad(f"{key} has a path that is not a text")
        try:
            check_relpath(path)
        except InvalidInputError as error:
            raise self.bad(f"{key}: {error.message}") from error
        if not isinstance(oid, str) or not MD5.fullmatch(oid):
            raise self.bad(f"{key}: {path!r:.100} has no md5")
        if sha256 is not None and not (isinstance(sha256, str) and SHA256.fullmatch(sha256)):
            raise self.bad(f"{key}: {path!r:.100} has no proper sha256")
        if not isinstance(exec, bool):
            raise self.bad(f"{key}: {path!r:.100} is neither executable nor not")
        return Entry(path, oid, None if size is None else self.check_number(key, size), exec, sha256)


def split_lines(data: bytes, name: str) -> Iterator[Any]:
    """The JSON value of each line of an object, at least one; read as they are asked for, because together they take
    several times the bytes. Raises InvalidInputError naming object and line.
    """
    if len(data) > MAX_BYTES:
        raise InvalidInputError(f"{name}: {len(data)} bytes are more than gitdata reads ({MAX_BYTES})")
    if not data.endswith(b"\n"):
        raise InvalidInputError(f"{name}: the end is missing")
    for number, line in enumerate(BytesIO(data), 1):
        try:
            text = line.decode()
            value, end = _decode(text)
            if end != len(text) - 1:
                raise ValueError("more than one value")
        except (ValueError, RecursionError) as error:
            raise InvalidInputError(f"{name}: line {number} is not JSON") from error
        yield value


def header(values: Iterator[Any], name: str, kinds: tuple[str, ...]) -> Fields:
    """The first line, after its version and kind have been checked."""
    fields = Fields(next(values), f"{name}: line 1")
    version = fields.number("v")
    if version != 1:
        raise InvalidInputError(f"{name}: version {version} is newer than this gitdata", hint="upgrade gitdata")
    if fields.text("kind") not in kinds:
        raise fields.bad(f"not a {' or '.join(kinds)}")
    return fields
