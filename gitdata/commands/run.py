"""Run stages for the working tree as it is now, without a push.

The same plan, jobs and results as the controller's; what the controller or an earlier run did already is reused. Data
that changed is added first, as `gitdata add` does it. The results go to the cache, in a zone of your own, and the
outputs into the workspace as folders that git ignores; nothing is written to the data remote or published. With stage
names, only those and what they need.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gitdata.commands.commit import add_changed
from gitdata.commands.plan import COLOURS
from gitdata.commands.sites import branch_of
from gitdata.commands.terminal import print_json, print_table, say
from gitdata.commands.workshops import wish, workshop
from gitdata.controller.config import read_settings
from gitdata.controller.drive import Driver
from gitdata.controller.facts import Survey
from gitdata.controller.loop import now_ms
from gitdata.controller.plan import StagePlan
from gitdata.controller.site import Site
from gitdata.controller.sources import Tree
from gitdata.data.outputs import bring_output, made_now
from gitdata.data.repository import Repository
from gitdata.data.snapshot import snapshot
from gitdata.data.workspace import Workspace
from gitdata.errors import InvalidInputError, RunFailedError, UsageError
from gitdata.formats.spec_build import repo_path
from gitdata.model import JobStatus, leaves


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="default: all")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote whose results are reused")
    parser.add_argument("-j", "--jobs", type=int, metavar="N", help="how many datums at once (default: all cores)")
    parser.add_argument("--no-checkout", action="store_true", help="leave the outputs in the cache")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings; of these the [secrets] count")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    if args.jobs is not None and args.jobs < 1:
        raise UsageError("--jobs must be at least 1")
    repository = Repository.open()
    add_changed(Workspace(repository))  # a run is of content: what changed gets its pointer first
    commit = snapshot(repository)
    site = workshop(repository, args.remote, commit, args.jobs, read_settings(args.config).secrets)
    branch = branch_of(repository, None)
    asked = replace(wish(repository.git, commit, branch), only=frozenset(args.stages))
    driver = Driver(site, say=say, clock=now_ms)
    try:
        while True:
            # Taken before the look: what ends, or becomes due, during it must not be waited for.
            jobs, began = site.executor.jobs(), now_ms()
            survey = driver.advance(asked)
            if survey.terminal:
                break
            _wait(site, survey, jobs, began)
    finally:
        site.executor.close()
    if survey.error:
        raise InvalidInputError(survey.error)
    if not args.no_checkout:
        for name, plan in survey.plans.items():
            if plan.state == "known" and plan.result and plan.result[1].output and not _without_datums(plan):
                oid = plan.result[1].output.oid
                site.bring([oid, *(entry.oid for entry in driver.facts.listing(oid))])
                made = made_now(repository, commit, _deciding(survey, driver.facts.tree(commit), name), oid)
                bring_output(repository, name, made, driver.facts.listing(oid))
    _print(survey, as_json=args.json)
    return RunFailedError.exit_code if any(p.state != "known" for p in survey.plans.values()) else 0


def _without_datums(plan: StagePlan) -> bool:
    """Whether nothing of a stage's inputs matches: most likely a mistake, for which no good output is emptied."""
    return plan.result is not None and plan.result[1].counts.total == 0


def _deciding(survey: Survey, tree: Tree, stage: str) -> set[str]:
    """The paths that decide about a stage's output: of its spec, its image and its inputs, and of those before it."""
    found: set[str] = set()
    todo = [stage]
    while todo:
        plan = survey.plans[todo.pop()]
        found |= {plan.stage.file, repo_path(plan.stage.transform.image) or ""}
        for leaf in leaves(plan.stage.input):
            if leaf.repo in survey.plans:
                todo.append(leaf.repo)
            else:
                found.add(tree.outputs[leaf.repo].pointer if leaf.repo in tree.outputs else leaf.repo)
    return found - {""}


def _wait(site: Site, survey: Survey, jobs: Mapping[str, JobStatus], began: int) -> None:
    """Until a job has another state than in ``jobs``, or a backoff that was not over when it ``began`` is."""
    due = min((p.not_before for p in survey.plans.values() if p.not_before > began), default=0)
    while site.executor.jobs() == jobs and not 0 < due <= now_ms():
        time.sleep(0.05)


def _print(survey: Survey, *, as_json: bool) -> None:
    plans = survey.plans.values()
    if as_json:
        print_json([{"stage": p.stage.name, "state": p.state, "why": p.why, "job": p.shown_job or None} for p in plans])
        return
    rows = []
    for plan in plans:
        counts = plan.result[1].counts if plan.result else None
        done = f"{counts.processed} + {counts.skipped} / {counts.total}" if counts else "-"
        rows.append((plan.stage.name, plan.state, done, plan.shown_job or "-"))
    print_table(("STAGE", "STATE", "PROGRESS", "JOB"), rows, COLOURS)
    for plan in plans:
        if plan.state == "known" and _without_datums(plan):
            globs = ", ".join(f"{leaf.repo}:{leaf.glob}" for leaf in leaves(plan.stage.input))
            say(f"{plan.stage.name}: nothing matches {globs}: no datum ran; {plan.stage.name}/ is as it was")
        if plan.state == "failed":
            say(f"{plan.stage.name}: {plan.why}")
