"""How a process is asked to end: an event that a signal sets, or an exception that unwinds what it does."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType


@contextmanager
def unwound_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that all it has open is closed; the exit code is then 143.

    For the main thread only.
    """

    def on_signal(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, on_signal)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """What a signal raises (Ctrl-C) is raised at the end of the block: what it starts is noted, or not begun."""
    if threading.current_thread() is not threading.main_thread():  # no signal raises anything there
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    raising = [number for number, handler in before.items() if callable(handler)]
    for number in raising:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number in raising:
            signal.signal(number, before[number])
        for caught in came:
            signal.raise_signal(caught)


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


def end_after(seconds: float, stop: Stop) -> None:
    """SIGTERM and SIGINT set ``stop``, and end the process so many seconds later if it has not ended by then.

    A handler of Python's waits until the main thread is back from a call, which a server that says nothing may keep:
    here the kernel's own handler wakes a thread. For a process that may be killed at any moment; its programs that are
    still at work get the signal too.
    """
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.set_wakeup_fd(waking, warn_on_full_buffer=False)

    def watch() -> None:
        while os.read(woken, 1)[0] not in (signal.SIGTERM, signal.SIGINT):
            pass
        stop.set()
        time.sleep(seconds)
        for file in Path("/proc/self/task").glob("*/children"):
            with suppress(OSError, ValueError):
                for child in file.read_text().split():
                    os.kill(int(child), signal.SIGTERM)
        os._exit(0)

    threading.Thread(target=watch, name="stop", daemon=True).start()
