"""Names as a person reads them: one line, nothing that drives a terminal, and words that a shell reads back."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.text import printable, quoted, reason


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain é 日本", "plain é 日本"),
        ("2\n999 B  forged", "2\\n999 B  forged"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x1b[31mred\x07\x9b", "\\x1b[31mred\\x07\\x9b"),
        ("safe\u202etxt.exe", "safe\\u202etxt.exe"),
        ("zero\u200bwidth\u2028line", "zero\\u200bwidth\\u2028line"),
        ("x\udcff\udcfe", "x\\xff\\xfe"),
    ],
)
def test_what_is_shown(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.text(st.characters(codec=None)))
def test_it_is_one_line_of_printable_characters(name: str) -> None:
    assert printable(name).isprintable()
    assert printable(printable(name)) == printable(name)
    assert quoted(name).isprintable()


def test_the_lines_of_a_text_stay_where_they_are_asked_for() -> None:
    assert printable("a\n\tb\r\x1b", keep="\n\t") == "a\n\tb\\r\\x1b"


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("data/1.txt", "data/1.txt"),
        ("my data", "'my data'"),
        ("it's", """'it'"'"'s'"""),
        ("-rf", "./-rf"),
        ("$HOME;x", "'$HOME;x'"),
        ("a\nb", "$'a\\x0ab'"),
        ("x\udcff'", "$'x\\xff\\''"),
    ],
)
def test_what_is_quoted(path: str, word: str) -> None:
    assert quoted(path) == word


def test_a_shell_reads_back_what_was_quoted() -> None:
    paths = [
        "a b",
        "it's",
        "-x",
        "new\nline",
        "tab\t\u202e",
        "back\\slash \n'",
        "bytes\udcff\udcc3",
        "$(x)`y`",
        "!",
        "é\x80",
    ]
    script = "printf '%s\\0' " + " ".join(quoted(path) for path in paths)
    out = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    expected = [f"./{path}" if path.startswith("-") else path for path in paths]
    assert out.split(b"\0")[:-1] == [path.encode(errors="surrogateescape") for path in expected]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory", "/x"), "/x: No such file or directory"),
        (OSError(28, "No space left on device"), "No space left on device"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"), "it is not UTF-8"),
        (subprocess.TimeoutExpired(["docker", "info"], 5), "no answer in time"),
        (ValueError("two\n  lines"), "two lines"),
        (OSError(), "no reason was given"),
    ],
)
def test_why_something_failed_in_the_words_of_the_system(error: Exception, words: str) -> None:
    assert reason(error) == words
