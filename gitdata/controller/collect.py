"""Collect: what a job left in the datum index becomes the result of its run.

Called by ``loop`` when a job has ended or when every datum of a run is already known. The index alone says what
succeeded; the executor's word is only the reason to look. Order of writing: objects (the workers did), the ``.dir``,
the pack, the result record. Each step may be repeated, by this or another controller, with the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gitdata.controller.facts import Facts, Survey
from gitdata.controller.launch import record, write_record
from gitdata.controller.plan import StagePlan, first_proven
from gitdata.controller.site import Site
from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import dir_oid, dump_dir, object_key
from gitdata.formats.index import choose_merge, dump_pack, ranked
from gitdata.formats.keys import datum_prefix, index_key
from gitdata.formats.provenance import InputRecord, OutputRecord, manifest_sha256, statement
from gitdata.formats.records import Counts, RunRecord
from gitdata.identity import sha256
from gitdata.model import DatumResult, Entry, JobStatus, Listing, Output, leaves


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a run: its output if all datums have one, else the message that says why not."""

    output: Output | None
    sha256: str | None
    message: str = ""


def collect(site: Site, facts: Facts, survey: Survey, plan: StagePlan, status: JobStatus | None, *, now: int) -> bool:
    """Write the run's result, or the failure of its attempt. False if the job goes on or was never started.

    ``status`` is what the executor says of ``plan.job``, None if it knows nothing of it.
    """
    usable = _usable(facts, plan)
    if len(usable) == len({d.id for d in plan.datums}):
        _finish(site, facts, survey, plan, usable, status, now=now)
        return True
    if status is None or status.state in ("pending", "running"):
        return False
    cause = "infrastructure" if status.infrastructure or status.state == "succeeded" else "user"
    message = status.message or f"{len(plan.datums) - len(usable)} datums have no result"
    _fail(site, survey, plan, usable, cause, message, now)
    return True


def give_up(
    site: Site, facts: Facts, survey: Survey, plan: StagePlan, message: str, *, cause: str = "user", now: int
) -> None:
    """Record that this attempt at a run has failed whatever its job says. cause: as of ``RunRecord``."""
    _fail(site, survey, plan, _usable(facts, plan), cause, message, now)


def _usable(facts: Facts, plan: StagePlan) -> dict[str, DatumResult]:
    """Datum id -> its result, as far as the run has them: those that were known, and what its job has recorded."""
    made = ranked(facts.index_objects(plan.stage_key), lambda result: result.job == plan.job)
    return {**(plan.reused or {}), **first_proven(made, (d.id for d in plan.todo), facts.results_proven)}


def _fail(
    site: Site,
    survey: Survey,
    plan: StagePlan,
    usable: Mapping[str, DatumResult],
    cause: str,
    message: str,
    now: int,
) -> None:
    counts = _counts(plan, usable)
    write_record(site, replace(record(plan, survey, "failed", now), cause=cause, message=message, counts=counts))


def _counts(plan: StagePlan, usable: Mapping[str, DatumResult]) -> Counts:
    done = [r for r in usable.values() if r.job == plan.job]
    return Counts(
        total=len({d.id for d in plan.datums}),
        processed=sum(r.failure is None for r in done),
        skipped=len(usable) - len(done),
        failed=sum(r.failure is not None for r in usable.values()),
        recovered=sum(r.recovered for r in usable.values()),
    )


def _finish(
    site: Site,
    facts: Facts,
    survey: Survey,
    plan: StagePlan,
    usable: Mapping[str, DatumResult],
    status: JobStatus | None,
    *,
    now: int,
) -> None:
    ordered = [usable[id] for id in dict.fromkeys(d.id for d in plan.datums)]
    done = [r for r in ordered if r.job == plan.job]
    outcome = _merge(site, ordered)
    _write_pack(site, facts, plan, done)
    counts = _counts(plan, usable)
    started = min((r.started for r in done), default=now)
    finished = max((r.finished for r in done), default=now)
    state = "success" if outcome.output is not None else "failed"
    result = replace(
        record(plan, survey, "result", finished),
        executor=site.executor.name,
        cause="" if outcome.output is not None else _cause(ordered),
        message=outcome.message,
        state=state,
        output=outcome.output,
        counts=counts,
        bytes_down=sum(size for r in done for _, _, size in r.fetched),
        bytes_up=sum(_stored(r) for r in done),
        restarts=sum(r.tries - 1 for r in done) + (status.restarts if status else 0),
        started=started,
        finished=finished,
        statement=_statement(site, survey, plan, ordered, outcome, counts, started, finished),
    )
    write_record(site, result)


def _cause(results: Sequence[DatumResult]) -> str:
    """Whose fault a failed run is: another attempt may help only if no datum failed by its own command."""
    kinds = {r.failure.kind for r in results if r.failure is not None}
    return "infrastructure" if kinds == {"infrastructure"} else "user"


def _stored(result: DatumResult) -> int:
    """The bytes that a datum's outputs added: what is stored by reference to an input moved none."""
    inputs = {oid for oid, _, _ in result.fetched}
    return sum(entry.size or 0 for entry in result.outputs if entry.oid not in inputs)


