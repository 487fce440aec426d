"""Jobs as people see them: run records, live status and output commits folded into one row per attempt.

Called by ``gitdata job …``. Reads only; a row is what the records say, never a guess about a process.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from gitdata.backends.objects import ObjectStore
from gitdata.controller.recorded import many, read_index, read_named
from gitdata.controller.visit import OutputCommit
from gitdata.errors import GitdataError, InvalidInputError, MissingDataError
from gitdata.executors.live import read_shards
from gitdata.formats.keys import (
    live_key,
    log_key,
    plan_key,
    run_record_key,
    run_record_name,
    runs_prefix,
)
from gitdata.formats.live import LiveShard
from gitdata.formats.plans import parse_plan
from gitdata.formats.records import Counts, RunRecord, parse_record, standing
from gitdata.model import DatumResult, RunPlan

MOST_JOBS = 1000  # that are looked through for one
_PAGE = 50  # runs whose records are read at a time


@dataclass(frozen=True, slots=True)
class JobRow:
    """One attempt at a run. started, finished: milliseconds, 0 if not yet. output_commit: where it was published.

    state: running, cancelled (no commit wants it), success, failed. records: name -> record of this attempt.
    phase: what a running one is doing, in words, as far as it is told.
    """

    id: str
    run_key: str
    stage: str
    branch: str
    commit: str
    state: str
    started: int
    finished: int
    restarts: int
    counts: Counts
    bytes_down: int
    bytes_up: int
    message: str
    output_commit: str
    records: Mapping[str, RunRecord]
    phase: str = ""

    @property
    def output(self) -> str:
        """The oid of what the job made, "" if it made nothing (yet)."""
        return next((record.output.oid for record in self.records.values() if record.output), "")

    @property
    def progress(self) -> str:
        """Datums that were done well, and that were reused, of all: one that failed is neither."""
        return f"{self.counts.processed} + {self.counts.skipped} / {self.counts.total}"


def list_jobs(
    store: ObjectStore, zone: str, commits: Iterable[OutputCommit], limit: int, stage: str = ""
) -> list[JobRow]:
    """The newest attempts, newest first, of one stage or ("") of all. Reads the records of ``limit`` runs at a time."""
    rows: list[JobRow] = []
    for page, _ in pages(store, zone, commits, limit):
        rows += [row for row in page if stage in ("", row.stage)]
        if len(rows) >= limit:
            break
    return _newest_first(rows)[:limit]


def jobs_until(
    store: ObjectStore,
    zone: str,
    commits: Iterable[OutputCommit],
    id: str,
    wanted: Callable[[JobRow], bool] = lambda row: True,
) -> list[JobRow]:
    """The newest attempts, newest first, as far back as the job of that name, or the stage's newest that is wanted;
    ``MOST_JOBS`` or so where there is none.
    """
    rows: list[JobRow] = []
    for page, left in pages(store, zone, commits, _PAGE):
        rows += page
        if len(rows) >= MOST_JOBS or any(row.id == id for row in page):
            break
        # A run of which something was recorded later may have begun earlier, never the other way round.
        if any(row.stage == id and row.started >= left and wanted(row) for row in rows):
            break
    return _newest_first(rows)


def find_job(store: ObjectStore, zone: str, commits: Iterable[OutputCommit], id: str) -> JobRow:
    """As ``choose_job``, of the newest jobs of a zone."""
    return choose_job(jobs_until(store, zone, commits, id), id)


def pages(
    store: ObjectStore, zone: str, commits: Iterable[OutputCommit], size: int
) -> Iterator[tuple[list[JobRow], float]]:
    """The attempts of ``size`` runs at a time, and when (in milliseconds) something was last recorded of those left."""
    runs: dict[str, list[tuple[str, str]]] = {}
    newest: dict[str, float] = {}
    for info in store.list(runs_prefix(zone)):
        parts = run_record_name(info.key)
        if parts is not None:
            runs.setdefault(parts[0], []).append((parts[1], info.key))
            newest[parts[0]] = max(info.modified, newest.get(parts[0], 0))
    published = _published(commits)
    left = sorted(runs, key=lambda key: newest[key], reverse=True)
    while left:
        wanted, left = left[:size], left[size:]
        keys = [key for run_key in wanted for _, key in runs[run_key]]
        read = dict(zip(keys, many(lambda key: read_named(store, key), keys), strict=True))
        rows = []
        for run_key in wanted:
            found = {name: read[key] for name, key in runs[run_key]}
            records = {name: parse_record(data, name) for name, data in found.items() if data is not None}
            for job in {record.job for record in records.values()}:
                mine = {name: record for name, record in records.items() if record.job == job}
                rows.append(_row(store, zone, mine, published))
        yield rows, 1000 * newest[left[0]] if left else 0


def _newest_first(rows: Iterable[JobRow]) -> list[JobRow]:
    return sorted(rows, key=lambda row: (row.started, row.id), reverse=True)


def choose_job(rows: Sequence[JobRow], id: str) -> JobRow:
    """The job of that name, the newest of a stage, or the job whose name begins so. Raises MissingDataError.

    rows: the newest first.
    """
    found = [row for row in rows if id in (row.id, row.stage)][:1]
    found = found or [row for row in rows if id and row.id.startswith(id)]
    if len(found) > 1:
        raise InvalidInputError(f"{id}: {len(found)} jobs begin so", hint=f"one is {found[0].id}")
    if not found:
        raise MissingDataError(f"no job is named {id}", hint="see `gitdata job list`")
    return found[0]


def job_of(store: ObjectStore, zone: str, run_key: str, result: str) -> JobRow:
    """The attempt that a record of a run belongs to. Raises MissingDataError."""
    record = parse_record(store.read(run_record_key(zone, run_key, result)), result)
    return _row(store, zone, {result: record}, {})


def job_plan(store: ObjectStore, zone: str, row: JobRow) -> RunPlan | None:
    """What the job worked through; None for a run without a job of its own (all its datums were known)."""
    digests = [record.plan for record in row.records.values() if record.plan]
    return parse_plan(store.read(plan_key(zone, digests[0]))) if digests else None


def job_results(store: ObjectStore, zone: str, stage_key: str, job: str) -> dict[str, DatumResult]:
    """Datum id -> what this job made of it, as far as it is recorded."""
    # Also what a pack replaced: it holds only the last result of each datum, of a later attempt perhaps.
    objects = sorted(read_index(store, [zone], stage_key, {}, replaced=True).items())
    mine = [result for _, one in objects for result in one.results if result.job == job]
    return {result.datum: result for result in sorted(mine, key=lambda r: r.failure is None)}


def datum_log(store: ObjectStore, zone: str, result: DatumResult) -> bytes:
    """What a datum's command printed."""
    return store.read(log_key(zone, result.log)) if result.log else b""


