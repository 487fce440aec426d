"""What git says when it fails, for a person: its own sentences, and the cure where it names one.

Called by ``git`` and ``discovery``. It must never guess a cause that git did not give.
"""

from __future__ import annotations

import re
from itertools import takewhile

from gitdata.backends.git_records import hide_password

_SAID = re.compile(r"(?:fatal|error): ")
_MOST = 3


def git_words(stderr: str) -> tuple[str, str]:
    """(what git says is wrong, what it says to do): "" where it says neither."""
    lines = [line.rstrip() for line in hide_password(stderr).splitlines() if line.strip()]
    said: list[str] = []
    cure: list[str] = []
    inside = False  # whether the line before belongs to what is wrong
    for line in takewhile(lambda line: not line.startswith("usage:"), lines):
        if _SAID.match(line):
            said.append(_SAID.sub("", line, count=1))
            inside = True
        elif line.startswith("hint: "):
            cure.append(line.removeprefix("hint: ").strip())
        elif said and line.startswith(("\t", "    ")) and line.strip().startswith("git "):
            cure.append(line.strip())
        elif line.startswith("\t") and inside:
            said[-1] += f" {line.strip()}"  # a list of names belongs to the sentence before
        elif said and line != "Aborting":
            cure.append(line.strip())  # what git says after it is what to do
            inside = False
    if not said and lines:
        said = [lines[-1]]
    return "; ".join(dict.fromkeys(said[-_MOST:])), " ".join(cure)
