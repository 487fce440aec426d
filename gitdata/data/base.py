"""What a worktree remembers of its data, in ``<git-dir>/gitdata``: each output's base, and what the hooks' sh looks at.

Called by ``workspace``. All of it may be deleted: an unknown base only makes gitdata more careful. The stamp must never
be newer than the begin of the scan that it stands for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gitdata.data.files import write_whole
from gitdata.data.quick import COMPLETE, STAMP

VERSION = 2
SET_BACK = 2.0  # seconds: ctime is coarse on some kernels, and a network file system has its own clock


@dataclass(frozen=True, slots=True)
class Base:
    """What an output in the workspace was last made from.

    oid: of the pointer then; "" where gitdata removed the data itself, because its pointer left. partial: files of that
    oid may never have been brought here, so that one which is missing was not deleted.
    """

    oid: str
    partial: bool = False


REMOVED = Base("")


def load_base(folder: Path) -> dict[str, Base]:
    """By output path. What cannot be read is unknown."""
    try:
        document = json.loads((folder / "base.json").read_bytes())
        outputs = document["outputs"] if document["v"] in (1, VERSION) else {}
        partial = set(document.get("partial", ()))
        removed = document.get("removed", ())
        found = {k: Base(v, k in partial) for k, v in outputs.items() if isinstance(v, str)}
        return found | {path: REMOVED for path in removed if isinstance(path, str)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}


def save_base(folder: Path, base: Mapping[str, Base]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = {
        "v": VERSION,
        "outputs": {path: one.oid for path, one in base.items() if one.oid},
        "partial": sorted(path for path, one in base.items() if one.partial),
        "removed": sorted(path for path, one in base.items() if not one.oid),
    }
    write_whole(folder / "base.json", json.dumps(document, sort_keys=True).encode() + b"\n")


def mark_bringing(folder: Path, path: str, old: str | None, new: str | None) -> None:
    """Before the files of an output are replaced: which oids they come from and go to. Without ``new``: it is done."""
    file = folder / "bringing.json"
    if new is None:
        file.unlink(missing_ok=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(file, json.dumps({"v": 1, "path": path, "old": old, "new": new}).encode() + b"\n")


def load_bringing(folder: Path, path: str) -> tuple[str | None, str | None]:
    """What ``mark_bringing`` left for this output when it was killed, else (None, None)."""
    try:
        document = json.loads((folder / "bringing.json").read_bytes())
        if document["v"] == 1 and document["path"] == path:
            return document["old"], document["new"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None, None


def mark_scanned(
    root: Path, folder: Path, outputs: Iterable[str], pointers: bytes, began: float, cache: Path | None
) -> None:
    """Tell the hooks that a scan that began then found nothing left to do.

    outputs: the paths of all outputs. pointers: the rows of ``Workspace.pointer_rows``. cache: its folder if every
    object was found in it, None if that was not looked at.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stamp = root / STAMP
    stamp.parent.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    present: list[bytes] = []
    absent: list[bytes] = []
    for path in outputs:
        (present if os.path.lexists(root / path) else absent).append(b"./" + os.fsencode(path) + b"\0")
    write_whole(folder / "outputs", b"".join(present))
    write_whole(folder / "absent", b"".join(absent))
    write_whole(folder / "pointers", pointers)
    (folder / COMPLETE).unlink(missing_ok=True)
    if cache is not None:
        write_whole(folder / COMPLETE, os.fsencode(cache))
    fresh = stamp.with_name(stamp.name + "-new")
    fresh.write_bytes(b"")
    os.utime(fresh, (began - SET_BACK, began - SET_BACK))
    fresh.replace(stamp)


def unmark(root: Path) -> None:
    """Make the next hook look for itself."""
    (root / STAMP).unlink(missing_ok=True)


def mark_followed(folder: Path, pointers: bytes) -> None:
    """Tell the hooks that the workspace was made what these pointers say, as far as it can be."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "pointers", pointers)
