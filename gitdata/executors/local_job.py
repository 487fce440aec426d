"""One job on this machine: prepare the stage's environment, then have its shards done by worker processes.

Made by executors.local, in a thread of its own, with a thread for each worker. A worker that dies takes its shard
with it; the others finish theirs, because what they finish need not be done again.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gitdata.backends.containers import Engine
from gitdata.backends.git import Git
from gitdata.backends.images import prepare
from gitdata.backends.processes import Processes
from gitdata.backends.variables import of_store
from gitdata.errors import GitdataError, InvalidInputError
from gitdata.executors.base import Job, Progress
from gitdata.executors.cores import Cores
from gitdata.executors.scratch import Scratch
from gitdata.executors.worker_process import WorkerProcess
from gitdata.model import JobStatus
from gitdata.worker.apart import enclosure
from gitdata.worker.job import WorkerJob


@dataclass(frozen=True, slots=True)
class Place:
    """What all jobs of an executor share."""

    store: str
    store_options: tuple[tuple[str, str], ...]
    cache_home: Path
    hidden: tuple[str, ...]
    cores: Cores
    cores_count: int
    flush_seconds: float
    engine_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """Who runs the commands, and the secrets they get: variable -> value. engine: runs them, for an image reference."""

    uid: int | None
    gid: int | None
    user_namespace: bool
    secrets: tuple[tuple[str, str], ...]
    engine: Engine | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """What the workers are told of the image: a folder's code and environment, or the local id of a reference."""

    code: str = ""
    venv: str = ""
    image: str = ""


class LocalJob:
    """A job from its start to the end of its last worker."""

    def __init__(self, job: Job, git: Git, place: Place, person: Person) -> None:
        self.job = job
        self._git, self._place, self._person = git, place, person
        self._lock = threading.Lock()
        self._status = JobStatus("pending")
        self._progress = Progress(total=job.datums)
        self._bytes: dict[int, tuple[int, int]] = {}
        self._shards = deque(range(job.shards))
        self._workers: set[WorkerProcess] = set()
        self._programs = Processes()  # what prepares the environment
        self._end: JobStatus | None = None  # it was ended from outside
        self._problem: JobStatus | None = None  # a worker died; the others go on
        self._thread = threading.Thread(target=self._run, name=f"job {job.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    @property
    def status(self) -> JobStatus:
        with self._lock:
            return self._status

    @property
    def progress(self) -> Progress:
        with self._lock:
            down, up = (sum(values) for values in zip((0, 0), *self._bytes.values(), strict=True))
            return replace(self._progress, bytes_down=down, bytes_up=up)

    def stop(self, message: str, *, infrastructure: bool = True) -> None:
        """End the job and everything it started; it has then failed for this reason, unless it had ended."""
        with self._lock:
            self._end = self._end or JobStatus("failed", message, infrastructure)
            workers = list(self._workers)
        self._programs.close()
        for worker in workers:
            worker.kill()
        self._place.cores.wake()

    def _stopped(self) -> bool:
        return self._end is not None

    def _run(self) -> None:
        end = JobStatus("failed", "the job ended by a defect of gitdata", infrastructure=True)
        try:
            self._work()
            end = self._end or self._problem or JobStatus("succeeded")
        except GitdataError as error:
            # What a person wrote is theirs to correct; the machine and the network are not.
            mine = not isinstance(error, InvalidInputError)
            text = f"{error.message}; {error.hint}" if error.hint else error.message
            end = self._end or JobStatus("failed", text, infrastructure=mine)
        except OSError as error:
            end = self._end or JobStatus("failed", f"{error.strerror}: {error.filename}", infrastructure=True)
        finally:
            with self._lock:
                self._status = end

    def _work(self) -> None:
        image = self._prepare()
        with Scratch(self._place.cache_home, self.job.name, self._person.engine) as scratch, ExitStack() as stack:
            with self._lock:
                self._status = JobStatus("running")
            limit = self.job.stage.job_timeout_ms / 1000
            if limit:
                message = f"the job was ended after job_timeout ({limit:g} s)"
                timer = threading.Timer(limit, lambda: self.stop(message, infrastructure=False))
                timer.start()
                stack.callback(timer.cancel)
            count = min(max(1, self.job.workers), self._place.cores_count, len(self._shards))
            threads = [
                threading.Thread(target=self._serve, args=(n, image, scratch), daemon=True) for n in range(count)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _prepare(self) -> _Prepared:
        image = self.job.stage.transform.image
        if not image:
            return _Prepared()  # the programs of this machine
        if self._person.engine is not None:
            return _Prepared(image=self._person.engine.bring(image, self.job.environment.id, self._programs))
        enclose = enclosure(self._place.hidden, user_namespace=self._person.user_namespace)
        made = prepare(self._git, self.job.commit, image, self._place.cache_home, self._programs, enclose)
        return _Prepared(str(made.code), str(made.venv or ""))

    def _serve(self, number: int, image: _Prepared, scratch: Path) -> None:
        """One worker: its process begins with its first shard and ends when none is left."""
        worker: WorkerProcess | None = None
        try:
            while self._shards:
                with self._place.cores.held(self.job.name, self._stopped) as granted:
                    if not granted or not self._shards:
                        break
                    shard = self._shards.popleft()
                    worker = worker or self._spawn(number, image, scratch)
                    worker.work(shard)
            if worker is not None:
                worker.finish()
        except (GitdataError, OSError) as error:
            text = error.message if isinstance(error, GitdataError) else str(error)
            with self._lock:
                self._problem = self._problem or JobStatus("failed", text, infrastructure=True)
        finally:
            if worker is not None:
                worker.reap()
                with self._lock:
                    self._workers.discard(worker)

    def _spawn(self, number: int, image: _Prepared, scratch: Path) -> WorkerProcess:
        place, person = self._place, self._person
        told = WorkerJob(
            store=place.store,
            store_options=place.store_options,
            zone=self.job.zone,
            plan=self.job.plan,
            shards=self.job.shards,
            objects=str(scratch / "objects"),
            scratch=str(scratch / f"worker{number}"),
            code=image.code,
            venv=image.venv,
            hidden=place.hidden,
            secrets=person.secrets,
            uid=person.uid,
            gid=person.gid,
            user_namespace=person.user_namespace,
            flush_seconds=place.flush_seconds,
            parent=os.getpid(),
            engine=person.engine.program if person.engine else "",
            image=image.image,
            engine_options=place.engine_options,
            environment=tuple(of_store(os.environ).items()),
        )
        worker = WorkerProcess(told, lambda event: self._heard(number, event))
        with self._lock:
            self._workers.add(worker)
        if self._stopped():
            worker.kill()
        return worker

    def _heard(self, number: int, event: dict[str, Any]) -> None:
        if event["event"] != "datum":
            return
        with self._lock:
            self._bytes[number] = (event["down"], event["up"])
            old = self._progress
            self._progress = replace(
                old,
                processed=old.processed + 1,
                failed=old.failed + (event["state"] == "failed"),
                recovered=old.recovered + (event["state"] == "recovered"),
            )
