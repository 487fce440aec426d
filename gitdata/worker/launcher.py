"""The process that starts the user's commands: ``python -m gitdata.worker.launcher <socket> <parent pid>``.

Started once by worker.sandbox and kept, so that a datum costs a few forks and mounts and no interpreter. It
is small and has one thread, which is what makes forking safe. For each box:

    launcher -> keeper (namespaces, time limit) -> init (pid 1: the new root, reaps) -> the user's command

Each dies with the one before it, and the kernel ends a pid namespace with its init: nothing that a command
started outlives it. It must never touch the object store or any file of the datum.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from pathlib import Path
from typing import NoReturn

from gitdata.worker import private, root, syscalls
from gitdata.worker.box import Box, Exit

_LENGTH = struct.Struct("!Q")
_F_SETPIPE_SZ = 1031
_PIPE_BYTES = 1 << 20


def main() -> int:
    """Serve boxes from the worker until it closes its end."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    syscalls.die_with_parent()
    if os.getppid() != int(sys.argv[2]):
        return 1
    closed = private.unreadable()
    while True:
        request = receive(channel)
        if request is None:
            return 0
        body, descriptors = request
        answer = _serve(Box.parse(body), closed, descriptors[0])
        os.close(descriptors[0])
        send(channel, answer.dump())


def send(channel: socket.socket, body: bytes, descriptors: tuple[int, ...] = ()) -> None:
    """One message: its length (and with it, open files), then its bytes."""
    socket.send_fds(channel, [_LENGTH.pack(len(body))], descriptors)
    channel.sendall(body)


def receive(channel: socket.socket) -> tuple[bytes, list[int]] | None:
    """The next message, or None when the other end is closed."""
    header, descriptors, _, _ = socket.recv_fds(channel, _LENGTH.size, 4)
    if len(header) < _LENGTH.size:
        return None
    body = bytearray()
    while len(body) < _LENGTH.unpack(header)[0]:
        piece = channel.recv(1 << 16)
        if not piece:
            return None
        body += piece
    return bytes(body), descriptors


def _serve(box: Box, closed: tuple[str, ...], output: int) -> Exit:
    reading, writing = os.pipe()
    launcher = os.getpid()
    child = os.fork()
    if child == 0:
        os.write(writing, _keep(box, closed, output, launcher).dump())
        os._exit(0)
    os.close(writing)
    answer = _read_all(reading)
    os.waitpid(child, 0)
    return Exit.parse(answer) if answer else Exit(error="the sandbox was killed from outside", setup=True)


def _read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


def _keep(box: Box, closed: tuple[str, ...], output: int, launcher: int) -> Exit:
    """The keeper: make the namespaces, start init in them, hold the time limit, say how it ended."""
    syscalls.die_with_parent()
    if os.getppid() != launcher:
        os._exit(1)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    stdin = _feed(box.stdin.encode(errors="surrogateescape"), output)
    errors, report = os.pipe()
    alive, holder = os.pipe()
    try:
        syscalls.isolate(user_namespace=box.user_namespace)
        syscalls.die_with_parent()  # forgotten with the change of user
        init = os.fork()
    except OSError as error:
        return Exit(error=error.strerror or str(error), setup=True)
    if init == 0:
        os.close(holder)
        _init(box, closed, (stdin, output), report, alive)
    for descriptor in (stdin, output, report, alive):
        os.close(descriptor)
    problem = _read_all(errors).decode(errors="replace")
    code, timeout = _wait(init, box.timeout_ms)
    if problem:
        kind, _, text = problem.partition(":")
        return Exit(code=code, error=text, setup=kind == "setup")
    return Exit(code=code, timeout=timeout)


def _feed(data: bytes, output: int) -> int:
    """A pipe from which ``data`` can be read. What does not fit in is written by a process of its own."""
    reading, writing = os.pipe()
    if len(data) > 4096:
        with contextlib.suppress(OSError):  # more than an ordinary user may have: it goes in pieces
            fcntl.fcntl(writing, _F_SETPIPE_SZ, _PIPE_BYTES)
    os.set_blocking(writing, False)
    data = data[os.write(writing, data) :] if data else data
    if data and os.fork() == 0:
        syscalls.die_with_parent()
        os.close(reading)
        os.close(output)
        os.set_blocking(writing, True)
        try:
            while data:
                data = data[os.write(writing, data) :]
        except BrokenPipeError:
            pass  # a command need not read its standard input
        os._exit(0)
    os.close(writing)
    return reading


def _wait(init: int, timeout_ms: int) -> tuple[int, bool]:
    """The exit code of init, and whether it had to be killed for its time.

    Waiting for a killed init waits for every process of its namespace.
    """
    deadline = time.monotonic() + timeout_ms / 1000
    timeout = False
    while True:
        done, status = os.waitpid(init, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return (code if code >= 0 else 128 - code), timeout
        left = deadline - time.monotonic() if timeout_ms and not timeout else 60.0
        if left <= 0:
            os.kill(init, signal.SIGKILL)
            timeout = True
        else:
            signal.sigtimedwait({signal.SIGCHLD}, left)


def _init(box: Box, closed: tuple[str, ...], streams: tuple[int, int], report: int, alive: int) -> NoReturn:
    """Process 1 of the namespace: build the root, start the command, reap until it ends."""
    syscalls.die_with_parent()
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)  # the keeper was gone before we could ask to die with it
    _close_all_but(*streams, report)
    try:
        root.enter(box, closed)
        command = os.fork()
    except OSError as error:
        os.write(report, f"setup:{error.strerror or error}".encode(errors="replace"))
        os._exit(1)
    if command == 0:
        _command(box, streams, report)
    _close_all_but()
    syscalls.forbid_privileges()
    syscalls.drop_capabilities()
    while True:
        pid, status = os.wait()
        if pid == command:
            code = os.waitstatus_to_exitcode(status)
            os._exit(code if code >= 0 else 128 - code)


def _close_all_but(*kept: int) -> None:
    """Close every other file: the command can see process 1, which must lead to nothing of ours."""
    start = 0
    for descriptor in (*sorted(kept), max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4096)):
        if start < descriptor:  # Python takes 0, 0 for all that there are
            os.closerange(start, descriptor)
        start = descriptor + 1


def _command(box: Box, streams: tuple[int, int], report: int) -> NoReturn:
    """Become the user's command: no privileges, no open files but the three, nothing inherited."""
    doing, kind = "give up privileges", "setup"
    try:
        os.setsid()
        for descriptor, number in ((streams[0], 0), (streams[1], 1), (streams[1], 2)):
            os.dup2(descriptor, number)
        _close_all_but(0, 1, 2, report)
        Path("/proc/self/oom_score_adj").write_text("500")  # memory runs out: before the worker
        syscalls.forbid_privileges()
        if box.uid is not None and not box.user_namespace:
            os.setgroups([])
            os.setresgid(*[box.gid if box.gid is not None else box.uid] * 3)
            os.setresuid(box.uid, box.uid, box.uid)
        syscalls.drop_capabilities()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(ignored, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.umask(0o022)
        doing, kind = f"enter working_dir {box.cwd}", "command"
        os.chdir(box.cwd)
        doing = f"run {box.argv[0]}"
        os.execvpe(box.argv[0], box.argv, dict(box.env))
    except (OSError, ValueError) as error:  # ValueError: a NUL or "=" where the system allows none
        why = error.strerror if isinstance(error, OSError) else str(error)
        os.write(report, f"{kind}:cannot {doing}: {why}".encode(errors="replace"))
    os._exit(127)


if __name__ == "__main__":
    sys.exit(main())
