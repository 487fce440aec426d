"""Commands in another container of the pod: beside worker.sandbox, the way the agent runs a box.

Called by worker.datum through worker.agent. The launcher (``stage-images/worker/launcher.c``) is process 1 of the
user's container and sees three folders of the volume that both share: ``pfs``, ``tmp`` and ``ctl``. A datum's files go
there by rename before its command and come back by rename after it, when all that the command started is dead. What is
in those folders is the user's: files are opened without following links, and a forged answer harms this run alone.
"""

from __future__ import annotations

import os
import secrets
import shutil
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event

from gitdata.data.folders import FOLDER, Folders
from gitdata.errors import ConflictError, GitdataError, MachineError
from gitdata.worker.box import Box, Exit
from gitdata.worker.datum import remove_tree
from gitdata.worker.sandbox import LOG_BYTES, Tail

_SHORTEST, _LONGEST = 0.001, 0.05  # seconds between two looks
_TICK = 20_000_000  # nanoseconds within which two changes of a file may carry the same time
_MAX_ANSWER = 4096


class StoppedError(GitdataError):
    """The pod ends. died: the command's container ended first and by itself, most likely for want of memory."""

    def __init__(self, *, died: bool) -> None:
        super().__init__("the pod was asked to end", transient=True)
        self.died = died


