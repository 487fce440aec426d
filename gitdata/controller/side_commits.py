"""Commits on gitdata's own refs (notes, outbox): a few files set on top of a tip, whatever the size of its
tree.

Called by ``notes`` and ``notify``. Written with ``git fast-import`` on a private ref: the cost does not grow
with the tree (``read-tree`` takes over a second at 100,000 files). Never moves a ref that anybody else reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from gitdata.backends.git import Git
from gitdata.identity import IDENT


def gitdata_ident(seconds: int) -> str:
    """The raw committer line of gitdata itself."""
    return f"{IDENT} {seconds} +0000"


def commit_files(git: Git, base: str | None, files: Mapping[str, bytes | None], *, ident: str, message: str) -> str:
    """The sha of a commit on ``base`` with these files set (or, with None, removed).

    The same arguments give the same sha. ``ident``: a raw ``name <email> seconds zone`` line. Paths are ours:
    hex and ``/``.
    """
    if "\n" in ident or any(not path.replace("/", "").isalnum() for path in files):
        raise ValueError(f"not an ident line or path of ours: {ident!r}")
    ref = f"refs/gitdata/tmp/{uuid4().hex}"
    text = message.encode()
    head = f"commit {ref}\nauthor {ident}\ncommitter {ident}\ndata {len(text)}\n".encode() + text + b"\n"
    parts = [head, f"from {base}\n".encode() if base else b""]
    for path, data in sorted(
        files.items(), key=lambda item: item[1] is not None
    ):  # removals first: a file may become a folder
        if data is None:
            parts.append(f"D {path}\n".encode())
        else:
            parts.append(f"M 100644 inline {path}\ndata {len(data)}\n".encode() + data + b"\n")
    git.fast_import(b"".join([*parts, b"done\n"]))
    try:
        return git.text("rev-parse", "--verify", "--end-of-options", ref)
    finally:
        git.run("update-ref", "-d", ref)
