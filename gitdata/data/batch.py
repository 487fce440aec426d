"""Many new objects at once: one flush of the disk for all of them instead of one for each.

Called by the cache. An ``fsync`` a file makes adding ten thousand small files take half a minute; here they wait under
scratch names until all their bytes are durable, and only then get their names: at the end, also after an error, and now
and then before it. A kill loses what came since; it leaves scratch files, which nothing takes for objects.
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
FLUSH_AT = 4096
FLUSH_BYTES = 1 << 30
FLUSH_SECONDS = 30.0


def sweep(folder: Path) -> None:
    """Remove the scratch files in ``folder`` that a killed process left behind."""
    for entry in os.scandir(folder):
        if not (entry.name.startswith(".") and entry.name.endswith(".tmp")):
            continue
        with suppress(FileNotFoundError):
            if entry.stat(follow_symlinks=False).st_mtime < time.time() - STALE_SECONDS:
                os.unlink(entry.path)  # noqa: PTH108  (there may be thousands)


class Batch:
    """Finished files that wait for their names; several threads may add to it.

    most_files, most_bytes, most_seconds: when those that wait get their names before the end.
    """

    def __init__(
        self,
        folder: Path,
        *,
        most_files: int = FLUSH_AT,
        most_bytes: int = FLUSH_BYTES,
        most_seconds: float = FLUSH_SECONDS,
    ) -> None:
        self._folder = folder
        self._most = (most_files, most_bytes, most_seconds)
        self._waiting: dict[Path, tuple[Path, Digest]] = {}
        self._bytes = 0
        self._began = 0.0  # when the first of those that wait was added
        self._lock = Lock()

    def digest(self, target: Path) -> Digest | None:
        """Of what waits for that name."""
        waiting = self._waiting.get(target)
        return waiting[1] if waiting else None

    def add(self, scratch: Path, target: Path, digest: Digest) -> None:
        with self._lock:
            replaced = self._waiting.pop(target, None)
            if not self._waiting:
                self._began = time.monotonic()
            self._waiting[target] = (scratch, digest)
            self._bytes += digest.size
            if replaced:
                replaced[0].unlink()
        self.tick()

    def tick(self) -> None:
        """Name what waits if it is much, or waits long. Called by all writers, so that a slow one holds nobody's up."""
        files, size, seconds = self._most
        late = self._waiting and time.monotonic() - self._began > seconds
        if late or self._bytes >= size or len(self._waiting) >= files:
            with self._lock:
                self._flush()

    def finish(self) -> None:
        with self._lock:
            self._flush()

    def abandon(self) -> None:
        """Remove what waits: it could not be named."""
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
        self._bytes = 0
