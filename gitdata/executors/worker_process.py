"""One worker process, seen from the executor. Called by executors.local_job, each from a thread of its own.

The thread that starts a worker must wait for it: the worker asks the kernel to die with the thread that made it, so
that a controller that is killed leaves nothing behind.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

from gitdata.backends.variables import bare
from gitdata.errors import GitdataError
from gitdata.worker.job import WorkerJob
from gitdata.worker.sandbox import PYTHON

_WORDS = 4000


class WorkerDied(GitdataError):
    """A worker ended before its work was done; the message is its last words."""


class WorkerProcess:
    """A running worker. tell: gets each event it prints."""

    def __init__(self, job: WorkerJob, tell: Callable[[dict[str, Any]], None]) -> None:
        self._tell = tell
        # Its last words in memory: "no space left on the disk" must not need space on the disk.
        self._errors = os.fdopen(os.memfd_create("stderr"), "rb")
        self._words = ""
        self._process = subprocess.Popen(
            [*PYTHON, "gitdata.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=bare(),  # it gets its own from the job
            start_new_session=True,  # Ctrl-C is for the controller, which then ends its workers
            umask=0o022,
        )
        self._send(job.dump())

    def work(self, shard: int) -> None:
        """Have one shard done. Raises WorkerDied."""
        self._send(str(shard).encode())
        assert self._process.stdout is not None
        for line in self._process.stdout:
            event = json.loads(line)
            self._tell(event)
            if event["event"] == "shard":
                return
        raise self._death()

    def finish(self) -> None:
        """Let it end and wait for it. Raises WorkerDied unless it ended well."""
        self._close_input()
        self._wait()
        if self._process.returncode != 0:
            raise self._death()

    def kill(self) -> None:
        """End it now, and with it the commands it started. May be called from any thread."""
        self._process.kill()

    def reap(self) -> None:
        """Wait until it and everything it started is gone."""
        self._close_input()
        self._wait()

    def _send(self, line: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._death() from None

    def _close_input(self) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.close()
        except BrokenPipeError:
            return  # it is gone, which the wait will tell

    def _wait(self) -> None:
        assert self._process.stdout is not None
        if not self._process.stdout.closed:
            # Every process of its tree has this pipe open: its end is the end of the last of them.
            for _ in self._process.stdout:
                pass
            self._process.stdout.close()
            self._process.wait()
            self._errors.seek(0)
            self._words = self._errors.read().decode(errors="replace").strip().rpartition("\n")[2]
            self._errors.close()

    def _death(self) -> WorkerDied:
        self.reap()
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code < 0 else f"ended with {code}"
        return WorkerDied(self._words[-_WORDS:] or f"a worker {how}")
