"""The stat index: which files have not changed since they were hashed, so that only changed ones are read again.

Called by everything that asks what the workspace holds. A cache, per worktree, that may be deleted at any time. It must
never believe an entry whose file changed so shortly before it was hashed that a later change could bear the same time.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from pathlib import Path

from gitdata.data.hashing import Digest, hash_open_file

VERSION = 1
_THREADS_FROM = 8


class StatIndex:
    """Digests of files below ``root``, kept in ``file`` (format: ``docs/formats.md``, section 10)."""

    def __init__(self, file: Path, root: Path) -> None:
        self.file = file
        self.root = root
        self._rows: dict[str, list[int | str]] = _load(file)
        self._unsettled: set[str] = set()
        self._changed = False

    def known(self, path: str, found: os.stat_result) -> Digest | None:
        """What ``path`` (relative to the root) holds, if its ``stat`` proves that it is what was hashed."""
        row = self._rows.get(path)
        if (
            row is not None
            and path not in self._unsettled
            and row[0] == found.st_mtime_ns
            and row[1] == found.st_ctime_ns
            and row[2] == found.st_size
            and row[3] == found.st_ino
        ):
            return Digest(str(row[4]), str(row[5]), found.st_size)
        return None

    def digest(self, path: str) -> Digest:
        """The digest of a file, read only if it may have changed. Follows a symlink."""
        return self.known(path, os.stat(self.root / path)) or self.hash(path)  # noqa: PTH116

    def hash(self, path: str) -> Digest:
        """Read a file and remember it."""
        started = time.time_ns()
        digest, found = hash_open_file(self.root / path)
        self.record(path, digest, found, started)
        return digest

    def hash_many(self, paths: Iterable[str]) -> dict[str, Digest]:
        """Read many files, on all cores."""
        todo = list(paths)
        if len(todo) < _THREADS_FROM:
            return {path: self.hash(path) for path in todo}
        # Deferred: costs 15 ms to import, and a clean workspace hashes nothing.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 2)) as pool:
            try:
                return dict(zip(todo, pool.map(self.hash, todo), strict=True))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise

    def record(self, path: str, digest: Digest, found: os.stat_result, started: int | None = None) -> None:
        """Remember that ``path`` held ``digest`` when it was read or written at ``started`` (ns, default: now)."""
        self._rows[path] = [
            found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, digest.md5, digest.sha256,
        ]  # fmt: skip
        if found.st_ctime_ns >= (started or time.time_ns()) - _granularity(found.st_ctime_ns):
            self._unsettled.add(path)
        else:
            self._unsettled.discard(path)
        self._changed = True

    def forget(self, prefix: str, keep: Iterable[str]) -> None:
        """Drop the entries below the folder ``prefix`` that are not in ``keep``."""
        kept = set(keep)
        gone = [p for p in self._rows if p.startswith(prefix + "/") and p not in kept]
        for path in gone:
            del self._rows[path]
            self._changed = True

    def move(self, old: str, new: str) -> None:
        """A folder was renamed, which leaves the times of its files as they are."""
        for path in [path for path in self._rows if path.startswith(f"{old}/")]:
            after = new + path[len(old) :]
            self._rows[after] = self._rows.pop(path)
            if path in self._unsettled:
                self._unsettled.add(after)
            self._changed = True

    def save(self) -> None:
        """Write what was learned; entries that a later change could not be told from are left out."""
        if not self._changed:
            return
        rows = {path: row for path, row in self._rows.items() if path not in self._unsettled}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.file.with_name(f".{self.file.name}.{os.urandom(8).hex()}")
        try:
            scratch.write_text(json.dumps({"v": VERSION, "files": rows}, separators=(",", ":")))
            scratch.replace(self.file)
        finally:
            scratch.unlink(missing_ok=True)
        self._changed = False


def _granularity(ctime_ns: int) -> int:
    """How long after a change another one may bear the same time: a clock's tick, or 2 s where times are coarse."""
    return 2_000_000_000 if ctime_ns % 1_000_000 == 0 else 100_000_000


def _load(file: Path) -> dict[str, list[int | str]]:
    try:
        document = json.loads(file.read_bytes())
        rows: dict[str, list[int | str]] = document["files"] if document["v"] == VERSION else {}
        sound = isinstance(rows, dict) and all(isinstance(row, list) and len(row) == 6 for row in rows.values())
        return rows if sound else {}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
