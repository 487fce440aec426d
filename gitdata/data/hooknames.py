"""The names of git's hooks, and how gitdata's own files are told from others'.

Must stay free of imports that cost: ``hooknotice`` reads it at each start of a verb.
"""

from __future__ import annotations

CLIENT = (
    *("pre-commit", "pre-merge-commit", "pre-push", "post-checkout", "post-merge", "post-rewrite"),
    *("post-commit", "post-applypatch", "post-index-change"),
)
SERVER = ("post-receive",)

# All that git calls by name. Where gitdata's folder takes the place of another, each is handed on to it.
_OTHERS = (
    "applypatch-msg", "pre-applypatch", "post-applypatch", "prepare-commit-msg", "commit-msg", "post-commit",
    "pre-rebase", "post-index-change", "pre-auto-gc", "sendemail-validate", "pre-receive", "update",
    "post-receive", "post-update", "p4-changelist", "p4-prepare-changelist", "p4-post-changelist", "p4-pre-submit",
)  # fmt: skip
FORWARDED = tuple(name for name in _OTHERS if name not in CLIENT)
# Their presence alone changes what git does, or costs at each ref: only where the other folder has them.
FORWARDED_IF_THERE = ("reference-transaction", "push-to-checkout", "proc-receive")

MARK = "# gitdata-hook "
VERSION = "2"
FIRST_LINES = 256  # bytes; the mark is in the second line


def marked(head: bytes, version: str = "") -> bool:
    """Whether a file that begins so is gitdata's (of that version)."""
    line = head.split(b"\n", 2)[1:2]
    return bool(line) and (line[0] + b"\n").startswith((MARK + (f"{version}\n" if version else "")).encode())
