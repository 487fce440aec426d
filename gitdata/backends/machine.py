"""This machine as the process finds it: how many cores it may use, where its caches and its user's files are.

Called by the commands and the local executor. A container may run as a user without a home: each answer has a
fallback, or an error that says what to set. Who the user is, ``users`` says.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gitdata.errors import MachineError

# Linux alone can tell.
_ALLOWED: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)


def core_count(allowed: Callable[[int], set[int]] | None = _ALLOWED) -> int:
    """How many cores this process may use. allowed: tells which these are; without it they are all there are."""
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def cache_home() -> Path:
    """Where images, environments and clones are kept; deleting it is always safe. Raises MachineError."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gitdata"
    except RuntimeError as error:
        raise MachineError("this user has no home folder for caches", hint="set XDG_CACHE_HOME, or HOME") from error


def in_home(path: str) -> Path:
    """``~/path`` of the user who runs this; where there is no home, a path at which nothing is."""
    return Path(os.path.expanduser(f"~/{path}"))  # noqa: PTH111  (the other one raises)
