"""Values -> TOML text: what Python's own tomllib does not do. Pure; the inverse of ``tomllib.loads``.

Called by executors.kubernetes_deploy, which gives the controller in a cluster its configuration.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from gitdata.errors import InvalidInputError

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def dump_toml(sections: Mapping[str, Mapping[str, Any]]) -> str:
    """A file of sections, each with values, lists, and tables of one line."""
    parts = []
    for name, section in sections.items():
        lines = [f"[{_key(name)}]", *(f"{_key(key)} = {_value(value)}" for key, value in section.items())]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _key(text: str) -> str:
    return text if _BARE.fullmatch(text) else _string(text)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{_key(k)} = {_value(v)}' for k, v in value.items())} }}" if value else "{}"
    raise InvalidInputError(f"{value!r} cannot be written as TOML")


def _string(text: str) -> str:
    """JSON's escapes are TOML's too, but for one character; what lies beyond them is written as it is."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
