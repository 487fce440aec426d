"""The three-way rule of the workspace: what a data path is, compared with what it was made from and its pointer. Pure.

W is the oid of what lies in the workspace (None: nothing), B the oid it was last made from (None: unknown, "": gitdata
removed it), P that of the pointer. It must never call data "changed" that is only older than a colleague's pointer.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

State: TypeAlias = Literal["same", "stale", "absent", "changed", "conflict", "unreadable"]
"""same: W = P. stale: W = B, the pointer moved on. absent: no data here. changed: edited here, the pointer is still
what it was. conflict: both sides differ from B, or B is unknown. unreadable: W cannot be told."""


def compare(workspace: str | None, base: str | None, pointer: str) -> State:
    """The state of one output."""
    if workspace is None:
        return "absent"
    if workspace == pointer:
        return "same"
    if workspace == base:
        return "stale"
    if pointer == base:
        return "changed"
    return "conflict"


def moved(base: str | None, pointer: str) -> bool:
    """Whether git moved the pointer since the workspace was last made from it: then data that is not here is brought.

    Data that a person deleted, or never brought, has the pointer's oid as its base, and stays away.
    """
    return base != pointer
