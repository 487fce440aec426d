"""The agent of a pod: ``python -m gitdata.worker.agent``, the sidecar that executors.kubernetes_manifest describes.

It alone holds the keys of the store. It works through one shard of the plan, as worker.__main__ does here, with the
commands run by the launcher in the container beside it. Its words are in the environment (``GITDATA_*`` and the index
of the pod). It may be killed at any point: what is in the index is not done again by the next one. When the shard is
done it lets the launcher end, with 1 where a datum has failed for good, 200 where the work could not be done.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.errors import GitdataError, InvalidInputError
from gitdata.formats.index import parse_index
from gitdata.formats.keys import datum_prefix, plan_key
from gitdata.formats.plans import parse_plan
from gitdata.identity import sha256
from gitdata.model import DatumResult, Failure, RunPlan
from gitdata.worker.datum import DatumRunner, remove_tree
from gitdata.worker.job import WorkerJob
from gitdata.worker.launched import Launched, StoppedError
from gitdata.worker.segments import Segments

FAILED_FOR_GOOD, INFRASTRUCTURE = 1, 200
_BEAT_SECONDS = 5.0
_PATIENCE_SECONDS = 300.0  # a store that is away for so long costs no work that is done


def main() -> int:
    work = Path(os.environ.get("GITDATA_WORK", "/work"))
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_beat, args=(work / "ctl" / "beat", stop), daemon=True).start()
    launched = Launched(work, stop)
    try:
        code, words = _work(work, os.environ, launched, stop)
    except StoppedError:
        return 0
    except GitdataError as error:
        code, words = INFRASTRUCTURE, f"{error.message}; {error.hint}" if error.hint else error.message
    except OSError as error:
        code, words = INFRASTRUCTURE, f"{error.strerror or error}: {error.filename or work}"
    if code == INFRASTRUCTURE:
        print(words, file=sys.stderr, flush=True)
    launched.end(code, words)
    stop.wait()  # the kubelet ends a sidecar when the command's container has ended
    return 0


def _work(work: Path, env: Mapping[str, str], launched: Launched, stop: threading.Event) -> tuple[int, str]:
    """Do the shard; the exit code of the pod and words for it."""
    job, index = _job(work, env), int(env["JOB_COMPLETION_INDEX"])
    own = Path(job.scratch).parent
    again = own.exists()
    if again:  # another agent of this pod was here and died: its command may still run
        launched.halt()
        remove_tree(own)
    for folder in (job.scratch, job.objects):
        Path(folder).mkdir(mode=0o700, parents=True)
    store = open_store(job.store, dict(job.store_options), patience=_PATIENCE_SECONDS)
    plan = _with_command(_read_plan(store, job), env)
    retried = again or any(env.get(name, "0") not in ("", "0") for name in ("GITDATA_FAILURES", "GITDATA_EVICTIONS"))
    known = _recorded(store, job, plan) if retried else {}
    segments = Segments(store, job.zone, plan.stage_key, job.flush_seconds)
    runner = DatumRunner(job, plan, store, launched, segments.flush_if_due)
    counts = {"processed": 0, "failed": 0, "recovered": 0}
    try:
        for datum in plan.datums[index :: job.shards]:
            if stop.is_set():
                raise StoppedError(died=False)
            bad = known.get(datum.id)
            if bad is None:
                try:
                    result = runner.process(datum)
                except StoppedError as error:
                    if error.died:
                        segments.add(_died(datum.id, plan))
                    raise
                segments.add(result)
                bad = result.failure is not None
                counts["recovered"] += result.recovered
                _tell(
                    datum=datum.id,
                    failed=bad,
                    recovered=result.recovered,
                    down=runner.stager.bytes_down,
                    up=runner.outputs.bytes_up,
                )
            counts["processed"] += 1
            counts["failed"] += bad
    finally:
        segments.flush()
    # The pod's last words, which the executor adds up for people.
    words = json.dumps({**counts, "down": runner.stager.bytes_down, "up": runner.outputs.bytes_up})
    return (FAILED_FOR_GOOD if counts["failed"] else 0), words


def _job(work: Path, env: Mapping[str, str]) -> WorkerJob:
    options = json.loads(env.get("GITDATA_STORE_OPTIONS") or "{}")
    return WorkerJob(
        store=env["GITDATA_STORE"],
        store_options=tuple((str(k), str(v)) for k, v in options.items()),
        zone=env["GITDATA_ZONE"],
        plan=env["GITDATA_PLAN"],
        shards=int(env["GITDATA_SHARDS"]),
        objects=str(work / "agent" / "objects"),
        scratch=str(work / "agent" / "box"),
        code="",
        venv="",
        hidden=(),
        secrets=(),
        uid=None,
        gid=None,
        user_namespace=False,
        flush_seconds=float(env.get("GITDATA_FLUSH_SECONDS", "60")),
        parent=os.getppid(),
        engine="launcher",  # an image brings its own variables
    )


def _read_plan(store: ObjectStore, job: WorkerJob) -> RunPlan:
    key = plan_key(job.zone, job.plan)
    data = store.read(key)
    if sha256(data) != job.plan:
        raise InvalidInputError(f"{key} is damaged: its bytes have another sha256")
    return parse_plan(data, key)


def _with_command(plan: RunPlan, env: Mapping[str, str]) -> RunPlan:
    """The plan with what the image runs by itself, where the stage has no command of its own.

    It comes from outside, because the container that runs it is another one, with another image than ours.
    """
    transform = plan.stage.transform
    if transform.cmd or "GITDATA_COMMAND" not in env:
        return plan
    command = tuple(str(word) for word in json.loads(env["GITDATA_COMMAND"]))
    return replace(plan, stage=replace(plan.stage, transform=replace(transform, cmd=command)))


def _recorded(store: ObjectStore, job: WorkerJob, plan: RunPlan) -> dict[str, bool]:
    """The datums that an earlier pod of this job has ended: id -> whether it failed for good."""
    found: dict[str, bool] = {}
    for info in store.list(datum_prefix(job.zone, plan.stage_key)):
        for result in parse_index(store.read(info.key)).results:
            failure = result.failure
            if result.job == plan.job and (failure is None or failure.kind != "infrastructure"):
                found[result.datum] = failure is not None
    return found


def _died(datum: str, plan: RunPlan) -> DatumResult:
    """The result of a datum that took its container along. It is not tried again: memory does not grow by itself."""
    asked = dict(plan.stage.resources)
    limit = asked.get("limits.memory") or asked.get("requests.memory")
    words = "the command's container was ended from outside while it ran, most likely for want of memory"
    hint = f" (it may use {limit})" if limit else ""
    failure = Failure("user", f"{words}{hint}; raise resource_limits.memory", 137)
    return DatumResult(datum, failure=failure, job=plan.job)


def _tell(**event: Any) -> None:
    """One line of the agent's log."""
    print(json.dumps(event), flush=True)


def _beat(file: Path, stop: threading.Event) -> None:
    """Tell the launcher that we live."""
    while True:
        with contextlib.suppress(OSError):  # the user may do what they like there; then the pod ends
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
            try:
                os.utime(descriptor)
            finally:
                os.close(descriptor)
        if stop.wait(_BEAT_SECONDS):
            return


if __name__ == "__main__":
    sys.exit(main())
