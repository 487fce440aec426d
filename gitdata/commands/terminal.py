"""What commands print with: lines, tables, JSON, sizes, durations. Results go to stdout, remarks to stderr.

The one place where text goes to a terminal (the linter refuses ``print`` and ``sys.stdout`` elsewhere): a line is one
line, whatever names are in it, and what a stream's encoding lacks is spelled out.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gitdata.text import printable

__all__ = ["printable"]


def prepare_streams() -> None:
    """Make stdout and stderr take any line; called once, before anything else opens a file.

    A letter that one cannot encode (an old locale, ``PYTHONIOENCODING=ascii``) is spelled out. One that is closed is
    opened on nothing, as git does: else the next file that is opened would be it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            os.dup2(descriptor, number)  # inheritable, even where it is the same
            os.set_inheritable(number, True)
            if descriptor != number:
                os.close(descriptor)
            raw = io.FileIO(number, "r+", closefd=False)
            setattr(sys, name, io.TextIOWrapper(io.BufferedRWPair(raw, raw), encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_line(text: str = "") -> None:
    """One line of the result."""
    sys.stdout.write(printable(text) + "\n")


def print_lines(lines: Iterable[str]) -> None:
    """Several lines of the result."""
    sys.stdout.write("".join(f"{printable(line)}\n" for line in lines))


def print_now(text: str) -> None:
    """A line that is seen at once: the next may take minutes."""
    print_line(text)
    sys.stdout.flush()


def print_text(text: str) -> None:
    """A text of lines: ours, or what a command of a stage said."""
    sys.stdout.write(printable(text, keep="\n\t"))
    sys.stdout.flush()


def print_bytes(pieces: Iterable[bytes]) -> None:
    """The bytes of a file, as they are."""
    for piece in pieces:
        sys.stdout.buffer.write(piece)


def print_json(value: Any) -> None:
    """One JSON document, keys sorted: the whole of stdout under ``--json``."""
    # Deferred: costs a millisecond of each start, and most commands print none.
    import json

    # A stream of another encoding gets ASCII, which is UTF-8 too.
    ascii_alone = (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
    sys.stdout.write(json.dumps(value, sort_keys=True, indent=2, ensure_ascii=ascii_alone) + "\n")


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


def print_state(state: str, code: str, text: str) -> None:
    """A line that begins with a state in the ANSI colour ``code``, at once."""
    sys.stdout.write(f"{colour(state, code)}{printable(text)}\n")
    sys.stdout.flush()


def say(text: str) -> None:
    """A remark for a person, one line on stderr."""
    sys.stderr.write(printable(text) + "\n")


def print_entry(stamp: str, text: str) -> None:
    """An entry of a log on stderr; the further lines of a text are set in: none of them looks like an entry."""
    first, *others = text.rstrip("\n").split("\n")
    lines = [f"{stamp} {printable(first)}\n", *(f"{' ' * len(stamp)} {printable(line)}\n" for line in others)]
    sys.stderr.write("".join(lines))
    sys.stderr.flush()


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
