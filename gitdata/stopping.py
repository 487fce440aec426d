"""The event by which a process is asked to end."""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress


class Stop(threading.Event):
    """An event that a signal handler may set; it stays set.

    ``threading.Event.set`` takes a lock, which the main thread may itself hold at the moment that the signal interrupts
    it in ``wait``: it would then wait for itself for ever. Here there is no lock: a byte in a pipe ends the waits.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_set = False
        self._ends, self._begins = os.pipe()
        os.set_blocking(self._begins, False)

    def set(self) -> None:
        self._is_set = True
        with suppress(BlockingIOError):  # it is full of our own bytes
            os.write(self._begins, b"\0")

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """timeout: seconds, None for no end. Whether it is set."""
        if not self._is_set:
            waiting = select.poll()
            waiting.register(self._ends, select.POLLIN)
            waiting.poll(None if timeout is None else max(0.0, timeout * 1000))
        return self._is_set

    def clear(self) -> None:
        raise NotImplementedError("a process that was asked to end ends")
