"""Names and foreign words in what a person reads: shown whole, on one line, and never able to drive a terminal.

Called wherever a message is made or printed. Names come from anybody: one with a newline must not look like a line of
ours, one with an escape sequence or a bidi override must not change how the rest is shown.
"""

from __future__ import annotations

import shlex


def printable(text: str, keep: str = "") -> str:
    """``text`` with control and format characters spelled out: ``\\n``, ``\\x1b``, ``\\u202e``; those of ``keep`` stay.

    Bytes of a name that are not UTF-8 are shown as they are on the disk: ``\\xff``.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else _spelled(c) for c in text)


def quoted(path: str) -> str:
    """A path as one word of a shell, for a command that a person may copy; never taken for an option."""
    path = f"./{path}" if path.startswith("-") else path
    if path.isprintable():
        return shlex.quote(path)
    return "$'" + "".join(_in_quotes(c) for c in path) + "'"


def reason(error: Exception) -> str:
    """Why something failed, in the system's words: without Python's numbers, classes and lists of arguments."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename is not None else error.strerror
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutExpired":
        return "no answer in time"
    return " ".join(str(error).split()) or "no reason was given"


def _spelled(char: str) -> str:
    code = ord(char)
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else char.encode("unicode_escape").decode()


def _in_quotes(char: str) -> str:
    if char.isprintable():
        return f"\\{char}" if char in "\\'" else char
    # Half of a surrogate pair comes from JSON alone; the others stand for bytes of a name that is not UTF-8.
    errors = "surrogateescape" if 0xDC80 <= ord(char) <= 0xDCFF else "surrogatepass"
    return "".join(f"\\x{byte:02x}" for byte in char.encode(errors=errors))
