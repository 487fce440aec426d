"""One datum from its inputs to its result: stage ``/pfs``, run, read the output, store it, describe it.

Called by worker.__main__ for each datum of a shard. A datum that fails is a result like any other. What raises is
what no other datum can be spared either: the store is down, the disk is full, the sandbox cannot be built.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gitdata.backends.objects import ObjectStore
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.formats.keys import log_key
from gitdata.model import Datum, DatumResult, Failure, Listing, RunPlan
from gitdata.worker import environment
from gitdata.worker.box import Box, Exit
from gitdata.worker.job import WorkerJob
from gitdata.worker.outputs import OutputError, OutputStore
from gitdata.worker.sandbox import Runner, Tail, make_folders
from gitdata.worker.staging import Staged, Stager, undisturbed


@dataclass(frozen=True, slots=True)
class Try:
    """What one try came to: outputs, or a failure, or (recovered) neither."""

    staged: Staged
    outputs: Listing = ()
    failure: Failure | None = None
    recovered: bool = False


def _no_matter(datum: str, tries: int) -> None:
    """Nobody needs to know."""


class DatumRunner:
    """Works through datums one at a time. idle: called about once a second while a command runs.

    began: called before each try with the datum's id and the number of the try. datums: those that it may be given,
    None for any of the plan.
    """

    def __init__(
        self,
        job: WorkerJob,
        plan: RunPlan,
        store: ObjectStore,
        sandbox: Runner,
        idle: Callable[[], None],
        began: Callable[[str, int], None] = _no_matter,
        datums: Sequence[Datum] | None = None,
    ) -> None:
        self._job, self._plan, self._store, self._sandbox, self._idle = job, plan, store, sandbox, idle
        self._began = began
        self._log, self._tries, self._started = Tail(), 0, 0  # of the datum in hand
        self._scratch = Path(job.scratch)
        self._mask = job.mask()
        self._owner = None if job.uid is None else (job.uid, job.uid if job.gid is None else job.gid)
        mine = plan.datums if datums is None else datums
        self.stager = Stager(store, Path(job.objects), mine, self._owner, job.disk)
        self.outputs = OutputStore(store)

    def process(self, datum: Datum, tried: int = 0) -> DatumResult:
        """Try a datum until it succeeds or its tries are used up, ``tried`` of them already by others.

        Raises RemoteError, MachineError, OSError.
        """
        self._started = _now()
        log = self._log = Tail()
        last: Try | None = None
        tries = self._tries = tried
        most = max(tried + 1, self._plan.stage.datum_tries)
        try:
            while tries < most:
                tries += 1
                self._tries = tries
                self._began(datum.id, tries)
                if last is not None and last.failure is not None:
                    log.add(f"gitdata: {last.failure.message}; try {tries}\n".encode(errors="replace"))
                last = self._try(datum, log, final=tries >= most)
                if last.failure is None:
                    break
            result = self._result(datum, last)
        except (MissingDataError, InvalidInputError) as error:
            # The inputs cannot be had: another attempt may find them, this worker's next datum may have its own.
            result = DatumResult(datum.id, failure=Failure("infrastructure", error.message))
        return self._told(result)

    def tail(self, most: int) -> bytes:
        """The end of what the tries of the datum in hand have printed. May be called by another thread."""
        return self._mask.bytes(self._log.bytes())[-most:]

    def lost(self, datum: Datum, judge: Callable[[int], Failure]) -> DatumResult:
        """The result of the datum in hand, whose try nobody saw end. judge: what that means after so many tries."""
        return self._told(DatumResult(datum.id, failure=judge(self._tries)))

    def _told(self, result: DatumResult) -> DatumResult:
        failure = result.failure
        return replace(
            result,
            failure=failure and replace(failure, message=self._mask.text(failure.message)),
            tries=max(1, self._tries),
            started=self._started,
            finished=_now(),
            log=self._store_log(self._mask.bytes(self._log.bytes())),
            job=self._plan.job,
        )

    def _try(self, datum: Datum, log: Tail, *, final: bool) -> Try:
        pfs = self._clear()
        staged = self.stager.stage(datum, pfs)
        transform = self._plan.stage.transform
        done = self._run(datum, staged, transform.cmd, transform.stdin, log)
        failure = self._judge(done, transform.cmd, log)
        if failure is not None:
            recovered = False
            if transform.err_cmd and final:
                left = undisturbed(staged, pfs)
                handled = self._run(datum, left, transform.err_cmd, transform.err_stdin, log)
                recovered = not handled.code and not handled.error and not handled.timeout
            return Try(staged, failure=None if recovered else failure, recovered=recovered)
        try:
            return Try(staged, outputs=self.outputs.store(pfs, staged))
        except OutputError as error:
            return Try(staged, failure=Failure("output", error.message, done.code))

    def _run(
        self, datum: Datum, staged: Staged, cmd: tuple[str, ...], stdin: tuple[str, ...] | None, log: Tail
    ) -> Exit:
        stage = self._plan.stage
        box = Box(
            argv=cmd,
            env=environment.variables(self._job, self._plan, datum),
            cwd=stage.transform.working_dir or ("/code" if self._job.code else "" if self._job.engine else "/"),
            pfs=str(self._scratch / "pfs"),
            scratch=str(self._scratch),
            stdin="".join(f"{line}\n" for line in stdin or ()),
            code=self._job.code,
            binds=(*environment.binds(self._job), *staged.binds),
            hidden=self._job.hidden,
            timeout_ms=stage.datum_timeout_ms,
            uid=self._job.uid,
            gid=self._job.gid,
            user_namespace=self._job.user_namespace,
            name=f"{self._plan.job}-{datum.id[:12]}",
            user=stage.transform.user,
            private=tuple(name for name, _ in self._job.secrets),
        )
        return self._sandbox.run(box, log, self._idle)

    def _judge(self, done: Exit, cmd: tuple[str, ...], log: Tail) -> Failure | None:
        """What the end of the command means."""
        if done.timeout:
            limit = self._plan.stage.datum_timeout_ms / 1000
            return Failure("timeout", f"the command was ended after datum_timeout ({limit:g} s)")
        if done.error:
            return Failure("user", done.error, done.code)
        if done.code == 0 or done.code in self._plan.stage.transform.accept_return_code:
            return None
        words = log.bytes().decode(errors="replace").rstrip().rpartition("\n")[2][-300:]
        said = "".join(c for c in words if c.isprintable())
        what = f"`{shlex.join(cmd)[:200]}`" if cmd else "the image's command"
        message = f"{what} ended with {done.code}"
        return Failure("user", f"{message}: {said}" if said else message, done.code)

    def _result(self, datum: Datum, last: Try | None) -> DatumResult:
        assert last is not None  # at least one try was made
        return DatumResult(
            datum.id,
            outputs=last.outputs,
            failure=last.failure,
            recovered=last.recovered,
            fetched=tuple(sorted((oid, d.sha256, d.size) for oid, d in last.staged.digests.items())),
        )

    def _store_log(self, text: bytes) -> str:
        if not text:
            return ""
        name = hashlib.sha256(text).hexdigest()
        self._store.write(log_key(self._job.zone, name), text)
        return name

    def _clear(self) -> Path:
        """Empty the worker's folders of what the last command left there; returns the empty ``pfs``."""
        pfs = self._scratch / "pfs"
        for folder in (pfs, self._scratch / "tmp", self._scratch / "vartmp"):
            # Removing a folder costs milliseconds: those that are empty and as they were made stay.
            if folder == pfs or not _is_fresh(folder):
                remove_tree(folder)
        make_folders(self._scratch)
        pfs.mkdir()
        if self._owner is not None:
            os.chown(pfs, *self._owner)
        return pfs


def _is_fresh(folder: Path) -> bool:
    try:
        found = folder.lstat()
        return found.st_mode == stat.S_IFDIR | 0o1777 and found.st_uid == os.geteuid() and not any(folder.iterdir())
    except FileNotFoundError:
        return False


def remove_tree(folder: Path) -> None:
    """Remove a folder that a command wrote: with modes that forbid it, or deeper than Python can go."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        if folder.exists():
            raise
    except (OSError, RecursionError):
        for command in (["chmod", "-R", "u+rwX", "--", str(folder)], ["rm", "-rf", "--", str(folder)]):
            subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if folder.exists():
            raise


def _now() -> int:
    return time.time_ns() // 1_000_000
