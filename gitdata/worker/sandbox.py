"""The worker's side of the sandbox: one launcher, many commands, one at a time. Called by worker.datum.

``ability`` says once per process whether this machine can do it, by doing it.
"""

from __future__ import annotations

import functools
import os
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, Self

from gitdata.backends.variables import bare
from gitdata.errors import MachineError
from gitdata.worker import launcher
from gitdata.worker.box import Box, Exit

# -P: never import from the folder one happens to be in. utf8: paths are UTF-8 whatever the locale says.
PYTHON = (sys.executable, "-P", "-X", "utf8", "-m")
LOG_BYTES = 1 << 20
_FOLDERS = ("root", "tmp", "vartmp")


class Tail:
    """The last ``LOG_BYTES`` of what was added."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def add(self, data: bytes) -> None:
        self._kept += data
        if len(self._kept) > 2 * LOG_BYTES:
            del self._kept[:-LOG_BYTES]

    def bytes(self) -> bytes:
        return bytes(self._kept[-LOG_BYTES:])


class Runner(Protocol):
    """What runs boxes one at a time: ``Sandbox``, or for an image reference ``container.Container``."""

    def run(self, box: Box, log: Tail, idle: Callable[[], None] = ...) -> Exit:
        """Run one command to its end. Raises MachineError where it could not even begin."""


class Sandbox:
    """A running launcher. Must be made in the main thread: the launcher dies with the thread that made it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._channel = ours
        with theirs:
            number = theirs.fileno()
            self._process = subprocess.Popen(
                [*PYTHON, "gitdata.worker.launcher", str(number), str(os.getpid())],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                env=bare(),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()
        self._process.wait()

    def run(self, box: Box, log: Tail, idle: Callable[[], None] = lambda: None) -> Exit:
        """Run one command to its end; what it prints goes to ``log``. ``idle`` is called about once a second.

        Raises MachineError when the sandbox could not be built.
        """
        reading, writing = os.pipe()
        try:
            launcher.send(self._channel, box.dump(), (writing,))
            os.close(writing)
            while True:
                if not select.select([reading], [], [], 1.0)[0]:
                    idle()
                    continue
                piece = os.read(reading, 1 << 16)
                if not piece:
                    break
                log.add(piece)
        finally:
            os.close(reading)
        answer = launcher.receive(self._channel)
        if answer is None:
            raise MachineError("the process that starts the stage's commands was killed")
        exit = Exit.parse(answer[0])
        if exit.setup:
            raise MachineError(f"cannot build the sandbox: {exit.error}", hint=_advice())
        return exit


def make_folders(scratch: Path) -> None:
    """The folders that a box needs in its scratch folder."""
    for name in _FOLDERS:
        (scratch / name).mkdir(parents=True, exist_ok=True)
    for name in _FOLDERS[1:]:
        (scratch / name).chmod(0o1777)


@functools.cache
def ability() -> bool:
    """Whether the sandbox needs a user namespace here. Raises MachineError if it cannot be had at all."""
    if sys.platform != "linux":
        raise MachineError(
            "stages cannot run on this system: the local executor needs Linux namespaces",
            hint="use a Linux machine or the cluster executor",
        )
    problem = _attempt(user_namespace=False) if os.geteuid() == 0 else "not root"
    if not problem:
        return False
    if os.geteuid() != 0 or "not permitted" in problem:
        problem = _attempt(user_namespace=True)
    if problem:
        raise MachineError(f"stages cannot run on this machine: {problem}", hint=_advice())
    return True


def _attempt(*, user_namespace: bool) -> str:
    """Run ``true`` in a sandbox; why not, or "" if it worked."""
    with tempfile.TemporaryDirectory(prefix="gitdata-probe-") as folder, Sandbox() as sandbox:
        scratch = Path(folder)
        make_folders(scratch)
        (scratch / "pfs").mkdir()
        box = Box(
            argv=("true",),
            env=(("PATH", "/usr/bin:/bin"),),
            cwd="/",
            pfs=str(scratch / "pfs"),
            scratch=folder,
            user_namespace=user_namespace,
        )
        try:
            done = sandbox.run(box, Tail())
        except MachineError as error:
            return error.message
    return done.error or (f"`true` ended with {done.code}" if done.code else "")


def _advice() -> str:
    """What to change so that namespaces work, from the switches that forbid them."""
    switches = (
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user.max_user_namespaces", "0", "15000"),
    )
    for name, bad, good in switches:
        file = Path("/proc/sys", *name.split("."))
        if file.exists() and file.read_text().strip() == bad:
            return f"namespaces are switched off: as root, run `sysctl -w {name}={good}`"
    return (
        "mount, pid and (for an ordinary user) user namespaces are needed; a plain chroot and most "
        "containers forbid them: enter the chroot by pivot_root, or give the container CAP_SYS_ADMIN"
    )
