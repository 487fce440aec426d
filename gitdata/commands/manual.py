"""The text of the man page that `git data --help` opens, made from the table of verbs: ``man/git-data.1``.

    python -m gitdata.commands.manual > man/git-data.1

Only text; a test holds the file equal to it.
"""

from __future__ import annotations

from gitdata.commands.terminal import print_text
from gitdata.commands.verbs import VERBS

_HEAD = """\
.TH GIT-DATA 1 "" "gitdata" "gitdata"
.SH NAME
git-data, gitdata \\- version data with git, run container stages when a push changes their inputs
.SH SYNOPSIS
.B git data
[\\-C DIR] COMMAND \\&...
.br
.B gitdata
[\\-C DIR] COMMAND \\&...
.SH DESCRIPTION
Data is kept as DVC 3 keeps it: pointers in git, contents in a cache and on a data remote.
.B gitdata help COMMAND
explains a command and its options.
"""
_TAIL = """\
.SH EXIT STATUS
0 if all went well; docs/exit-codes.md lists the others.
.SH SEE ALSO
.BR git (1)
"""


def manual() -> str:
    """The whole page, in roff."""
    lines, heading = [_HEAD], None
    for verb, text, group in VERBS:
        if not group:
            continue
        if group != heading:
            lines.append(f".SH {group.upper()}\n")
            heading = group
        lines.append(f".TP\n.B gitdata {_escaped(verb)}\n{_escaped(text)}\n")
    return "".join([*lines, _TAIL])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")


if __name__ == "__main__":
    print_text(manual())
