"""What one execution in the sandbox needs, and what came of it: the messages between worker and launcher.

Made by worker.datum, sent as JSON, carried out by worker.launcher and worker.root. Plain data, nothing else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Box:
    """One command in a root of its own.

    pfs: the host folder that becomes ``/pfs``. scratch: a host folder with ``root`` (where the new root is
    put together), ``tmp`` and ``vartmp`` in it. code: the host folder that becomes ``/code``, or "".
    binds: (host path, path inside), made read-only. hidden: host paths that must not be seen.
    uid, gid: who runs the command, None for the worker's own. user_namespace: needed by an ordinary user.
    name, user, private (variables with secrets): for a container, which needs neither ``root`` nor ``code``.
    """

    argv: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    cwd: str
    pfs: str
    scratch: str
    stdin: str = ""
    code: str = ""
    binds: tuple[tuple[str, str], ...] = ()
    hidden: tuple[str, ...] = ()
    timeout_ms: int = 0
    uid: int | None = None
    gid: int | None = None
    user_namespace: bool = False
    name: str = ""
    user: str = ""
    private: tuple[str, ...] = ()

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def parse(data: bytes) -> Box:
        raw = json.loads(data)
        for name in ("argv", "hidden", "private"):
            raw[name] = tuple(raw[name])
        for name in ("env", "binds"):
            raw[name] = tuple((first, second) for first, second in raw[name])
        return Box(**raw)


@dataclass(frozen=True, slots=True)
class Exit:
    """How it ended. code: the exit code, 128 + n for signal n. timeout: it was ended for its time.

    error: why the command never ran; ``setup``: the fault is the machine's rather than the command's.
    """

    code: int = 0
    timeout: bool = False
    error: str = ""
    setup: bool = False

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def parse(data: bytes) -> Exit:
        return Exit(**json.loads(data))
