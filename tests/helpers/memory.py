"""An executor that keeps its jobs in memory. What a job does is a function, run in a thread or at once.

``Sandboxed`` does what a worker does, so that the conformance suite holds it to the Protocol; a test of the loop gives
another, which answers at once and as it likes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.backends.images import folder_environment_id, prepare
from gitdata.backends.processes import Processes
from gitdata.backends.stores import open_store
from gitdata.errors import GitdataError, InvalidInputError
from gitdata.executors.base import Job, Progress, workers_on
from gitdata.model import Environment, JobStatus, Stage
from gitdata.worker.datum import DatumRunner
from gitdata.worker.job import WorkerJob, read_plan
from gitdata.worker.sandbox import Sandbox, ability
from gitdata.worker.segments import Segments

_ENDED = ("succeeded", "failed")


@dataclass
class Running:
    """A job that runs. looks: for how many looks at it it goes on after its work is done; end: how it then ends."""

    job: Job
    progress: Progress
    status: JobStatus = field(default_factory=lambda: JobStatus("pending"))
    looks: int = 0
    end: JobStatus | None = None
    on_stop: Callable[[], None] = lambda: None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def stop(self, message: str, *, infrastructure: bool = True) -> None:
        with self.lock:
            if self.status.state not in _ENDED:
                self.end, self.looks = JobStatus("failed", message, infrastructure), 0
        self.on_stop()


Work = Callable[[Running, Git], JobStatus]


class MemoryExecutor:
    """work: does a job and says how it ended. threads: in a thread of its own, else before ``start`` returns."""

    name = "memory"

    def __init__(self, work: Work, *, threads: bool) -> None:
        self._work, self._threads = work, threads
        self._jobs: dict[str, Running] = {}
        self._begun: list[threading.Thread] = []
        self.starts: list[Job] = []

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        if stage.transform.secrets:
            raise InvalidInputError(f"stage {stage.name}: there is no secret here")
        return Environment(folder_environment_id(git, commit, stage.transform.image), stage.transform.image)

    def workers(self, stage: Stage) -> int:
        return workers_on(stage, 1)

    def start(self, job: Job, git: Git) -> None:
        if job.name in self._jobs:
            return
        running = self._jobs[job.name] = Running(job, Progress(job.datums))
        self.starts.append(job)
        if not self._threads:
            self._run(running, git)
            return
        thread = threading.Thread(target=self._run, args=(running, git), daemon=True)
        self._begun.append(thread)
        thread.start()

    def _run(self, running: Running, git: Git) -> None:
        try:
            end = self._work(running, git)
        except GitdataError as error:
            end = JobStatus("failed", error.message, infrastructure=not isinstance(error, InvalidInputError))
        except OSError as error:  # the sandbox was ended between two commands
            end = JobStatus("failed", str(error), infrastructure=True)
        with running.lock:
            running.end = running.end or end
            running.status = JobStatus("running") if running.looks else running.end

    def status(self, name: str) -> JobStatus | None:
        running = self._jobs.get(name)
        return self._seen(running) if running else None

    def _seen(self, running: Running) -> JobStatus:
        with running.lock:
            if not self._threads and running.end is not None and not running.looks:
                running.status = running.end
            return running.status

    def progress(self, name: str) -> Progress:
        return self._jobs[name].progress if name in self._jobs else Progress()

    def jobs(self) -> dict[str, JobStatus]:
        for running in self._jobs.values():
            running.looks = max(0, running.looks - 1)
        return {name: self._seen(running) for name, running in list(self._jobs.items())}

    def lost(self) -> set[str]:
        return set()

    def commit(self, name: str) -> str:
        return ""

    def is_foreign(self, name: str) -> bool:
        return False

    def cancel(self, name: str) -> None:
        if name in self._jobs:
            self._jobs[name].stop("cancelled")

    def forget(self, name: str) -> None:
        if name in self._jobs and self._seen(self._jobs[name]).state in _ENDED:
            del self._jobs[name]

    def close(self) -> None:
        for running in self._jobs.values():
            running.stop("the controller ended")
        for thread in self._begun:
            thread.join()


class Sandboxed:
    """Does a job's datums one after another, in this process, each command in the sandbox."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url, self._folder = url, folder

    def __call__(self, running: Running, git: Git) -> JobStatus:
        job, scratch, store = running.job, self._folder / running.job.name, open_store(self._url)
        code = prepare(git, job.commit, job.stage.transform.image, self._folder, Processes()).code
        told = self._told(job, scratch, str(code))
        for folder in (told.scratch, told.objects):
            Path(folder).mkdir(parents=True, mode=0o700)
        plan = read_plan(store, told)
        segments = Segments(store, job.zone, plan.stage_key, 5)
        running.status = JobStatus("running")
        with Sandbox() as sandbox:
            running.on_stop = sandbox._process.kill
            if running.end is not None:
                return running.end
            timer = self._timer(running)
            try:
                runner = DatumRunner(told, plan, store, sandbox, segments.flush_if_due)
                for shard in range(job.shards):
                    for datum in plan.datums[shard :: job.shards]:
                        result = runner.process(datum)
                        segments.add(result)
                        running.progress = replace(
                            running.progress,
                            processed=running.progress.processed + 1,
                            failed=running.progress.failed + (result.failure is not None),
                            recovered=running.progress.recovered + result.recovered,
                            bytes_down=runner.stager.bytes_down,
                            bytes_up=runner.outputs.bytes_up,
                        )
            finally:
                timer.cancel()
                with suppress(GitdataError):
                    segments.flush()
                running.on_stop = lambda: None
        return JobStatus("succeeded")

    def _timer(self, running: Running) -> threading.Timer:
        seconds = running.job.stage.job_timeout_ms / 1000
        timer = threading.Timer(seconds or 3600, running.stop, ("job_timeout is over",), {"infrastructure": False})
        timer.daemon = True
        timer.start()
        return timer

    def _told(self, job: Job, scratch: Path, code: str) -> WorkerJob:
        return WorkerJob(
            store=self._url,
            store_options=(),
            zone=job.zone,
            plan=job.plan,
            shards=job.shards,
            objects=str(scratch / "objects"),
            scratch=str(scratch / "worker"),
            code=code,
            venv="",
            hidden=(),
            secrets=(),
            uid=None,
            gid=None,
            user_namespace=ability(),
            flush_seconds=5,
            parent=0,
        )
