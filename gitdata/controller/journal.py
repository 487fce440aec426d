"""The journal of a batch of mails: what one process was about to do, so that its death is no riddle to the
next.

``notify.deliver`` writes a line, durably, before a claim is pushed, before each call and after each answer; a
claim whose call was never begun is then provably unsent. A file per batch in the clone's
``gitdata/deliveries``, named by the claim's nonce and locked while its process lives. It may be deleted at
any time: claims without an outcome are then shown as unconfirmed.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gitdata.backends.git import Git

_ORPHAN_SECONDS = 60  # a push that outlived its process may still arrive


@dataclass(slots=True)
class Journal:
    """claimed, called: message ids.

    outcomes: id -> (``sent``, ``refused``, ``final`` or ``unknown``; text).
    """

    path: Path
    descriptor: int
    claimed: set[str] = field(default_factory=set)
    called: set[str] = field(default_factory=set)
    outcomes: dict[str, tuple[str, str]] = field(default_factory=dict)

    @property
    def nonce(self) -> str:
        return self.path.stem

    def claims(self, ids: list[str]) -> None:
        self.claimed.update(ids)
        self._write(["claim", *ids])

    def calls(self, id: str) -> None:
        self.called.add(id)
        self._write(["call", id])

    def answered(self, id: str, what: str, text: str) -> None:
        self.outcomes[id] = (what, text)
        self._write(["done", id, what, text])

    def unsent(self, id: str) -> bool:
        """Whether our claim of it was provably never followed by a call."""
        return id in self.claimed and id not in self.called

    def finish(self, settled: set[str]) -> None:
        """Delete the file, once every claim is settled or can no longer arrive."""
        if self.claimed <= settled or time.time() - self.path.stat().st_mtime > _ORPHAN_SECONDS:
            self.path.unlink(missing_ok=True)

    def _write(self, line: list[str]) -> None:
        data = json.dumps(line).encode() + b"\n"
        if os.write(self.descriptor, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
        os.fsync(self.descriptor)

    def read(self) -> None:
        for line in self.path.read_bytes().split(b"\n")[:-1]:  # what a crash tore off at the end was never begun
            try:
                self._take(line)
            except (ValueError, TypeError, IndexError):
                self.called |= self.claimed  # damaged: nothing of it is provably unsent any more
                return

    def _take(self, line: bytes) -> None:
        word, *rest = json.loads(line)
        if word == "claim":
            self.claimed.update(rest)
        elif word == "call":
            self.called.update(rest)
        elif word == "done":
            self.outcomes[rest[0]] = (rest[1], rest[2])


@contextmanager
def new_journal(git: Git, nonce: str) -> Iterator[Journal]:
    """The journal of a batch that begins now, locked. The nonce has never been used before."""
    folder = _folder(git)
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / f"{nonce}.jsonl", os.O_CREAT | os.O_EXCL) as journal:
        if journal is None:
            raise ValueError(f"two batches with one nonce: {nonce}")
        yield journal


def abandoned(git: Git) -> Iterator[Journal]:
    """The journals of processes that are gone, one after the other, locked while the caller looks at each."""
    for path in sorted(_folder(git).glob("*.jsonl")):
        try:
            with _locked(path, 0) as journal:
                if journal is not None:
                    yield journal
        except FileNotFoundError:
            continue  # its process has just finished


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[Journal | None]:
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        journal = Journal(path, descriptor)
        journal.read()
        yield journal
    finally:
        os.close(descriptor)


def _folder(git: Git) -> Path:
    common = git.text("rev-parse", "--git-common-dir")
    return Path(git.path, common, "gitdata", "deliveries")
