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

from gitdata.backends.stores import open_store
from gitdata.errors import GitdataError
from gitdata.formats.keys import live_shard_key
from gitdata.model import RunPlan
from gitdata.stopping import Stop
from gitdata.worker.datum import DatumRunner, remove_tree
from gitdata.worker.job import WorkerJob, read_plan
from gitdata.worker.launched import Launched, StoppedError
from gitdata.worker.live import LiveWriter
from gitdata.worker.segments import Segments
from gitdata.worker.shard import DiedError, InHand, Past, in_order, process, recorded

FAILED_FOR_GOOD, INFRASTRUCTURE = 1, 200
_BEAT_SECONDS = 5.0
_PATIENCE_SECONDS = 300.0  # a store that is away for so long costs no work that is done


def main() -> int:
    work = Path(os.environ.get("GITDATA_WORK", "/work"))
    stop = Stop()
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
    plan = _with_command(read_plan(store, job), env)
    pods = _number(env, "GITDATA_FAILURES") + _number(env, "GITDATA_EVICTIONS")
    past = recorded(store, job.zone, plan) if again or pods else Past()
    in_hand = InHand(work / "in-hand", past)
    key = live_shard_key(job.zone, plan.job, index)
    live = LiveWriter(store, key, launched.tail, float(env.get("GITDATA_LIVE_SECONDS", "5")))
    segments = Segments(store, job.zone, plan.stage_key, job.flush_seconds)

    def began(datum: str, tries: int) -> None:
        in_hand.begin(datum)
        live.began(datum, tries)

    shard = in_order(plan.datums[index :: job.shards], past)
    todo = [datum for datum in shard if datum.id not in past.ended]
    runner = DatumRunner(job, plan, store, launched, segments.flush_if_due, began, todo)
    last_pod = _number(env, "GITDATA_FAILURES") >= _number(env, "GITDATA_BACKOFF", 2)
    counts = {"processed": 0, "failed": 0, "recovered": 0}
    try:
        for datum in shard:
            if stop.is_set():
                raise StoppedError(died=False)
            result, bad = None, past.ended.get(datum.id)
            if bad is None:
                result = process(datum, plan, runner, past, last_pod=last_pod)
                segments.add(result)
                in_hand.done()
                bad = result.failure is not None
                counts["recovered"] += result.recovered
            counts["processed"] += 1
            counts["failed"] += bad
            down, up = runner.stager.bytes_down, runner.outputs.bytes_up
            live.tell(**counts, datum="", bytes_down=down, bytes_up=up)
            if result is not None:
                _tell(datum=datum.id, failed=bad, recovered=result.recovered, down=down, up=up)
    except DiedError as error:
        segments.add(error.result)
        raise
    finally:
        try:
            segments.flush()
        finally:
            live.close(keep=not stop.is_set())
    # The pod's last words, which the executor adds up for people.
    words = json.dumps({**counts, "down": runner.stager.bytes_down, "up": runner.outputs.bytes_up})
    return (FAILED_FOR_GOOD if counts["failed"] else 0), words


def _number(env: Mapping[str, str], name: str, default: int = 0) -> int:
    text = env.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() else default


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
        disk=_number(env, "GITDATA_DISK"),
    )


def _with_command(plan: RunPlan, env: Mapping[str, str]) -> RunPlan:
    """The plan with what the image runs by itself, where the stage has no command of its own.

    It comes from outside, because the container that runs it is another one, with another image than ours.
    """
    transform = plan.stage.transform
    if transform.cmd or "GITDATA_COMMAND" not in env:
        return plan
    command = tuple(str(word) for word in json.loads(env["GITDATA_COMMAND"]))
    return replace(plan, stage=replace(plan.stage, transform=replace(transform, cmd=command)))


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
