"""Plan: what happens to one stage of a commit, and why. Pure: ``facts`` gathers, this decides.

Called by ``facts.survey`` for each stage after those it reads, for several at once from threads. Never reads a clock, a
disk or a network: the same facts give the same decision on every machine, which is what makes two controllers agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from gitdata.controller.attempts import failure_of, not_before, why_stopped
from gitdata.formats.records import History, RunRecord
from gitdata.identity import execution_key, job_name, run_key
from gitdata.model import Datum, DatumResult, Environment, Stage

State: TypeAlias = Literal["known", "run", "waiting", "failed", "unrunnable"]


@dataclass(frozen=True, slots=True)
class StagePlan:
    """What is to happen to one stage.

    why: one line for people. todo: datums without a usable result. reused: results that count as they are.
    result: (name, record) of the run's result, or of its last failure. not_before: milliseconds, for backoff.
    trouble: it waits for what may pass (a registry that does not answer), not for a stage.
    """

    stage: Stage
    state: State
    why: str
    environment: Environment | None = None
    stage_key: str = ""
    run_key: str = ""
    execution_key: str = ""
    attempt: int = 0
    job: str = ""
    datums: tuple[Datum, ...] = ()
    todo: tuple[Datum, ...] = ()
    reused: Mapping[str, DatumResult] | None = None
    result: tuple[str, RunRecord] | None = None
    not_before: int = 0
    trouble: bool = False

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens to this stage without a new commit or a request."""
        return self.state in ("known", "failed", "unrunnable")

    @property
    def shown_job(self) -> str:
        """The job that made what there is, else the one that will; "" for neither."""
        return self.result[1].job if self.result else self.job


@dataclass(frozen=True, slots=True)
class StageFacts:
    """All that the decision needs once the inputs of a stage are listed. What can be called must bear threads.

    index: for a job's name, datum id -> results of the stage key that may count in it, the best first. history: records
    of a run key.
    output_proven, result_proven: whether every object of an output, or of each result, is there.
    preferred: the result that the branch's output tip names, "" for none. retried: names of jobs whose retry was asked.
    owner: the remote URL and zone, which go into job names.
    """

    stage: Stage
    environment: Environment
    stage_key: str
    datums: tuple[Datum, ...]
    index: Callable[[str], Mapping[str, Sequence[DatumResult]]]
    history: Callable[[str], History]
    output_proven: Callable[[RunRecord], bool]
    result_proven: Callable[[Sequence[DatumResult]], Sequence[bool]]
    commit: str
    owner: tuple[str, str]
    preferred: str = ""
    retried: frozenset[str] = frozenset()


def blocked(stage: Stage, upstream: Mapping[str, StagePlan]) -> StagePlan | None:
    """The plan of a stage whose inputs are not all there, or None if it can be decided."""
    bad = [name for name, plan in upstream.items() if plan.state in ("failed", "unrunnable")]
    if bad:
        return StagePlan(stage, "unrunnable", f"input {', '.join(bad)} failed")
    late = [name for name, plan in upstream.items() if plan.state in ("run", "waiting")]
    if late:
        return StagePlan(stage, "waiting", f"waits for {', '.join(late)}")
    return None


def decide(facts: StageFacts) -> StagePlan:
    """The state of one stage whose inputs are known."""
    key = run_key(facts.stage_key, (d.id for d in facts.datums))
    execution = execution_key(key, facts.stage)
    history = facts.history(key)
    attempt = history.next_attempt
    job = job_name(facts.stage.name, *facts.owner, key, attempt)

    base = StagePlan(
        facts.stage,
        "run",
        "",
        environment=facts.environment,
        stage_key=facts.stage_key,
        run_key=key,
        execution_key=execution,
        attempt=attempt,
        job=job,
        datums=facts.datums,
    )
    known = _known_result(facts, history)
    if known:
        why = f"its {_count(facts.datums)} and its code are those of {known[1].job}"
        if not facts.datums:
            why = "its globs match nothing: the output is empty"
        return replace(base, state="known", why=why, result=known)

    index = facts.index(job)
    reused = first_proven(index, (d.id for d in facts.datums), facts.result_proven)
    todo = tuple(d for d in facts.datums if d.id not in reused)

    base = replace(base, todo=todo, reused=reused)
    stopped = why_stopped(history, execution, facts.commit, facts.retried)
    if stopped:
        return replace(base, state="failed", why=stopped, result=failure_of(history, execution))
    return replace(base, why=_why(facts, index, todo), not_before=not_before(history, execution, facts.commit))


def first_proven(
    results: Mapping[str, Sequence[DatumResult]],
    datums: Iterable[str],
    proven: Callable[[Sequence[DatumResult]], Sequence[bool]],
) -> dict[str, DatumResult]:
    """Of each datum the best result whose bytes are there."""
    candidates = [result for id in datums for result in results.get(id, ())]
    found: dict[str, DatumResult] = {}
    for result, there in zip(candidates, proven(candidates), strict=True):
        if there:
            found.setdefault(result.datum, result)
    return found


def _known_result(facts: StageFacts, history: History) -> tuple[str, RunRecord] | None:
    """The result that counts: the one the output tip names, else the smallest name, if its bytes are there."""
    names = sorted(history.results, key=lambda name: (name != facts.preferred, name))
    for name in names:
        record = history.results[name]
        if facts.output_proven(record):
            return name, record
    return None


def _why(facts: StageFacts, index: Mapping[str, Sequence[DatumResult]], todo: Sequence[Datum]) -> str:
    if not facts.datums:
        return "its globs match nothing: the output will be empty"
    if not index:
        return f"{_count(todo)} to do: its code, command or environment has no results yet"
    return f"{_count(todo)} to do, {len(facts.datums) - len(todo)} known"


def _count(datums: Sequence[Datum]) -> str:
    return f"{len(datums)} datum{'' if len(datums) == 1 else 's'}"
