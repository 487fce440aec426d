"""One shard of a plan, datum by datum, through pods and agents that may be killed at any point. Used by the agent.

What is in the index is not done again. A datum that took its container along, or the agent, has used up one of its
tries: the next pod, or agent, knows it from the index, or from the pod's disk, and does it last, so that the other
datums are done whatever becomes of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gitdata.backends.objects import ObjectStore
from gitdata.formats.index import parse_index
from gitdata.formats.keys import datum_prefix
from gitdata.model import Datum, DatumResult, Failure, RunPlan
from gitdata.worker.datum import DatumRunner
from gitdata.worker.launched import StoppedError

_AGENTS = 3  # that a datum may cost, in one pod
KILLED = 137  # what a container's end by SIGKILL is called


@dataclass
class Past:
    """What was before. ended: datum -> whether it failed for good. died: datum -> tries that took a container along.

    lost: datum -> how many agents of this pod ended while they had it in hand.
    """

    ended: dict[str, bool] = field(default_factory=dict)
    died: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)


class InHand:
    """The datum in hand, on the pod's disk: an agent that is killed leaves word of it to the next."""

    def __init__(self, file: Path, past: Past) -> None:
        self._file, self._past = file, past
        try:
            datum, times = json.loads(file.read_text())
            past.lost[str(datum)] = int(times)
        except (FileNotFoundError, ValueError, TypeError):
            pass  # there was no agent before, or it had no datum in hand

    def begin(self, datum: str) -> None:
        made = self._file.with_suffix(".new")
        made.write_text(json.dumps([datum, self._past.lost.get(datum, 0) + 1]))
        made.replace(self._file)

    def done(self) -> None:
        self._file.unlink(missing_ok=True)


def recorded(store: ObjectStore, zone: str, plan: RunPlan) -> Past:
    """What earlier pods of this job have left in the index."""
    found = Past()
    for info in store.list(datum_prefix(zone, plan.stage_key)):
        for result in parse_index(store.read(info.key)).results:
            failure = result.failure
            if result.job != plan.job:
                continue
            if failure is None or failure.kind != "infrastructure":
                found.ended[result.datum] = failure is not None
            elif failure.exit_code == KILLED:
                found.died[result.datum] = max(result.tries, found.died.get(result.datum, 0))
    return found


def in_order(datums: Sequence[Datum], past: Past) -> list[Datum]:
    """The datums of a shard: those that nobody could end come last."""
    return sorted(datums, key=lambda datum: datum.id in past.died or datum.id in past.lost)


def process(datum: Datum, plan: RunPlan, runner: DatumRunner, past: Past, *, last_pod: bool) -> DatumResult:
    """The result of a datum that is not in the index. last_pod: the cluster makes no other for this shard.

    Raises DiedError with the result to record if the command's container ends under it, StoppedError if the pod ends.
    """
    lost, tried = past.lost.get(datum.id, 0), past.died.get(datum.id, 0)
    if lost >= _AGENTS:
        words = f"the agent was ended {lost} times while it worked on this datum"
        return DatumResult(datum.id, failure=Failure("infrastructure", words), tries=max(1, tried), job=plan.job)
    try:
        return runner.process(datum, tried)
    except StoppedError as error:
        if not error.died:
            raise
        raise DiedError(runner.lost(datum, lambda tries: _died(plan, tries, last_pod=last_pod))) from error


class DiedError(StoppedError):
    """The command's container ended by itself. result: of the datum that was in hand."""

    def __init__(self, result: DatumResult) -> None:
        super().__init__(died=True)
        self.result = result


def _died(plan: RunPlan, tries: int, *, last_pod: bool) -> Failure:
    """Of the user's making when the tries are used up; before that a try of which the next pod must know."""
    asked = dict(plan.stage.resources)
    limit = asked.get("limits.memory") or asked.get("requests.memory")
    words = "the command's container was ended from outside while it ran, most likely for want of memory"
    hint = f" (it may use {limit})" if limit else ""
    final = last_pod or tries >= plan.stage.datum_tries
    return Failure("user" if final else "infrastructure", f"{words}{hint}; raise resource_limits.memory", KILLED)
