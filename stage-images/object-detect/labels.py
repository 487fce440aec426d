"""Label maps: the names of a graph's classes, in protobuf's text format as TensorFlow's detection models ship them.

main.py reads one. Only what such files hold is understood (items of strings and numbers, comments), anything else is
an error: a map that is half read would give objects a wrong name.
"""

from __future__ import annotations

import re

TOKEN = re.compile(
    r"""\s*(?:\#[^\n]*\s*)*(?:(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<number>[-+]?[0-9][0-9.eE+-]*)
        |"(?P<double>(?:[^"\\\n]|\\.)*)"|'(?P<single>(?:[^'\\\n]|\\.)*)'|(?P<sign>[{}:;,<>\[\]])|(?P<end>\Z))""",
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))")
NAMED = {"n": "\n", "t": "\t", "r": "\r"}
OPEN, CLOSE = {"{": "}", "<": ">", "[": "]"}, {"}", ">", "]"}


class LabelMapError(Exception):
    """The text is no label map."""


def tokens(text: str) -> list[tuple[str, str]]:
    """(kind, value): word, number, string, sign; the last is end."""
    found, at = [], 0
    while True:
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise LabelMapError(f"line {text.count(chr(10), 0, at) + 1}: cannot be read")
        kind, at = match.lastgroup, match.end()
        value = match[kind]
        found.append(("string", unescape(value)) if kind in ("double", "single") else (kind, value))
        if kind == "end":
            return found


def unescape(text: str) -> str:
    def one(match: re.Match[str]) -> str:
        octal, hexadecimal, letter = match.groups()
        if octal or hexadecimal:
            return chr(int(octal, 8) if octal else int(hexadecimal, 16))
        return NAMED.get(letter, letter)

    plain = ESCAPE.sub(one, text)
    if plain == text:
        return text
    try:  # protobuf escapes the bytes of UTF-8
        return plain.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return plain


def skip_value(stream: list[tuple[str, str]], at: int) -> int:
    """The place after the value at `at`: one token, or everything up to the bracket that closes it."""
    kind, value = stream[at]
    if kind == "end" or (kind == "sign" and value in CLOSE):
        raise LabelMapError("a field without a value")
    if kind != "sign":
        return at + 1
    waiting = [OPEN.get(value, "")]
    while waiting:
        at += 1
        kind, value = stream[at]
        if kind == "end":
            raise LabelMapError("the file ends within an item")
        if kind == "sign" and value in OPEN:
            waiting.append(OPEN[value])
        elif kind == "sign" and value in CLOSE and waiting.pop() != value:
            raise LabelMapError(f"a {value} that closes nothing")
    return at + 1


def parse_item(stream: list[tuple[str, str]], at: int) -> tuple[dict[str, str], int]:
    """The fields of the item whose bracket is at `at`, and the place after it."""
    end, fields = OPEN[stream[at][1]], {}
    at += 1
    while stream[at] != ("sign", end):
        kind, name = stream[at]
        if kind == "sign" and name in ";,":
            at += 1
            continue
        if kind != "word":
            raise LabelMapError(f"a field's name is expected, not {name!r}" if name else "the file ends within an item")
        at += 1
        if stream[at] == ("sign", ":"):
            at += 1
        after = skip_value(stream, at)
        if after == at + 1:
            fields[name] = stream[at][1]
            while stream[after][0] == "string" and stream[at][0] == "string":  # "a" "b" is "ab"
                fields[name] += stream[after][1]
                after += 1
        at = after
    return fields, at + 1


def parse_label_map(text: str) -> dict[int, str]:
    """Class id -> name: the display name, as it is the one for people, else the name."""
    stream, at, names = tokens(text), 0, {}
    while stream[at][0] != "end":
        if stream[at] != ("word", "item"):
            raise LabelMapError(f"an item is expected, not {stream[at][1]!r}")
        at += 2 if stream[at + 1] == ("sign", ":") else 1
        if stream[at] not in (("sign", "{"), ("sign", "<")):
            raise LabelMapError("an item without { }")
        fields, at = parse_item(stream, at)
        name = fields.get("display_name") or fields.get("name")
        if not name or not fields.get("id", "").isdecimal():
            raise LabelMapError("an item without an id or a name")
        names[int(fields["id"])] = name
    return names
