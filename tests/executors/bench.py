"""A bench for executors: a repository with image folders, a store with inputs, plans, and what came out.

Shared by the conformance suite and the tests of the worker. It plays the controller's part in the fewest words.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitdata import identity
from gitdata.backends.git import Git
from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.datums import enumerate_datums
from gitdata.executors.base import Executor, Job
from gitdata.executors.live import read_shards
from gitdata.formats.dvc import object_key
from gitdata.formats.index import parse_index
from gitdata.formats.keys import datum_prefix, log_key, plan_key
from gitdata.formats.plans import dump_plan
from gitdata.model import DatumResult, Entry, JobStatus, Listing, PfsInput, RunPlan, Stage, Transform
from helpers.machine import Repo

Files = Mapping[str, bytes | tuple[bytes, bool]]


@dataclass
class Done:
    """A finished job: its status, its plan, and the results by the match of the datum's first input."""

    name: str
    status: JobStatus
    plan: RunPlan
    results: dict[str, DatumResult]
    segments: int
    bench: Bench = field(repr=False)

    @property
    def only(self) -> DatumResult:
        assert len(self.results) == 1, self.status
        return next(iter(self.results.values()))

    def output(self) -> dict[str, bytes]:
        """All output files of all datums."""
        store = self.bench.store
        return {e.path: store.read(object_key(e.oid)) for r in self.results.values() for e in r.outputs}

    def log(self) -> str:
        return self.bench.store.read(log_key("main", self.only.log)).decode(errors="replace")


class Bench:
    """One repository, one store, one executor at a time."""

    def __init__(self, repo: Repo, folder: Path, url: str = "") -> None:
        self.repo = repo
        self.git = Git(repo.path)
        self.url = url or str(folder / "store")
        self.store: ObjectStore = open_store(self.url)
        self.cache_home = folder / "gitdata-cache"
        self.default_image = "image"
        self._jobs = 0
        self.image(**{"run.sh": "echo\n"})

    def image(self, **files: str) -> str:
        """Commit the image folder ``image`` with these files; returns the commit."""
        for name, text in files.items():
            self.repo.write(f"image/{name}", text)
        return self.repo.commit("image")

    def input(self, files: Files) -> Listing:
        """Store files as an input's listing."""
        entries = []
        for path, value in files.items():
            data, executable = value if isinstance(value, tuple) else (value, False)
            oid = hashlib.md5(data, usedforsecurity=False).hexdigest()
            self.store.write(object_key(oid), data)
            entries.append(Entry(path, oid, len(data), executable))
        return tuple(sorted(entries, key=lambda e: e.path))

    def stage(self, script: str | None = None, *, cmd: tuple[str, ...] = ("sh",), **more: Any) -> Stage:
        """A stage whose command is a shell with ``script`` on its standard input."""
        stage_fields = {"datum_tries": 1, "input": PfsInput("in", "/", "in")} | {
            k: more.pop(k) for k in list(more) if k in Stage.__dataclass_fields__
        }
        stdin = None if script is None else tuple(script.splitlines())
        return Stage(
            name="stage", transform=Transform(more.pop("image", self.default_image), cmd, stdin, **more), **stage_fields
        )

    def plan(self, executor: Executor, stage: Stage, inputs: Mapping[str, Listing]) -> RunPlan:
        commit = self.repo.git("rev-parse", "HEAD").strip()
        environment = executor.environment(self.git, commit, stage)
        key = identity.stage_key(environment.id, stage)
        datums = enumerate_datums(key, stage.input, inputs)
        run = identity.run_key(key, [d.id for d in datums])
        self._jobs += 1
        return RunPlan(
            stage=stage,
            stage_key=key,
            run_key=run,
            execution_key=identity.execution_key(run, stage),
            environment=environment,
            commit=commit,
            commits=tuple((name, commit) for name in inputs),
            datums=tuple(datums),
            job=f"stage-{run[:10]}-{self._jobs}",
        )

    def job(self, plan: RunPlan, workers: int = 1) -> Job:
        body = dump_plan(plan)
        digest = identity.sha256(body)
        self.store.write(plan_key("main", digest), body)
        return Job(plan.job, digest, "main", plan.stage, len(plan.datums), workers, plan.commit, plan.environment)

    def results(self, plan: RunPlan) -> tuple[list[DatumResult], int]:
        keys = [info.key for info in self.store.list(datum_prefix("main", plan.stage_key))]
        found = [r for key in keys for r in parse_index(self.store.read(key)).results]
        return [r for r in found if r.job == plan.job], len(keys)

    def printed(self, job: Job) -> str:
        """What the commands that run now have printed, as people see it from other machines."""
        return "".join(shard.tail for shard in read_shards(self.store, job.zone, job.name).values())

    def wait(self, executor: Executor, name: str, until: Callable[[], bool] | None = None) -> JobStatus:
        """Wait until the job has ended, or until something is so."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            status = executor.status(name)
            assert status is not None
            if status.state in ("succeeded", "failed") or (until is not None and until()):
                return status
            time.sleep(0.005)
        raise AssertionError(f"{name} did not end: {executor.status(name)}")

    def run(self, executor: Executor, stage: Stage, files: Files, *, workers: int = 1) -> Done:
        """Run a stage over files of the input ``in``."""
        return self.run_on(executor, stage, {"in": self.input(files)}, workers=workers)

    def run_on(self, executor: Executor, stage: Stage, inputs: Mapping[str, Listing], *, workers: int = 1) -> Done:
        """Run a stage over its inputs and wait for its end."""
        plan = self.plan(executor, stage, inputs)
        job = self.job(plan, workers)
        executor.start(job, self.git)
        status = self.wait(executor, job.name)
        results, segments = self.results(plan)
        match = {d.id: d.inputs[0].match for d in plan.datums}
        return Done(job.name, status, plan, {match[r.datum]: r for r in results}, segments, self)