def _merge(site: Site, results: Sequence[DatumResult]) -> Outcome:
    """One listing out of the datums' outputs, stored; the same path from two datums fails the run and names both."""
    failed = [r for r in results if r.failure is not None]
    if failed:
        first = failed[0].failure
        assert first is not None
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return Outcome(None, None, f"datum {failed[0].datum[:12]}: {first.message}{more}")
    owner: dict[str, str] = {}
    merged: dict[str, Entry] = {}
    for result in results:
        for entry in result.outputs:
            if owner.setdefault(entry.path, result.datum) != result.datum:
                both = f"{owner[entry.path][:12]} and {result.datum[:12]}"
                return Outcome(
                    None,
                    None,
                    f"two datums wrote {entry.path}: {both}; put something of the datum in its name",
                )
            merged[entry.path] = entry
    listing: Listing = tuple(merged[path] for path in sorted(merged))
    for path in owner:
        parts = path.split("/")
        for i in range(1, len(parts)):
            folder = "/".join(parts[:i])
            if folder in owner:
                both = f"{owner[folder][:12]} and {owner[path][:12]}"
                return Outcome(None, None, f"{folder} is a file and a folder: datums {both}")
    try:
        data = dump_dir(listing)
    except InvalidInputError as error:  # together they are too many
        return Outcome(None, None, error.message)
    oid = dir_oid(data)
    site.store.write(object_key(oid), data)
    output = Output("", oid, sum(e.size or 0 for e in listing), len(listing))
    return Outcome(output, manifest_sha256(listing))


def _write_pack(site: Site, facts: Facts, plan: StagePlan, done: Sequence[DatumResult]) -> None:
    """The new datums of the run as one pack in place of their segments; small packs are merged into it.

    What another controller, or one that was killed, has packed already is not packed again.
    """
    objects = facts.index_objects(plan.stage_key)
    sizes = {i.key.rsplit("/", 1)[1]: i for i in site.store.list(datum_prefix(site.zone, plan.stage_key))}
    named = {name for o in objects.values() for name in o.replaces}
    packs = sorted(
        (name for name in sizes if name.startswith("pack-") and name not in named and name in objects),
        key=lambda name: (sizes[name].modified, name),
        reverse=True,
    )
    packed = {(r.datum, r.job) for name in packs for r in objects[name].results}
    new = {r.datum: r for r in done if (r.datum, r.job) not in packed}
    if not new:
        return
    segments = [
        name
        for name, o in objects.items()
        if name in sizes and name.startswith("seg-") and all(r.datum in new for r in o.results)
    ]
    count = choose_merge([len(new), *(len(objects[name].results) for name in packs)]) - 1
    merged = packs[: max(0, count)]
    results = {r.datum: r for name in reversed(merged) for r in objects[name].results} | new
    replaced = sorted({*segments, *merged, *(n for name in merged for n in objects[name].replaces)})
    data = dump_pack(plan.stage_key, [results[id] for id in sorted(results)], replaced)
    site.store.write(index_key(site.zone, plan.stage_key, f"pack-{sha256(data)}"), data)


def _statement(
    site: Site,
    survey: Survey,
    plan: StagePlan,
    results: Sequence[DatumResult],
    outcome: Outcome,
    counts: Counts,
    started: int,
    finished: int,
) -> dict[str, object]:
    assert plan.environment is not None
    output = outcome.output
    return statement(
        stage=plan.stage,
        run_key=plan.run_key,
        stage_key=plan.stage_key,
        execution_key=plan.execution_key,
        environment=plan.environment,
        repository=site.repository,
        ref=f"refs/heads/{survey.wish.branch}",
        commit=survey.wish.commit,
        job=plan.job,
        executor=site.executor.name,
        inputs=_inputs(survey, plan, results),
        output=None
        if output is None
        else OutputRecord(output.oid, outcome.sha256, output.size or 0, output.nfiles or 0),
        state="success" if output is not None else "failed",
        counts={name: getattr(counts, name) for name in Counts.__slots__},
        started=started,
        finished=finished,
        tries=plan.stage.datum_tries,
        # Not what the nodes of a moment made of a coefficient: two controllers write the same record.
        workers=0 if plan.stage.parallelism.coefficient_milli is not None else max(1, plan.stage.parallelism.constant),
    )


def _inputs(survey: Survey, plan: StagePlan, results: Sequence[DatumResult]) -> list[InputRecord]:
    known = {oid: digest for r in results for oid, digest, _ in r.fetched}
    found = []
    for leaf in leaves(plan.stage.input):
        upstream = survey.plans.get(leaf.repo)
        if upstream is not None:
            found.append(_stage_input(leaf.name, leaf.repo, leaf.glob, upstream))
            continue
        source = survey.sources[leaf.repo]
        listing = tuple(replace(entry, sha256=known.get(entry.oid)) for entry in source.listing)
        sizes = [entry.size for entry in listing]
        total = None if None in sizes else sum(size or 0 for size in sizes)
        digest = manifest_sha256(listing)
        found.append(
            InputRecord(leaf.name, leaf.repo, source.kind, source.oid, digest, total, leaf.repo, leaf.glob, "")
        )
    return found


def _stage_input(name: str, repo: str, glob: str, upstream: StagePlan) -> InputRecord:
    if upstream.result is None or upstream.result[1].output is None:
        raise InvalidInputError(f"{repo}: has no result")
    made: RunRecord = upstream.result[1]
    output = made.output
    assert output is not None
    subjects = made.statement.get("subject") or [{}]
    digest = subjects[0].get("digest", {}).get("sha256")
    return InputRecord(name, repo, "stage", output.oid, digest, output.size, repo, glob, made.run_key)