class Launched:
    """Runs boxes one at a time. work: the volume with ``pfs``, ``tmp`` and ``ctl``. stop: set when the pod ends."""

    def __init__(self, work: Path, stop: Event) -> None:
        self._pfs, self._tmp, self._ctl = work / "pfs", work / "tmp", work / "ctl"
        self._stop = stop
        self._name = ""  # of the order that is being carried out

    def tail(self, most: int) -> bytes:
        """The end of what the running command has printed, b"" if none runs. May be called by another thread."""
        return self._printed(self._name)[-most:] if self._name else b""

    def run(self, box: Box, log: Tail, idle: Callable[[], None] = lambda: None) -> Exit:
        """Run one command to its end; what it printed goes to ``log``. ``idle`` is called about once a second.

        Raises StoppedError, MachineError (the control folder was tampered with).
        """
        self._take(self._pfs, None)
        self._take(self._tmp, None)
        _move(Path(box.pfs), self._pfs)
        _move(Path(box.scratch) / "tmp", self._tmp)
        places: dict[str, list[str]] = {}
        for host, inside in box.binds:
            places.setdefault(host, []).append(inside.removeprefix("/pfs/"))
        loans = [_lend(Path(host), self._pfs, names) for host, names in places.items()]
        try:
            return self._order(box, log, idle)
        finally:
            for loan in loans:
                if loan is not None:
                    loan.take_back()
            self._take(self._pfs, Path(box.pfs))
            self._take(self._tmp, Path(box.scratch) / "tmp")

    def halt(self) -> None:
        """End what an agent before us has started; nothing of it is kept."""
        self._order(Box((), (), "", "", ""), Tail(), lambda: None)
        self._take(self._pfs, None)
        self._take(self._tmp, None)

    def end(self, code: int, words: str) -> None:
        """Let the launcher exit with this code; the words become the pod's."""
        self._write("end", f"{code} {words}".encode(errors="replace")[:_MAX_ANSWER])

    # ------------------------------------------------------------------------------------------------ orders

    def _order(self, box: Box, log: Tail, idle: Callable[[], None]) -> Exit:
        name = secrets.token_hex(8)
        env = [f"{key}={value}" for key, value in box.env]
        fields = ["1", name, str(box.timeout_ms), "1" if box.stdin else "0", box.cwd]
        fields += [str(len(box.argv)), *box.argv, str(len(env)), *env]
        if any("\0" in field for field in fields):
            return Exit(127, error="cannot run the command: a NUL byte in an argument or variable")
        if box.stdin:
            self._write(f"in.{name}", box.stdin.encode(errors="surrogateescape"))
        self._name = name
        self._write("next", b"".join(field.encode(errors="surrogateescape") + b"\0" for field in fields))
        try:
            answer, _, printed = self._wait(f"done.{name}", idle).partition("\n")
            newest = int(printed) // LOG_BYTES % 2 if printed.isascii() and printed.isdecimal() else 0
            for part in (1 - newest, newest):
                log.add(self._read(f"log.{name}.{part}", 4 * LOG_BYTES) or b"")
        except StoppedError:
            log.add(self._printed(name))
            raise
        finally:
            self._name = ""
            for left in (f"in.{name}", f"done.{name}", f"log.{name}.0", f"log.{name}.1"):
                self._remove(left)
        kind, _, text = answer.partition(" ")
        if kind == "exit" and text.isascii() and text.isdecimal() and int(text) < 256:
            return Exit(int(text))
        if kind in ("timeout", "error"):
            return Exit(127, timeout=kind == "timeout", error="" if kind == "timeout" else text or "it did not run")
        raise MachineError(f"the launcher's answer cannot be read: {answer[:100]!r}")

    def _printed(self, name: str) -> bytes:
        """What a command without an end has printed so far: the file that changed last is the newer part."""
        parts = [f"log.{name}.{part}" for part in (0, 1)]
        parts.sort(key=self._changed)
        return b"".join(self._read(part, 4 * LOG_BYTES) or b"" for part in parts)

    def _changed(self, name: str) -> int:
        try:
            return (self._ctl / name).lstat().st_mtime_ns
        except OSError:
            return 0

    def _wait(self, name: str, idle: Callable[[], None]) -> str:
        pause, since = _SHORTEST, time.monotonic()
        while True:
            answer = self._read(name, _MAX_ANSWER)
            if answer is not None:
                return answer.decode(errors="replace")
            if self._stop.wait(pause):
                raise StoppedError(died=not (self._ctl / "term").exists())
            pause = min(_LONGEST, pause * 1.1)
            if time.monotonic() - since >= 1:
                since = time.monotonic()
                idle()

    def _read(self, name: str, most: int) -> bytes | None:
        """A plain file of the control folder, None if there is none."""
        try:
            file = os.open(self._ctl / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        with os.fdopen(file, "rb") as opened:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise MachineError(f"the control folder was tampered with: {name} is no plain file")
            return opened.read(most)

    def _write(self, name: str, data: bytes) -> None:
        """Make a file of the control folder appear whole."""
        made = self._ctl / f"{name}.{secrets.token_hex(8)}"
        file = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as opened:
            opened.write(data)
        made.rename(self._ctl / name)

    def _remove(self, name: str) -> None:
        path = self._ctl / name
        try:
            path.unlink(missing_ok=True)
        except OSError:
            remove_tree(path)

    # ------------------------------------------------------------------------------------------- shared folders

    def _take(self, shared: Path, to: Path | None) -> None:
        """Empty a folder that the user's container sees: into ``to``, or away."""
        shared.chmod(0o777)
        if to is not None:
            _move(shared, to)
            return
        for path in shared.iterdir():
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink()


@dataclass(frozen=True, slots=True)
class _Loan:
    """A shared object in a datum's folder for the time of one command: read-only, and not taken back if altered.

    Nobody can set a file's change time, so that an equal one on the same file says that nothing was written to it.
    """

    home: Path
    pfs: Path
    place: str
    lent: os.stat_result

    def take_back(self) -> None:
        with suppress(OSError, ConflictError), _parent(self.pfs, self.place) as (folder, name):
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            same = (found.st_ino, found.st_dev, found.st_ctime_ns, found.st_nlink)
            if same == (self.lent.st_ino, self.lent.st_dev, self.lent.st_ctime_ns, 1):
                os.rename(name, self.home, src_dir_fd=folder)
        # What the command removed or altered will be fetched again.


def _lend(home: Path, pfs: Path, places: Sequence[str]) -> _Loan | None:
    """Put a shared object in the first of its places and copies of it in the others.

    None where there is no such place any more, or no such object: what the command did with it is there for its
    err_cmd to see, and the next try fetches it again.
    """
    try:
        home.chmod(stat.S_IMODE(home.stat().st_mode) & ~0o222)
    except FileNotFoundError:
        return None
    for place in places[1:]:
        copy = home.with_suffix(".copy")
        shutil.copy(home, copy)
        if _put(copy, pfs, place) is None:
            copy.unlink(missing_ok=True)
    lent = _put(home, pfs, places[0])
    if lent is None:
        return None
    while time.time_ns() - lent.st_ctime_ns < _TICK:
        time.sleep(0.005)
    return _Loan(home, pfs, places[0], lent)


def _put(file: Path, pfs: Path, place: str) -> os.stat_result | None:
    """Move a file of ours to its place in ``pfs``, over what is there; None where there is no such place any more."""
    try:
        with _parent(pfs, place) as (folder, name):
            os.rename(file, name, dst_dir_fd=folder)
            return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (OSError, ConflictError):
        return None


@contextmanager
def _parent(pfs: Path, place: str) -> Iterator[tuple[int, str]]:
    """The open folder of a place, reached through no link, and the name in it. Raises OSError, ConflictError."""
    folder, _, name = place.rpartition("/")
    top = os.open(pfs, FOLDER)
    try:
        with Folders(top) as folders:
            found = folders.open(folder)
            if found is None:
                raise FileNotFoundError(folder)
            yield found, name
    finally:
        os.close(top)


def _move(source: Path, target: Path) -> None:
    """Move everything in a folder to another one."""
    for path in list(source.iterdir()):
        try:
            path.rename(target / path.name)
        except PermissionError:
            path.chmod(0o700)  # a folder must be writable to be moved, whoever owns it
            path.rename(target / path.name)
