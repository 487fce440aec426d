"""Objects -> the YAML that ``kubectl apply -f -`` takes. Pure.

Called by ``deploy --dry-run``. kubectl reads YAML 1.1 and takes ``1e3`` for a number where PyYAML does not: every text
that is not plainly a word is quoted.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(?::[A-Za-z0-9_./-]+)*")
_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


class _Dumper(yaml.SafeDumper):
    """Block style, no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        return super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = '"'
    if "\n" in value and value.isascii() and not re.search(r"[^\n -~]|[ ]\n", value):
        style = "|"
    elif _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        style = ""
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style or None)


_Dumper.add_representer(str, _text)


def dump_manifests(objects: Iterable[Mapping[str, Any]]) -> str:
    """A stream of documents, in this order."""
    documents = [yaml.dump(dict(o), Dumper=_Dumper, sort_keys=False, width=10**6, allow_unicode=True) for o in objects]
    return "".join(f"---\n{text}" for text in documents)
