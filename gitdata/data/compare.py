"""Which files differ between two listings. Pure.

Called by ``status`` and ``diff``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gitdata.model import Listing


@dataclass(frozen=True, slots=True)
class Difference:
    """One file. Sizes are None where unknown or where the file does not exist."""

    path: str
    kind: Literal["added", "modified", "deleted"]
    old_size: int | None
    new_size: int | None

    def as_json(self) -> dict[str, object]:
        return {"path": self.path, "change": self.kind, "old_size": self.old_size, "new_size": self.new_size}


def differences(old: Listing, new: Listing, prefix: str = "") -> list[Difference]:
    """By path; ``prefix`` is put before each path."""
    before = {entry.path: entry for entry in old}
    after = {entry.path: entry for entry in new}
    found = []
    for path in sorted(before.keys() | after.keys()):
        a, b = before.get(path), after.get(path)
        if a is None and b is not None:
            found.append(Difference(prefix + path, "added", None, b.size))
        elif b is None and a is not None:
            found.append(Difference(prefix + path, "deleted", a.size, None))
        elif a is not None and b is not None and a.oid != b.oid:
            found.append(Difference(prefix + path, "modified", a.size, b.size))
    return found
