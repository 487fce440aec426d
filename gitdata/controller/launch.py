"""Launch: start, or adopt, the job of a stage that has datums to do.

Called by ``drive`` for stages whose plan says ``run``. Order of writing: the inputs that live in git, the plan, the
``started`` record, then the job, so that whatever can be seen of a job can also be explained. A crash between any two
leaves objects that name themselves and are found again. At most one job per stage key is active; the loop sees to it.
``withdraw`` is its reverse, for a job that no commit wants any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gitdata.backends.git import Git
from gitdata.backends.objects import ObjectStore
from gitdata.controller.facts import Survey
from gitdata.controller.plan import StagePlan
from gitdata.controller.recorded import read_records
from gitdata.controller.site import Site
from gitdata.data.transfer import missing
from gitdata.executors.base import Job
from gitdata.formats.dvc import object_key
from gitdata.formats.keys import plan_key, run_record_key, run_record_name, runs_prefix
from gitdata.formats.plans import dump_plan
from gitdata.formats.records import Kind, RunRecord, dump_record, standing
from gitdata.identity import job_name, run_of_job, sha256
from gitdata.model import RunPlan, leaves


def launch(site: Site, survey: Survey, plan: StagePlan, *, now: int) -> None:
    """Start the plan's job. Raises GitdataError; calling it again adopts what the first call began."""
    assert plan.environment is not None
    for leaf in leaves(plan.stage.input):
        source = survey.sources.get(leaf.repo)
        if source is not None and source.blobs:
            _store_blobs(site.git, site.store, source.blobs)
    site.bring({entry.oid for datum in plan.todo for part in datum.inputs for entry in part.entries})
    body = dump_plan(
        RunPlan(
            stage=plan.stage,
            stage_key=plan.stage_key,
            run_key=plan.run_key,
            execution_key=plan.execution_key,
            environment=plan.environment,
            commit=survey.wish.commit,
            commits=tuple(sorted({(leaf.name, survey.wish.commit) for leaf in leaves(plan.stage.input)})),
            datums=plan.todo,
            job=plan.job,
        )
    )
    digest = sha256(body)
    site.store.write(plan_key(site.zone, digest), body)
    write_record(site, replace(record(plan, survey, "started", now), plan=digest, executor=site.executor.name))
    site.executor.start(
        Job(
            name=plan.job,
            plan=digest,
            zone=site.zone,
            stage=plan.stage,
            datums=len(plan.todo),
            workers=site.executor.workers(plan.stage),
            commit=survey.wish.commit,
            environment=plan.environment,
        ),
        site.git,
    )


def withdraw(site: Site, job: str, run_key: str, *, now: int, why: str = "no commit wants it") -> None:
    """Record that a job that has no end yet is cancelled: its run has not failed, and starts anew when it is wanted.

    run_key: "" if it must be looked for.
    """
    run_key = run_key or _find_run(site, job)
    records = read_records(site.store, [site.zone], run_key, {}) if run_key else {}
    mine = {name: found for name, found in records.items() if found.job == job}
    last = standing(mine)[1] if mine else None
    if last is not None and last.kind == "started":
        told = replace(last, kind="cancelled", message=why, plan="", executor="")
        write_record(site, replace(told, time=max(now, last.time)))


def _find_run(site: Site, job: str) -> str:
    """The run key of a job that another controller started, or one before us; "" if nothing is recorded of it."""
    run = run_of_job(job)
    names = (run_record_name(info.key) for info in site.store.list(runs_prefix(site.zone)))
    keys = {name[0] for name in names if name is not None}
    return next((key for key in keys if run_of_job(job_name("stage", *site.owner, key, 1)) == run), "")


def record(plan: StagePlan, survey: Survey, kind: Kind, now: int) -> RunRecord:
    """A run record with what the plan and the survey say; the caller replaces the rest."""
    return RunRecord(
        kind=kind,
        run_key=plan.run_key,
        execution_key=plan.execution_key,
        attempt=plan.attempt,
        job=plan.job,
        stage=plan.stage.name,
        commit=survey.wish.commit,
        branch=survey.wish.branch,
        time=now,
    )


def write_record(site: Site, written: RunRecord) -> str:
    """Store a record and return its name."""
    body = dump_record(written)
    name = sha256(body)
    site.store.write(run_record_key(site.zone, written.run_key, name), body)
    return name


def _store_blobs(git: Git, store: ObjectStore, blobs: Mapping[str, str]) -> None:
    """Inputs that live in git become objects too, so that a worker needs one kind of place only."""
    absent = missing(store, set(blobs))
    named = {blobs[oid]: oid for oid in sorted(absent)}
    for sha, text in git.each_blob(named):
        store.write(object_key(named[sha]), text)
