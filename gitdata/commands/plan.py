"""Show what the controller would run for a commit, and why; nothing is run or written.

States: known (its result is there), run, waiting (for a stage before it), failed (before, and nothing changed),
unrunnable (a stage before it failed).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from gitdata.backends.git import Git
from gitdata.commands.sites import branch_of, refresh_quietly
from gitdata.commands.terminal import print_json, print_table, say
from gitdata.commands.workshops import lookout, wish
from gitdata.controller.facts import Facts, Wish
from gitdata.controller.plan import StagePlan
from gitdata.controller.visit import describe, output_tips
from gitdata.data.repository import Repository
from gitdata.errors import InvalidInputError

COLOURS = {"known": "32", "success": "32", "run": "33", "waiting": "33", "failed": "31", "unrunnable": "31"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", nargs="?", default="HEAD", metavar="REV", help="default: HEAD")
    parser.add_argument("-b", "--branch", help="the branch whose outputs count as before (default: the current one)")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote")
    parser.add_argument("--exit-code", action="store_true", help="1 if anything would run")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    repository = Repository.open()
    refresh_quietly(repository)
    asked = wish(repository.git, args.revision, branch_of(repository, args.branch))
    site = lookout(repository, args.remote, asked)
    with closing(site.executor):
        survey = Facts(site).survey(asked)
    for text in _said_before(repository.git, asked):
        say(text)
    if survey.error:
        raise InvalidInputError(survey.error)
    for remark in survey.remarks:
        say(f"warning: {remark}")
    plans = list(survey.plans.values())
    if args.json:
        print_json({"commit": survey.wish.commit, "stages": [_json(plan) for plan in plans]})
    elif plans:
        rows = ((p.stage.name, p.state, _datums(p), p.why) for p in plans)
        print_table(("STAGE", "STATE", "DATUMS", "WHY"), rows, COLOURS)
    else:
        say(f"{survey.wish.commit[:12]} has no stages (no specs under stages/)")
    return int(args.exit_code and any(p.state in ("run", "waiting") for p in plans))


def _said_before(git: Git, asked: Wish) -> Iterator[str]:
    """What the controller published of this very commit: it may lack what this clone has."""
    tip = output_tips(git).get(asked.branch)
    found = describe(git, tip, asked.branch) if tip else None
    if found is not None and found.source == asked.commit:
        yield from (f"{name}: the controller says: {reason}" for name, reason in found.reasons.items())


def _datums(plan: StagePlan) -> str:
    return f"{len(plan.todo)} of {len(plan.datums)}" if plan.run_key else "-"


def _json(plan: StagePlan) -> dict[str, Any]:
    return {
        "stage": plan.stage.name,
        "state": plan.state,
        "why": plan.why,
        "datums": {"total": len(plan.datums), "todo": len(plan.todo)} if plan.run_key else None,
        "stage_key": plan.stage_key or None,
        "run_key": plan.run_key or None,
        "job": plan.shown_job or None,
        "environment": plan.environment.id if plan.environment else None,
        "result": plan.result[0] if plan.result else None,
    }
