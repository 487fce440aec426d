"""The event that signals set: it must never be waited for by the thread that they interrupt."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from gitdata.stopping import Stop

# Signals as fast as they can be taken, into a main thread that does nothing but wait.
HAMMERED = """
import signal
from gitdata.stopping import Stop
signal.signal(signal.SIGALRM, lambda *_: stop.set())
for _ in range(200):
    stop = Stop()
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0002)
    while not stop.wait(0.0001):
        pass
    signal.setitimer(signal.ITIMER_REAL, 0)
print(stop.wait(), stop.is_set())
"""


def test_a_signal_at_any_moment_of_a_wait_is_no_deadlock() -> None:
    done = subprocess.run([sys.executable, "-c", HAMMERED], capture_output=True, text=True, timeout=30)
    assert done.stdout == "True True\n", done.stderr


def test_it_ends_the_waits_of_all_threads_and_stays_set() -> None:
    stop, heard = Stop(), []
    threads = [threading.Thread(target=lambda: heard.append(stop.wait(30))) for _ in range(3)]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    assert stop.wait(0.02) is False
    assert time.monotonic() - began >= 0.02
    stop.set()
    for thread in threads:
        thread.join(20)
    assert heard == [True, True, True]
    assert stop.wait(0) is True
    with pytest.raises(NotImplementedError):
        stop.clear()
