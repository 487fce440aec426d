"""Print what the commands of a job printed, datum by datum; kept after the job's processes are gone."""

from __future__ import annotations

import argparse
import sys

from gitdata.commands.sites import add_zone_option, refresh_quietly, zone_of
from gitdata.commands.terminal import printable, say
from gitdata.controller.jobs import datum_log, find_job, job_plan, job_results
from gitdata.controller.visit import output_commits
from gitdata.data.repository import Repository


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job of `gitdata job list`, or the beginning of its name")
    parser.add_argument("--datum", default="", metavar="ID", help="only datums whose id begins so")
    parser.add_argument("--failed", action="store_true", help="only datums that failed")
    add_zone_option(parser)


def run(args: argparse.Namespace) -> int:
    repository = Repository.open()
    store, zone = zone_of(args, repository)
    refresh_quietly(repository)
    row = find_job(store, zone, output_commits(repository.git), args.job)
    plan = job_plan(store, zone, row)
    if plan is None:
        say(f"{row.id} ran nothing: all of its datums were known")
        return 0
    results = job_results(store, zone, plan.stage_key, row.id)
    for datum in plan.datums:
        result = results.get(datum.id)
        wanted = result is not None and datum.id.startswith(args.datum) and (not args.failed or result.failure)
        if result is None or not wanted:
            continue
        names = ", ".join(f"{part.name}:{part.match}" for part in datum.inputs)
        say(f"--- datum {datum.id[:12]} ({names}), {result.tries} tries")
        sys.stdout.write(printable(datum_log(store, zone, result).decode(errors="replace")))
        sys.stdout.flush()
    return 0
