"""Repositories inside of this one: submodules, and clones that lie in its working tree. Their files are theirs.

Called wherever a person names a path, before anything is written. It must never look at what they hold.
"""

from __future__ import annotations

import posixpath
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.errors import InvalidInputError
from gitdata.text import quoted


def check_inside(git: Git, root: Path, path: str) -> None:
    """Raises InvalidInputError for a path in another repository, or that is one."""
    inner = _inner(git, root, path)
    if inner:
        what = f"{path} lies in {inner}, which is" if inner != path else f"{path} is"
        raise InvalidInputError(
            f"{what} a git repository of its own (a submodule, or a clone)",
            hint=f"work there: `gitdata -C {quoted(inner)} …`; or choose a place outside of it",
        )


def _inner(git: Git, root: Path, path: str) -> str:
    """The outermost repository on the way to a path, "" where there is none."""
    declared = _submodules(git, root)
    folders = []
    while path not in ("", "."):
        folders.append(path)
        path = posixpath.dirname(path)
    for folder in reversed(folders):
        if folder in declared or (root / folder / ".git").exists():
            return folder
    return ""


def _submodules(git: Git, root: Path) -> set[str]:
    """The submodules of the working tree, also those that are not checked out: their folder is empty."""
    if not (root / ".gitmodules").is_file():
        return set()
    listed = git.call("config", "-z", "--file", str(root / ".gitmodules"), "--get-regexp", r"^submodule\..*\.path$")
    values = (row.partition(b"\n")[2] for row in listed.stdout.split(b"\0"))
    return {value.decode(errors="surrogateescape") for value in values if value}
