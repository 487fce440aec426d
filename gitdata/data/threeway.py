"""The three-way rule of the workspace: what a data path is, compared with what it was made from and what git has. Pure.

Called by the hooks, ``status``, ``checkout`` and ``pull`` for each output. W is the oid of what lies in the workspace
(None: nothing), B the oid it was last made from (None: unknown), I the oid in git's index. It must never call data
"changed" that is only older than a colleague's pointer.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

State: TypeAlias = Literal["same", "stale", "absent", "changed", "conflict"]
"""same: W = I. stale: W = B, the pointer moved on. absent: no data here. changed: edited here, the pointer is still
what it was. conflict: both sides differ from B, or B is unknown."""


def compare(workspace: str | None, base: str | None, index: str) -> State:
    """The state of one output."""
    if workspace is None:
        return "absent"
    if workspace == index:
        return "same"
    if workspace == base:
        return "stale"
    if index == base:
        return "changed"
    return "conflict"
