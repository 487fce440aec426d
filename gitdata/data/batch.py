"""Many new objects at once: one flush of the disk for all of them instead of one for each.

Called by the cache. An ``fsync`` a file makes adding ten thousand small files take half a minute; here they wait under
scratch names until all their bytes are durable, and only then get their names. A kill before that leaves scratch files,
which nothing takes for objects.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock

from gitdata.backends.local import sync_filesystem
from gitdata.data.hashing import Digest

STALE_SECONDS = 3600  # no writer leaves a scratch file untouched so long: what is older belongs to one that was killed
FLUSH_AT = 4096  # a longer batch names what it has now and then, so that a kill does not lose all of it


def sweep(folder: Path) -> None:
    """Remove the scratch files in ``folder`` that a killed process left behind."""
    for entry in os.scandir(folder):
        if not (entry.name.startswith(".") and entry.name.endswith(".tmp")):
            continue
        with suppress(FileNotFoundError):
            if entry.stat(follow_symlinks=False).st_mtime < time.time() - STALE_SECONDS:
                os.unlink(entry.path)  # noqa: PTH108  (there may be thousands)


class Batch:
    """Finished files that wait for their names; several threads may add to it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: dict[Path, tuple[Path, Digest]] = {}
        self._lock = Lock()

    def digest(self, target: Path) -> Digest | None:
        """Of what waits for that name."""
        waiting = self._waiting.get(target)
        return waiting[1] if waiting else None

    def add(self, scratch: Path, target: Path, digest: Digest) -> None:
        with self._lock:
            replaced = self._waiting.pop(target, None)
            self._waiting[target] = (scratch, digest)
            if replaced:
                replaced[0].unlink()
            if len(self._waiting) >= FLUSH_AT:
                self._flush()

    def finish(self) -> None:
        with self._lock:
            self._flush()

    def abandon(self) -> None:
        """Remove what waits: the call failed."""
        for scratch, _ in self._waiting.values():
            scratch.unlink(missing_ok=True)
        self._waiting.clear()

    def _flush(self) -> None:
        if not self._waiting:
            return
        sync_filesystem(self._folder)
        for target, (scratch, _) in self._waiting.items():
            os.rename(scratch, target)  # noqa: PTH104  (ten thousand of them)
        sync_filesystem(self._folder)
        self._waiting.clear()
