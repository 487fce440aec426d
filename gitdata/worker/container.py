"""One command in a container of the stage's image: beside worker.sandbox, the second way to run a box.

Called by worker.datum where the job names an image. Each command gets a container of its own, new from the image, with
``/pfs`` and an empty ``/tmp`` from the datum's folders, no capabilities, and the image's own variables unless the
datum has them too. It must never give what a spec says to the engine's environment, nor a secret to its command line.
"""

from __future__ import annotations

import itertools
import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

from gitdata.backends.containers import Engine
from gitdata.backends.variables import bare, of_builder
from gitdata.errors import MachineError
from gitdata.worker.box import Box, Exit
from gitdata.worker.job import WorkerJob
from gitdata.worker.sandbox import PYTHON, Tail
from gitdata.worker.staging import OUT

JOB_LABEL, WORKER_LABEL = "gitdata.job", "gitdata.worker"
# The engine's own exit codes; a command may end with them too.
_ENGINE_FAILED, _NOT_RUN = 125, (126, 127)
_UNMOUNTABLE = re.compile(r'[,"\n\r\\=]')
_SAFE_NAME = re.compile(r"[^A-Za-z0-9_.-]")


class Container:
    """Runs boxes one at a time, and leaves a guard that ends them should this process be killed."""

    def __init__(self, job: WorkerJob) -> None:
        self._job, self._engine = job, Engine(job.engine)
        self._label = f"{WORKER_LABEL}={job.scratch}"
        self._numbers = itertools.count(1)
        watched, self._alive = os.pipe()
        # Its standard output is ours: who waits for the end of a worker's tree waits for it too.
        self._guard = subprocess.Popen(
            [*PYTHON, "gitdata.worker.guard", job.engine, self._label, str(watched)],
            stdin=subprocess.PIPE,
            pass_fds=[watched],
            start_new_session=True,
            env={**bare(), **of_builder(os.environ)},
        )
        os.close(watched)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._alive)
        self._guard.communicate()

    def run(self, box: Box, log: Tail, idle: Callable[[], None] = lambda: None) -> Exit:
        """Run one command to its end; what it prints goes to ``log``. ``idle`` is called about once a second.

        Raises MachineError when the container could not be made.
        """
        name = f"{_SAFE_NAME.sub('-', box.name)}-{os.getpid()}-{next(self._numbers)}"
        secrets = _memory("".join(f"{k}={v}\n" for k, v in box.env if k in box.private))
        stdin = _memory(box.stdin)
        reading, writing = os.pipe()
        try:
            command = [*self._command(box, name), f"--env-file=/proc/self/fd/{secrets}", self._job.image, *box.argv]
            process = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=writing,
                stderr=writing,
                pass_fds=[secrets, self._alive],
                cwd="/",
                env=of_builder(os.environ),
            )
        finally:
            for descriptor in (secrets, stdin, writing):
                os.close(descriptor)
        timeout = self._follow(reading, name, box.timeout_ms / 1000, log, idle)
        code = process.wait()
        if timeout:
            return Exit(code, timeout=True)
        problem = _engine_problem(log) if code in (_ENGINE_FAILED, *_NOT_RUN) else ""
        if problem and code == _ENGINE_FAILED:
            raise MachineError(f"cannot make a container of {self._job.image[:19]}: {problem}", hint=_ADVICE)
        what = box.argv[0] if box.argv else "the image's command"
        return Exit(code, error=f"cannot run {what}: {problem}" if problem else "")

    def _follow(self, reading: int, name: str, limit: float, log: Tail, idle: Callable[[], None]) -> bool:
        """Read what the command prints until it ends; whether it had to be killed for its time."""
        deadline, timeout = time.monotonic() + limit, False
        try:
            while True:
                left = deadline - time.monotonic() if limit else 1.0
                if left <= 0:
                    # Again every second: the container may not have been there yet.
                    self._engine.kill(name)
                    deadline, timeout = time.monotonic() + 1, True
                elif not select.select([reading], [], [], min(left, 1.0))[0]:
                    idle()
                else:
                    piece = os.read(reading, 1 << 16)
                    if not piece:
                        return timeout
                    log.add(piece)
        finally:
            os.close(reading)

    def _command(self, box: Box, name: str) -> Iterator[str]:
        yield from (self._engine.program, "run", "--rm", "--interactive", "--pull=never", f"--name={name}")
        yield from (f"--label={self._label}", f"--label={JOB_LABEL}={Path(self._job.scratch).parent}")
        yield from ("--network=host", "--log-driver=none", "--cap-drop=all")
        yield from ("--security-opt=no-new-privileges", "--security-opt=label=disable")
        if self._engine.is_podman:
            yield "--http-proxy=false"  # else it gives the controller's own proxy to the command
        yield from _user(box, self._engine)
        yield from self._job.engine_options
        yield from _mounts(box)
        for variable, value in box.env:
            if variable not in box.private:
                yield f"--env={variable}={value}"
        if box.cwd:
            yield f"--workdir={box.cwd}"
        if box.argv:
            yield "--entrypoint="


def _user(box: Box, engine: Engine) -> Iterator[str]:
    """Who runs the command. For an ordinary user always that user: else nobody could read or remove what it wrote."""
    if os.geteuid() == 0:
        if box.user:
            yield f"--user={box.user}"
    elif engine.is_podman:
        yield "--user=0:0"  # which outside of its user namespace is this user
    else:
        yield f"--user={os.geteuid()}:{os.getegid()}"


def _mounts(box: Box) -> Iterator[str]:
    """The datum's folders. The user need not be one that the host knows: anybody may write the output."""
    out = Path(box.pfs, OUT)
    if out.is_dir() and not out.is_symlink():  # an err_cmd finds there what the command left
        out.chmod(0o777)
    places = [
        (box.pfs, "/pfs", False),
        (f"{box.scratch}/tmp", "/tmp", False),
        (f"{box.scratch}/vartmp", "/var/tmp", False),
    ]
    for source, target in box.binds:
        if _UNMOUNTABLE.search(target):  # the engine's syntax has no way to say it
            place = Path(box.pfs, target.removeprefix("/pfs/"))
            shutil.copyfile(source, place)
            shutil.copymode(source, place)
        else:
            places.append((source, target, True))
    for source, target, read_only in places:
        if _UNMOUNTABLE.search(source):
            raise MachineError(f"{source} cannot be mounted in a container", hint="set XDG_CACHE_HOME to a plain path")
        yield f"--mount=type=bind,source={source},target={target}{',readonly' if read_only else ''}"


def _memory(text: str) -> int:
    """An open file with this text that is in no folder."""
    descriptor = os.memfd_create("input")
    with os.fdopen(os.dup(descriptor), "wb") as file:
        file.write(text.encode(errors="surrogateescape"))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _engine_problem(log: Tail) -> str:
    """The engine's own last words, "" if it was the command that ended so."""
    for line in reversed(log.bytes()[-4096:].decode(errors="replace").splitlines()[-8:]):
        for mark in ("Error: ", "docker: ", "unknown flag: "):
            if line.startswith(mark):
                return "".join(c for c in line.removeprefix("Error: ").removeprefix("docker: ") if c.isprintable())[
                    :300
                ]
    return ""


_ADVICE = "options that this machine needs belong in container_options, see docs/configuration.md"
