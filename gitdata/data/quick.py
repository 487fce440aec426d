"""Whether nothing moved since the last full look, told without loading what a full look needs.

Called by ``status``; the same test as the hooks' sh (``hooks/prelude.sh``), on the same files. Any doubt is a "no". It
must stay free of imports that cost: the answer has to come within a fraction of 100 ms.
"""

from __future__ import annotations

import os
import time

from gitdata.backends.peek import peek

STAMP = ".dvc/tmp/gitdata-stamp"
_POINTERS = ("*.dvc", "*dvc.lock")  # as in ``data.pointers``, which costs more to import
COMPLETE = "complete"  # holds the cache's folder if the last full look found every object in it


def nothing_moved() -> tuple[int, int | None] | None:
    """(number of outputs, commits with pointers that the upstream lacks) if all is as it was, else None."""
    found = peek("rev-parse", "--path-format=absolute", "--show-toplevel", "--absolute-git-dir")
    lines = os.fsdecode(found).splitlines() if found else []
    if len(lines) != 2:
        return None
    root, folder = lines[0], lines[1] + "/gitdata"
    try:
        stamp = os.stat(f"{root}/{STAMP}").st_mtime_ns  # noqa: PTH116
        if stamp > time.time_ns() or _read(f"{folder}/absent") or os.path.exists(f"{folder}/outputs.json"):  # noqa: PTH110
            return None  # the last: what `gitdata run` left here may be another commit's
        outputs = [os.fsdecode(name) for name in _read(f"{folder}/outputs").split(b"\0") if name]
        cache = os.fsdecode(_read(f"{folder}/{COMPLETE}"))
        rows = _read(f"{folder}/pointers")
        places = [f"{root}/.dvc/config", *(f"{root}/{output[2:]}" for output in outputs), f"{cache}/files/md5"]
        if any(_moved(place, stamp) for place in places) or _moved_below(f"{cache}/files/md5", stamp):
            return None
    except OSError:
        return None
    if peek("ls-files", "-s", "--", *_POINTERS, cwd=root) != rows:
        return None
    changed = peek("status", "--porcelain", "-z", "--no-renames", "--untracked-files=all", "--", *_POINTERS, cwd=root)
    if changed is None or any(row[1:2] != b" " for row in changed.split(b"\0") if row):
        return None
    ahead = peek("rev-list", "--count", "@{upstream}..HEAD", "--", *_POINTERS, cwd=root)
    return len(outputs), int(ahead) if ahead else None


def _read(path: str) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123
        return file.read()


def _moved(path: str, stamp: int) -> bool:
    """Whether a file, or anything in a folder, changed after the stamp. The cache is looked at one level deep."""
    found = os.stat(path)  # noqa: PTH116
    if found.st_ctime_ns > stamp:
        return True
    if path.endswith("/files/md5") or not os.path.isdir(path):  # noqa: PTH112
        return False
    folders = [path]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                if entry.stat().st_ctime_ns > stamp:
                    return True
    return False


def _moved_below(folder: str, stamp: int) -> bool:
    """Whether an object came or went: that changes the folder it lies in."""
    with os.scandir(folder) as entries:
        return any(entry.stat().st_ctime_ns > stamp for entry in entries)
