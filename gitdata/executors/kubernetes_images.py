"""Which image a job of a cluster runs: a reference by its digest, or a folder of the commit, built where it must be.

Called by executors.kubernetes: ``environment`` while planning (builds nothing), ``begin`` when a job starts whose image
must be found first. That is done in a thread: the registry is asked for the folder's tag, and only if it has none the
folder is built, once for all jobs that wait for it. Nothing here is remembered that matters: after a restart the
registry is asked again. What comes out, image or failure, goes to the caller, who makes the Job.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from gitdata.backends.builders import Builder, ImageSettings, registries
from gitdata.backends.contexts import PREFIX, FolderName, name_folder, reference_of
from gitdata.backends.git import Git
from gitdata.backends.registry import Reference, check_allowed, image_command, parse_reference, resolve
from gitdata.bounded import Bounded
from gitdata.errors import GitdataError, InvalidInputError, MachineError
from gitdata.executors.base import Job
from gitdata.executors.kubernetes_tags import Tags
from gitdata.model import Environment, JobStatus, Stage

_PAUSE, _LONGEST_PAUSE = 0.5, 15.0  # seconds until a registry that did not answer is asked again
_MOST_NAMES = 4096
_MOST_COMMAND = 32 << 10  # bytes: it goes into a variable
_BUILT, _ASKED = "its image is being built", "its image is looked at for its command"


@dataclass(frozen=True, slots=True)
class Image:
    """reference: by digest. command: what the image runs by itself, asked only for a stage without a command."""

    reference: str
    command: tuple[str, ...] = ()


@dataclass(slots=True)
class _Waiting:
    """A job whose image is sought. trouble: why it takes long. starting: held while it gets its Job, or is dropped."""

    job: Job
    trouble: str = ""
    starting: threading.Lock = field(default_factory=threading.Lock)


class Images:
    """The images of one executor's jobs. patience: for how many seconds a registry may be silent.

    builder: None builds nothing; then folder images must be in the registry.
    """

    def __init__(
        self, settings: ImageSettings, logins: Path | None, builder: Builder | None, *, patience: float
    ) -> None:
        self._settings = replace(settings, logins=str(logins or settings.logins))
        self._own = registries(self._settings)  # the operator's own registry needs nobody's leave
        self._builder = builder
        self._patience = patience
        self._slots = threading.BoundedSemaphore(settings.at_once)
        self._tags = Tags(replace(self._own, allowed=settings.allowed), patience)
        self._names: Bounded[tuple[str, str], FolderName | None] = Bounded(_MOST_NAMES)
        self._lock = threading.Lock()
        self._sought: dict[str, Future[Reference]] = {}  # environment id -> the one search that runs
        self._waiting: dict[str, _Waiting] = {}

    def environment(self, git: Git, commit: str, stage: Stage, known: str, asked: str) -> Environment:
        """The environment of a stage. Raises InvalidInputError, RemoteError with the registry's words."""
        image = stage.transform.image
        folder = self._named(git, commit, image)
        if folder is not None:
            return Environment(folder.id, image)
        if known.startswith("oci:sha256:"):
            check_allowed(parse_reference(image), self._settings.allowed)
            return Environment(known, image)
        return Environment(f"oci:{self._tags.digest(image, asked)}", image)

    def _named(self, git: Git, commit: str, image: str) -> FolderName | None:
        """Asked for every stage at each turn: what a commit holds does not change."""
        at = (commit, image)
        if at in self._names:
            return self._names[at]
        found = self._names[at] = name_folder(git, commit, image, self._settings)
        return found

    # -------------------------------------------------------------------------------------------------- of a job

    def ready(self, job: Job) -> Image | None:
        """The job's image, if nobody has to be asked for it."""
        return Image(_reference(job).pinned) if job.stage.transform.cmd and not _is_folder(job) else None

    def begin(self, job: Job, git: Git, then: Callable[[Job, Image | GitdataError], None], trouble: str = "") -> None:
        """Find the image in a thread, and call ``then`` in it, again while that raises, unless the job is dropped."""
        waiting = _Waiting(job, trouble)
        if self._waiting.setdefault(job.name, waiting) is waiting:
            args = (waiting, git, then)
            threading.Thread(target=self._prepare, args=args, name=f"image {job.name}", daemon=True).start()

    def waiting(self, name: str) -> JobStatus | None:
        """The status of a job whose image is not yet there."""
        waiting = self._waiting.get(name)
        if waiting is None:
            return None
        return JobStatus("pending", waiting.trouble or (_BUILT if _is_folder(waiting.job) else _ASKED))

    def all_waiting(self) -> dict[str, JobStatus]:
        return {name: status for name in list(self._waiting) if (status := self.waiting(name))}

    def drop(self, name: str) -> bool:
        """Forget a job that waits; False if it does not. What is being built is built to its end."""
        waiting = self._waiting.get(name)
        if waiting is None:
            return False
        with waiting.starting:
            return self._remove(waiting)

    def close(self) -> None:
        """Forget all that wait: nothing is asked again."""
        self._waiting.clear()

    def _remove(self, waiting: _Waiting) -> bool:
        there = self._waiting.get(waiting.job.name) is waiting
        if there:
            self._waiting.pop(waiting.job.name, None)  # ``close`` may have been quicker
        return there

    def _prepare(self, waiting: _Waiting, git: Git, then: Callable[[Job, Image | GitdataError], None]) -> None:
        job = waiting.job
        outcome: Image | GitdataError = MachineError(f"image {job.stage.transform.image}: the search for it broke off")
        try:
            outcome = self._patiently(waiting, git)
        except GitdataError as error:
            outcome = error
        finally:
            pause = _PAUSE
            while not self._handed(waiting, outcome, then):
                time.sleep(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)

    def _handed(
        self, waiting: _Waiting, outcome: Image | GitdataError, then: Callable[[Job, Image | GitdataError], None]
    ) -> bool:
        with waiting.starting:  # of this job alone: an API server that is slow keeps no other one
            if self._waiting.get(waiting.job.name) is not waiting:
                return True
            again = False
            try:
                then(waiting.job, outcome)
            except GitdataError as error:
                again, waiting.trouble = True, error.message
            finally:
                if not again:
                    self._remove(waiting)
            return not again

    def _patiently(self, waiting: _Waiting, git: Git) -> Image:
        """The image, or the error that stays. What passes, as a registry that is down, costs no attempt at the run."""
        began, pause = time.monotonic(), _PAUSE
        while True:
            try:
                return self._image(waiting.job, git)
            except GitdataError as error:
                late = time.monotonic() - began + pause > self._patience
                if late or not error.transient or self._waiting.get(waiting.job.name) is not waiting:
                    raise
                waiting.trouble = error.message
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)

    def _image(self, job: Job, git: Git) -> Image:
        found = self._shared(job, git) if _is_folder(job) else _reference(job)
        if job.stage.transform.cmd:
            return Image(found.pinned)
        command = image_command(found, self._own)
        if not command or sum(len(word) for word in command) > _MOST_COMMAND:
            raise InvalidInputError(
                f"stage {job.stage.name}: its image {'names too long a' if command else 'names no'} command",
                hint="write transform.cmd, or ENTRYPOINT or CMD in the Dockerfile",
            )
        return Image(found.pinned, command)

    def _shared(self, job: Job, git: Git) -> Reference:
        """The folder's image; jobs that want the same one at the same time share one search, and its failure."""
        id = job.environment.id
        with self._lock:
            future = self._sought.get(id)
            mine = future is None
            if future is None:
                future = self._sought[id] = Future()
        if mine:
            try:
                future.set_result(self._sought_or_built(job, git))
            except GitdataError as error:
                future.set_exception(error)
            finally:
                with self._lock:
                    del self._sought[id]
                if not future.done():
                    future.set_exception(MachineError(f"image {job.stage.transform.image}: its build broke off"))
        return future.result()

    def _sought_or_built(self, job: Job, git: Git) -> Reference:
        folder = job.stage.transform.image
        text = reference_of(folder, job.environment.id, self._settings)
        try:
            return resolve(text, self._own)
        except InvalidInputError as error:  # also where a registry refuses to say that it has none
            if self._builder is None:
                raise MachineError(
                    f"image {folder}: it is not built, and this controller builds none ({error.message})",
                    hint="push it with `gitdata images push`, or set builder in [images]",
                ) from error
        with self._slots:
            digest = self._builder.build(git, job.commit, folder, text)
        named = parse_reference(f"{text}@{digest}")
        return Reference(named.host, named.path, digest=named.digest)


def failure(error: GitdataError) -> JobStatus:
    """What an error on the way to a Job means for the job. What a person wrote is theirs to correct."""
    message = f"{error.message}; {error.hint}" if error.hint else error.message
    return JobStatus("failed", message[:2000], infrastructure=not isinstance(error, InvalidInputError))


def _is_folder(job: Job) -> bool:
    return job.environment.id.startswith(PREFIX)


def _reference(job: Job) -> Reference:
    named = parse_reference(job.stage.transform.image or job.environment.image)
    return Reference(named.host, named.path, digest=job.environment.id.removeprefix("oci:"))
