"""Programs of others that may take long: run with a time limit, their words kept, ended when this process ends.

Called by backends.builders, venvs and containers, from several threads, and by backends.git. A program and all that it
starts are one process group. What it prints may be a stranger's and without end: the file gets the first of it, the
caller the last.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from gitdata.errors import MachineError
from gitdata.stopping import undisturbed

_GRACE_SECONDS = 10.0
_TAIL_BYTES, _LOG_BYTES = 64 << 10, 32 << 20


class Processes:
    """What runs now."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = threading.Lock()
        self._running: set[subprocess.Popen[bytes]] = set()

    def run(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        log: IO[bytes] | None,
        seconds: float,
        *,
        cwd: Path = Path("/"),
        umask: int = -1,
        pass_fds: Sequence[int] = (),
    ) -> tuple[int | None, str]:
        """Run a program to its end: the exit code, and the end of what it printed.

        The code is None where it took too long or ``close`` ended it. umask, pass_fds: as ``subprocess`` has them.
        Raises MachineError where it cannot be started.
        """
        deadline = time.monotonic() + seconds

        def over() -> bool:
            return self.closed or time.monotonic() >= deadline

        started: list[subprocess.Popen[bytes]] = []
        try:
            with undisturbed():  # an interrupt between its start and our knowing of it would leave it running
                started.append(self._started(command, env, cwd, umask, pass_fds))
            tail = _follow(started[0], log, over)
            while started[0].poll() is None and not over():
                with suppress(subprocess.TimeoutExpired):
                    started[0].wait(0.2)
            code = started[0].poll()
        finally:
            for process in started:
                with process:
                    self._end(process)
        return code, tail.decode(errors="replace")

    def close(self) -> None:
        """Ask all to end, and start none any more."""
        with self._lock:
            self.closed = True
            running = list(self._running)
        for process in running:
            _signal(process, signal.SIGTERM)

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        """Give it time to clean up, then kill it and what it left behind; at once if this is interrupted."""
        try:
            if process.poll() is None:
                if not self.closed:  # else it was asked
                    _signal(process, signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_GRACE_SECONDS)
        finally:
            _signal(process, signal.SIGKILL)
            with self._lock:
                self._running.discard(process)

    def _started(
        self, command: Sequence[str], env: Mapping[str, str], cwd: Path, umask: int, pass_fds: Sequence[int]
    ) -> subprocess.Popen[bytes]:
        with self._lock:
            if self.closed:
                raise MachineError(f"{command[0]} is not started: this process ends", transient=True)
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    cwd=cwd,
                    env=dict(env),
                    umask=umask,
                    pass_fds=pass_fds,
                    start_new_session=True,
                )
            except OSError as error:
                raise MachineError(f"{command[0]}: {error.strerror}") from error
            self._running.add(process)
            return process


def _follow(process: subprocess.Popen[bytes], log: IO[bytes] | None, over: Callable[[], bool]) -> bytes:
    """Read what a program prints until it ends or time is up; the last of it."""
    assert process.stdout is not None
    out, tail, kept = process.stdout.fileno(), b"", 0
    poll = select.poll()
    poll.register(out, select.POLLIN | select.POLLHUP)
    while not over():
        ended = process.poll() is not None  # asked first: its last words may come while we wait for them
        if poll.poll(0 if ended else 200):
            data = os.read(out, 1 << 16)
            if not data:
                break
            tail = (tail + data)[-_TAIL_BYTES:]
            if log is not None:
                kept += log.write(data[: max(0, _LOG_BYTES - kept)])
        elif ended:
            break  # something that it left behind holds its output
    return tail


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def read_bounded(command: Sequence[str], cwd: Path, env: Mapping[str, str], most: int) -> tuple[int, bytes, str]:
    """Exit code, output and words of a command that says what a stranger made: little more than ``most`` bytes of it.

    One that says more is ended. Raises OSError.
    """
    pieces, held = [], 0
    with tempfile.TemporaryFile() as said:
        with subprocess.Popen(
            command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said, env=dict(env)
        ) as process:
            assert process.stdout is not None
            while held <= most and (piece := process.stdout.read(1 << 20)):
                pieces.append(piece)
                held += len(piece)
            if held > most:
                process.kill()
        said.seek(0)
        return process.returncode, b"".join(pieces), said.read(1 << 16).decode(errors="replace")
