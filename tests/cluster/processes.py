"""Start a server, wait until it answers, stop it by its process id. Used by every part of the testbed.

A server is killed with the process that started it (``setpriv --pdeathsig``), whatever ended that one, and is
always waited for: the next one wants its port. Nothing is ever ended by name.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
STOP_SECONDS = 30
# For servers in Go: memory is cheaper here than the time that collecting it takes; the limit is for each of them.
LAVISH = {"GOGC": "400", "GOMEMLIMIT": "1GiB"}

# The kernel sends the death signal when the *thread* that forked ends: this one lives as long as the process.
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="testbed-starter")


class TestbedError(AssertionError):
    """The testbed itself does not work; the message holds the end of the log that says why."""

    __test__ = False


@dataclass
class Server:
    """name: of its log file in ``folder``. A test may stop, kill, pause and start it again."""

    name: str
    argv: Sequence[str | Path]
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        if not self.alive:
            self.process = _STARTER.submit(self._spawn).result()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *map(str, self.argv)],
                env={**os.environ, **LAVISH, **self.env},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the servers in order
            )
        with suppress(OSError):  # where the kernel groups processes by session, a new one has no niceness: it gets ours
            ours = Path("/proc/self/autogroup").read_text()  # "/autogroup-7 nice -12"; nothing where we are in no group
            Path(f"/proc/{process.pid}/autogroup").write_text(ours.rpartition(" ")[2] or "0")
        return process

    def stop(self, how: int = signal.SIGTERM) -> None:
        """Ask it to end and wait until it has; after half a minute it is killed."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it, as a machine that hangs; ``resume`` lets it go on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def eventually(what: str, check: Callable[[], T], *, seconds: float = 60, needs: Sequence[Server] = ()) -> T:
    """Ask again and again until ``check`` gives something true; its errors count as not yet.

    Less often the longer it takes: a question may be worth a few processes. Fails at once if one of the servers in
    ``needs`` has ended, with the end of its log.
    """
    start = time.monotonic()
    said: object = None
    while True:
        try:
            if found := check():
                return found
        except (OSError, LookupError, AssertionError) as error:
            said = error
        for server in needs:
            if not server.alive:
                raise TestbedError(f"{what}: {server.name} has ended:\n{server.tail()}")
        waited = time.monotonic() - start
        if waited > seconds:
            tails = "".join(f"\n--- {server.name}\n{server.tail()}" for server in needs)
            raise TestbedError(f"{what}: not within {seconds:g} seconds; last: {said}{tails}")
        time.sleep(min(max(0.05, waited / 10), 0.25))


def free_port(host: str = "127.0.0.1", wanted: int = 0) -> int:
    """``wanted`` if nobody has it, else one that the kernel chose."""
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, wanted))
        except OSError:
            return free_port(host)
        port: int = tried.getsockname()[1]
        return port


def run(*argv: str | Path, check: bool = True, env: Mapping[str, str] | None = None) -> str:
    """Run a program to its end; what it printed."""
    done = subprocess.run(
        [str(part) for part in argv],
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if check and done.returncode:
        raise TestbedError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout}{done.stderr}"[-4000:])
    return done.stdout
