"""Serve: turns of the loop, one after another, until told to stop; or, with ``once``, until nothing is left to do.

Called by ``gitdata controller``. Between turns it waits for the first of: a wake-up of the post-receive hook, a job
that changed its state, the poll interval. The git server is asked at a wake-up and once in a poll interval, not for
each job that ends. It is the only place that sleeps.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gitdata.controller.loop import Controller
from gitdata.errors import GitdataError
from gitdata.model import JobStatus

_GLANCE = 0.1  # seconds between looks at the wake file and the jobs: a stat and a dictionary
_LONGEST_BACKOFF = 60.0


def serve(controller: Controller, *, once: bool, stop: threading.Event, heartbeat: Path | None = None) -> None:
    """Run until ``stop`` is set. With ``once`` errors are raised after a few tries instead of waited out.

    heartbeat: a file that is written at each turn, for who watches over this process: ``ok`` or why a turn failed.
    """
    failures, look_at = 0, 0.0
    _beat(heartbeat, "starting")
    wake = WakeFile(controller.site.origin)
    while not stop.is_set():
        pause = controller.settings.poll_seconds
        try:
            fresh = wake.moved() or time.monotonic() >= look_at
            if fresh:
                wake.seen()
                look_at = time.monotonic() + pause
            busy = _turn(controller, stop, fresh=fresh)
            if stop.is_set():
                return
            failures = 0
            _beat(heartbeat, "ok")
            if once and not busy:
                if not fresh:  # what was pushed meanwhile counts too
                    look_at = 0.0
                    continue
                for error in controller.problems.values():
                    raise error
                return
            pause = min(pause, 1.0) if busy else max(0.0, look_at - time.monotonic())
        except (GitdataError, OSError) as error:
            if stop.is_set():  # the signal was for git, too, which is no fault of the network
                return
            failures, look_at = failures + 1, 0.0
            if not _passes(error) or (once and failures >= 5):
                raise
            pause = min(_LONGEST_BACKOFF, 0.5 * 2**failures) * random.uniform(0.5, 1)
            _beat(heartbeat, str(error))
            controller.say(f"{error}; trying again in {pause:.0f} s")
        _wait(controller, wake, pause, stop)


def _turn(controller: Controller, stop: threading.Event, *, fresh: bool) -> bool:
    """One turn and the messages that are due, which wait for no branch. Raises what the turn raised, after them."""
    try:
        busy, late = controller.turn(fresh=fresh, stopping=stop.is_set), None
    except (GitdataError, OSError) as error:
        if not _passes(error) or not controller.has_looked or stop.is_set():
            raise
        busy, late = True, error
    if not stop.is_set():
        busy |= controller.notify(stop.is_set)
    if late is not None:
        raise late
    return busy


def _beat(file: Path | None, word: str) -> None:
    """Say that we live, and how it goes; replaced as a whole, so that nobody reads half of it."""
    if file is not None:
        with suppress(OSError):  # a full disk: the turn says so
            new = file.with_name(f"{file.name}.new")
            new.write_text(f"{word}\n")
            new.replace(file)


def _passes(error: GitdataError | OSError) -> bool:
    """Whether the same turn may succeed later: a full disk and a failing one are somebody's to mend, not an end."""
    return error.transient if isinstance(error, GitdataError) else True


def _wait(controller: Controller, wake: WakeFile, seconds: float, stop: threading.Event) -> None:
    before = _jobs(controller)
    end = time.monotonic() + seconds
    while time.monotonic() < end and not stop.wait(_GLANCE):
        if wake.moved():
            return
        now = _jobs(controller)
        if now is not None and now != before:
            return


def _jobs(controller: Controller) -> Mapping[str, JobStatus] | None:
    """What the executor knows; None while it cannot be asked, which the next turn meets and says."""
    try:
        return controller.site.executor.jobs()
    except GitdataError as error:
        if not error.transient:
            raise
        return None


class WakeFile:
    """The file that the post-receive hook touches in a repository on this machine; elsewhere polling must do."""

    def __init__(self, origin: str) -> None:
        root = Path(origin.removeprefix("file://"))
        inner = root / ".git" if (root / ".git").is_dir() else root
        self._path = inner / "gitdata" / "wake"
        self._last = self._stamp()

    def seen(self) -> None:
        self._last = self._stamp()

    def moved(self) -> bool:
        return self._stamp() != self._last

    def _stamp(self) -> int:
        try:
            return self._path.stat().st_mtime_ns
        except OSError:
            return 0
