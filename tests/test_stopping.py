"""The event that signals set: it must never be waited for by the thread that they interrupt."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from gitdata.stopping import Stop, undisturbed, unwound_by_sigterm

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


@pytest.mark.parametrize(("number", "raised"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_an_interrupt_waits_for_the_end_of_what_it_would_tear_apart(
    number: signal.Signals, raised: type[BaseException]
) -> None:
    done = []
    with unwound_by_sigterm():
        with pytest.raises(raised), undisturbed():  # noqa: PT012  (that all of it is done is the point)
            signal.raise_signal(number)
            done.append("begun and noted")
        with pytest.raises(raised):
            signal.raise_signal(number)  # afterwards as before
    assert done


def test_where_no_signal_raises_nothing_is_held_back() -> None:
    with undisturbed():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    thread = threading.Thread(target=lambda: undisturbed().__enter__())
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
