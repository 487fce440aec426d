"""How far a long command is: one line that rewrites itself on a terminal, nothing but the end elsewhere. On stderr.

Called by the verbs that move data; ``transfer`` calls it back after each object. It must never write to stdout.
"""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType

from gitdata.commands.terminal import say, size

_QUIET = 0.5  # seconds before the first line: short work shows no bar
_EVERY = 0.1


class Progress:
    """``with Progress("sending") as show: push_objects(…, show)``; the last line says what was done."""

    def __init__(self, verb: str, *, quiet: bool = False) -> None:
        self._verb = verb
        self._quiet = quiet
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
        self._began = self._shown = time.monotonic()
        self._drawn = False

    def __call__(self, done: int, total: int, count: int) -> None:
        now = time.monotonic()
        if not self._live or self._quiet or now - self._began < _QUIET or now - self._shown < _EVERY:
            return
        self._shown = now
        rate = size(int(count / max(now - self._began, 0.001)))
        sys.stderr.write(f"\r\x1b[K{self._verb} {done}/{total} objects, {size(count)}, {rate}/s")
        sys.stderr.flush()
        self._drawn = True

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def done(self, objects: int, count: int) -> None:
        """The line that stays."""
        if objects and not self._quiet:
            say(f"{self._verb} {objects} object{'s' * (objects != 1)}, {size(count)}: done")
