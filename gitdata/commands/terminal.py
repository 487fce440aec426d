"""What commands print with: tables, JSON, sizes, durations. Results go to stdout, progress and remarks to stderr."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def print_json(value: Any) -> None:
    """One JSON document, keys sorted: the whole of stdout under ``--json``."""
    sys.stdout.write(json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n")


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], colours: Mapping[str, str] | None = None) -> None:
    """Columns padded to their widest cell, two spaces apart; control characters are shown, never sent.

    colours: ANSI code by the text of a cell.
    """
    table = [list(header), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    for row in table:
        cells = [cell.ljust(w) for cell, w in zip(row, widths, strict=True)]
        cells[-1] = cells[-1].rstrip()
        painted = [colour(p, colours[c]) if colours and c in colours else p for p, c in zip(cells, row, strict=True)]
        sys.stdout.write("  ".join(painted).rstrip() + "\n")


def say(text: str) -> None:
    """A remark for a person, on stderr."""
    sys.stderr.write(printable(text) + "\n")


def printable(text: str) -> str:
    """``text`` without what could drive a terminal: names and logs come from anybody."""
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def colour(text: str, code: str, *, stream: Any = None) -> str:
    """ANSI colour ``code`` where the stream is a terminal and NO_COLOR is not set."""
    stream = stream or sys.stdout
    wanted = bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb")
    return f"\x1b[{code}m{text}\x1b[0m" if wanted and not os.environ.get("NO_COLOR") else text


def size(count: int | None) -> str:
    """Bytes as ``17 B``, ``1.2 KiB``."""
    if count is None:
        return "-"
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def duration(milliseconds: int | None) -> str:
    """Milliseconds as ``3.2s``, ``2m05s``, ``1h02m``."""
    if milliseconds is None:
        return "-"
    seconds = milliseconds / 1000
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"
