"""A worker: ``python -m gitdata.worker``. Started and fed by executors.local; one shard of datums after the other.

Standard input: the job (``WorkerJob``), then a line for each shard. Standard output: a JSON line for each datum done
and each shard finished. It ends with 0 when its input ends and everything it did is in the index, else with one line
on standard error. It dies with the process that started it, and all commands die with it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.errors import GitdataError
from gitdata.formats.keys import live_shard_key
from gitdata.model import DatumResult, RunPlan
from gitdata.worker import syscalls
from gitdata.worker.container import Container
from gitdata.worker.datum import DatumRunner
from gitdata.worker.job import WorkerJob, read_plan
from gitdata.worker.live import LiveWriter
from gitdata.worker.sandbox import Runner, Sandbox
from gitdata.worker.segments import Segments

_LIVE_SECONDS = 2.0  # between two looks of people at what a command prints


def main() -> int:
    syscalls.die_with_parent()
    job = WorkerJob.parse(sys.stdin.buffer.readline())
    if os.getppid() != job.parent:
        return 1  # the parent died before we could ask to die with it
    os.environ.update(job.environment)
    try:
        store = open_store(job.store, dict(job.store_options))
        plan = read_plan(store, job)
        with Container(job) if job.engine else Sandbox() as runner:
            _work(job, plan, store, runner)
    except GitdataError as error:
        print(job.mask().text(f"{error.message}; {error.hint}" if error.hint else error.message), file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.strerror or error}: {error.filename or job.scratch}", file=sys.stderr)
        return 1
    return 0


def _work(job: WorkerJob, plan: RunPlan, store: ObjectStore, commands: Runner) -> None:
    segments = Segments(store, job.zone, plan.stage_key, job.flush_seconds)
    live: LiveWriter | None = None

    def began(datum: str, tries: int) -> None:
        if live is not None:
            live.began(datum, tries)

    runner = DatumRunner(job, plan, store, commands, segments.flush_if_due, began)
    Path(job.scratch).mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        for line in sys.stdin.buffer:
            live = LiveWriter(store, live_shard_key(job.zone, plan.job, int(line)), runner.tail, _LIVE_SECONDS)
            for datum in plan.datums[int(line) :: job.shards]:
                result = runner.process(datum)
                segments.add(result)
                _tell(
                    event="datum",
                    datum=datum.id,
                    state=_state(result),
                    down=runner.stager.bytes_down,
                    up=runner.outputs.bytes_up,
                )
            segments.flush()
            live.close(keep=True)
            _tell(event="shard", shard=int(line))
    finally:
        # Also on the way out of an error: what was done is done. An error of this flush is then the one that is told.
        segments.flush()


def _state(result: DatumResult) -> str:
    if result.failure is not None:
        return "failed"
    return "recovered" if result.recovered else "success"


def _tell(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