def live_tails(store: ObjectStore, zone: str, row: JobRow) -> dict[str, LiveShard]:
    """Datum id -> what is told of a datum that a running job has in hand; nothing where the executor tells nothing."""
    shards = read_shards(store, zone, row.id) if row.state == "running" else {}
    return {shard.datum: shard for shard in shards.values() if shard.datum}


def _published(commits: Iterable[OutputCommit]) -> dict[str, str]:
    """Result record -> the oldest output commit that names it."""
    found: dict[str, str] = {}
    for commit in commits:
        found |= {result: commit.sha for _, _, result in commit.stages.values()}
    return found


def _row(store: ObjectStore, zone: str, records: Mapping[str, RunRecord], published: Mapping[str, str]) -> JobRow:
    name, last = standing(records)
    begun = [r.time for r in records.values() if r.kind == "started"]
    started = min([*begun, *([last.started] if last.started else [])], default=last.time)
    row = JobRow(
        id=last.job,
        run_key=last.run_key,
        stage=last.stage,
        branch=last.branch,
        commit=last.commit,
        state={"started": "running", "cancelled": "cancelled"}.get(last.kind, last.state or "failed"),
        started=started,
        finished=0 if last.kind == "started" else last.finished or last.time,
        restarts=last.restarts,
        counts=last.counts,
        bytes_down=last.bytes_down,
        bytes_up=last.bytes_up,
        message=last.message,
        output_commit=published.get(name, ""),
        records=records,
    )
    return _with_live(store, zone, row) if row.state == "running" else row


def _with_live(store: ObjectStore, zone: str, row: JobRow) -> JobRow:
    """A running job's advisory status, if there is one that can be read."""
    try:
        live = json.loads(store.read(live_key(zone, row.id)))
        names = ("total", "processed", "skipped", "failed")
        counts = Counts(**{name: int(live[name]) for name in names})
        moved = {name: int(live["bytes"][name]) for name in ("down", "up")}
        message = str(live.get("message", ""))
        phase = _phase(str(live["state"]), counts)
        return replace(row, counts=counts, bytes_down=moved["down"], bytes_up=moved["up"], message=message, phase=phase)
    except (GitdataError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return row


def _phase(state: str, counts: Counts) -> str:
    done = counts.processed + counts.skipped + counts.failed
    if state == "pending":
        return "preparing its environment"
    return f"{done} of {counts.total} datums done" if done < counts.total else "storing its output"
