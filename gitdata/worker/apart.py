"""A program that runs a stranger's code on this machine's own files: ``python -m gitdata.worker.apart JSON PROGRAM…``.

Started through backends.venvs for what installs a stage's requirements, which may be programs themselves. It sees the
file system as it is but for the places that JSON names to be covered, and no process but its own. It must never be
given a variable that the program does not need: it hands all of its own on.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from gitdata.worker import private, root, syscalls
from gitdata.worker.sandbox import PYTHON

_RUN = "/run"  # sockets of the machine's services, and what they keep secret
# What root needs to write where another user's files are, and to install them for others.
_KEPT = frozenset({0, 1, 3, 4})  # CHOWN, DAC_OVERRIDE, FOWNER, FSETID


def enclosure(hidden: Sequence[str], *, user_namespace: bool) -> Callable[[Sequence[Path]], list[str]]:
    """Makes the words to put before a program, of what it needs to see among all that is hidden."""

    def words(kept: Sequence[Path]) -> list[str]:
        resolver = Path("/etc/resolv.conf")  # often a link into /run
        needed = [str(path.resolve()) for path in (*kept, resolver)]
        told = {"hidden": [*hidden, _RUN], "kept": needed, "user_namespace": user_namespace}
        return [*PYTHON, "gitdata.worker.apart", json.dumps(told)]

    return words


def main() -> int:
    told = json.loads(sys.argv[1])
    try:
        syscalls.isolate(user_namespace=told["user_namespace"])
        init = os.fork()
        if init == 0:
            _init(told, sys.argv[2:])
    except OSError as error:
        return _problem(error)
    code = _code(os.waitpid(init, 0)[1])
    if code > 128:  # the program was killed: whoever waits for it must see that
        os.kill(os.getpid(), code - 128)
    return code


def _init(told: dict[str, list[str]], command: Sequence[str]) -> NoReturn:
    """Process 1 of the namespace: cover what is hidden, run the program, reap until it ends."""
    code = 71
    try:
        syscalls.die_with_parent()
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
        # Found before the first is covered, which may hold the way to another.
        covered = [name for place in told["hidden"] for name in private.all_but(place, told["kept"])]
        for name in (*covered, *private.unreadable()):
            root.cover(Path(name))
        root.mount_proc("/proc")
        syscalls.conceal(True)
        child = os.fork()
        if child == 0:
            _become(command)
        syscalls.forbid_privileges()
        syscalls.drop_capabilities()
        while True:
            pid, status = os.wait()
            if pid == child:
                code = _code(status)
                break
    except OSError as error:
        code = _problem(error)
    os._exit(code)


def _become(command: Sequence[str]) -> NoReturn:
    try:
        syscalls.conceal(False)
        syscalls.forbid_privileges(_KEPT)
        syscalls.drop_capabilities(_KEPT)
        os.execvp(command[0], list(command))
    except OSError as error:
        os._exit(_problem(error))


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _problem(error: OSError) -> int:
    print(f"cannot run it apart from this machine's files: {error.strerror or error}", file=sys.stderr, flush=True)
    return 71


if __name__ == "__main__":
    sys.exit(main())
