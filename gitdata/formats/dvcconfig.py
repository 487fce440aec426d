"""The text of DVC's configuration files: sections of ``key = value``, read as DVC reads them and changed line by line.

Called by the repository (reading) and by ``init`` (adding a remote). Pure. It never rewrites a line that it does not
change: `dvc config` drops every comment, and empties the file where a value is not ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gitdata.errors import InvalidInputError

Config: TypeAlias = dict[str, dict[str, str]]
"""section -> key -> value; both in lower case, the section of a remote is ``remote.<name>``."""

_SECTION = re.compile(r"\s*\[\s*(?P<name>'[^']*'|\"[^\"]*\"|[^\[\]'\"][^\[\]]*)\s*\]\s*(?:#.*)?")
_REMOTE = re.compile(r"remote\s*\"(?P<name>[^\"]+)\"|remote\.(?P<plain>.+)")
_OPTION = re.compile(r"\s*(?P<key>'[^']*'|\"[^\"]*\"|[^'\"=#\[\s][^=]*?)\s*=\s*(?P<value>.*?)\s*")
_QUOTED = re.compile(r"(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)')\s*(?:#.*)?")


@dataclass(frozen=True, slots=True)
class RemoteConfig:
    """One remote. url: absolute (the repository resolves relative ones). options: DVC's other keys of it."""

    name: str
    url: str
    options: Mapping[str, str] = field(default_factory=dict)


def parse_config(text: str, name: str) -> Config:
    """The settings of one file. Raises InvalidInputError naming file and line."""
    config: Config = {}
    section: dict[str, str] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        header, option = _SECTION.fullmatch(line), _OPTION.fullmatch(line)
        if header:
            section = config.setdefault(_section_name(header["name"]), {})
        elif option and section is not None:
            value = _value(option["value"])
            if value is None:
                raise InvalidInputError(f"{name}:{number}: the quotes of this value are not closed")
            section[option["key"].strip("'\"").strip().lower()] = value
        else:
            raise InvalidInputError(f"{name}:{number}: neither [section] nor key = value: {line.strip()[:80]!r}")
    return config


def _section_name(text: str) -> str:
    plain = text[1:-1] if text[0] in "'\"" else text
    remote = _REMOTE.fullmatch(plain.strip())
    return (f"remote.{remote['name'] or remote['plain']}" if remote else plain.strip()).lower()


def _value(text: str) -> str | None:
    if text.startswith(("'", '"')):
        quoted = _QUOTED.fullmatch(text)
        return None if quoted is None else quoted["double"] if quoted["double"] is not None else quoted["single"]
    return text.split("#", 1)[0].rstrip()


def merge(*configs: Config) -> Config:
    """One configuration of several, key by key; later ones win."""
    merged: Config = {}
    for config in configs:
        for section, options in config.items():
            merged.setdefault(section, {}).update(options)
    return merged


def remotes(config: Config) -> dict[str, RemoteConfig]:
    """The remotes that have a URL."""
    found = {}
    for section, options in config.items():
        kind, _, name = section.partition(".")
        if kind == "remote" and name and options.get("url"):
            rest = {key: value for key, value in options.items() if key != "url"}
            found[name] = RemoteConfig(name, options["url"], rest)
    return found


def set_option(text: str, section: str, key: str, value: str) -> str:
    """``text`` with one option set; all other lines stay. ``section``: ``core``, ``cache``, ``remote.<name>``, …"""
    if not value.isascii() or not section.isascii() or not value.isprintable() or not section.isprintable():
        raise InvalidInputError(f"{section}.{key}: only printable ASCII can be kept in DVC's configuration: {value!r}")
    if '"' in section or "'" in section or "]" in section:
        raise InvalidInputError(f"{section!r} cannot be the name of a section", hint="use letters, digits, - and _")
    lines = text.splitlines()
    new = f"    {key} = {_quoted(value)}"
    end = _section_end(lines, section.lower())
    if end is None:
        kind, _, name = section.partition(".")
        lines += [f"['remote \"{name}\"']" if kind == "remote" else f"[{section}]", new]
        return "\n".join(lines) + "\n"
    start, stop = end
    for at in range(start, stop):
        option = _OPTION.fullmatch(lines[at])
        if option and not lines[at].lstrip().startswith("#") and option["key"].strip("'\"").lower() == key:
            lines[at] = new
            break
    else:
        lines.insert(stop, new)
    return "\n".join(lines) + "\n"


def _section_end(lines: list[str], section: str) -> tuple[int, int] | None:
    """The first line inside the section and the line after its last option."""
    start = stop = None
    for at, line in enumerate(lines):
        header = _SECTION.fullmatch(line)
        if header and start is not None:
            break
        if header and _section_name(header["name"]) == section:
            start = stop = at + 1
        elif start is not None and line.strip():
            stop = at + 1
    return None if start is None or stop is None else (start, stop)


def _quoted(value: str) -> str:
    if value and value == value.strip() and not value.startswith(("'", '"')) and not set(value) & set(",#"):
        return value
    if '"' not in value:
        return f'"{value}"'
    if "'" not in value:
        return f"'{value}'"
    raise InvalidInputError(f"a value with both kinds of quotes cannot be kept: {value!r}")


def set_remote(text: str, name: str, url: str, options: Mapping[str, str] | None = None, *, default: bool) -> str:
    """``text`` with the remote added or changed, and made the default if asked."""
    if default:
        text = set_option(text, "core", "remote", name)
    for key, value in {"url": url, **(options or {})}.items():
        text = set_option(text, f"remote.{name}", key, value)
    return text
