"""Print what the commands of a job printed, datum by datum; kept after the job's processes are gone.

Of the datums that a job on a cluster has in hand: the end of what they have printed so far, a few seconds old.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace

from gitdata.commands.job_follow import follow, last_lines
from gitdata.commands.sites import add_zone_option, sought_job
from gitdata.commands.terminal import print_json, print_text, say
from gitdata.controller.jobs import JobRow, datum_log, job_plan, job_results, live_tails
from gitdata.errors import UsageError
from gitdata.model import Datum, DatumResult, RunPlan


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job of `gitdata job list`, the beginning of its name, or a stage: its newest")
    parser.add_argument("--datum", default="", metavar="ID", help="only datums whose id begins so")
    parser.add_argument("--failed", action="store_true", help="only datums that failed")
    parser.add_argument("--tail", type=int, default=0, metavar="N", help="only the last N lines of each datum")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what is printed until the job ends")
    parser.add_argument("--json", action="store_true")
    add_zone_option(parser)


def run(args: argparse.Namespace) -> int:
    if args.tail < 0:
        raise UsageError(f"--tail {args.tail}: must be at least 1")
    if args.follow:
        if args.json or args.failed:
            raise UsageError("--follow is for reading along: not with --json or --failed")
        store, zone, row = sought_job(args)
        follow(store, zone, row.id, args.datum, args.tail)
        return 0
    store, zone, row = sought_job(args)
    plan = job_plan(store, zone, row)
    results = job_results(store, zone, plan.stage_key, row.id) if plan else {}
    chosen = [
        (datum, results[datum.id])
        for datum in (plan.datums if plan else ())
        if datum.id in results
        and datum.id.startswith(args.datum)
        and (results[datum.id].failure is not None or not args.failed)
    ]
    tails = live_tails(store, zone, row)
    running = [
        (datum, replace(tails[datum.id], tail=last_lines(tails[datum.id].tail, args.tail)))
        for datum in (plan.datums if plan else ())
        if datum.id in tails and datum.id not in results and datum.id.startswith(args.datum) and not args.failed
    ]
    logs = (
        (datum, result, last_lines(datum_log(store, zone, result).decode(errors="replace"), args.tail))
        for datum, result in chosen
    )
    if args.json:
        ended = [{"datum": d.id, "inputs": _names(d), "tries": r.tries, "log": text} for d, r, text in logs]
        now = [
            {"datum": d.id, "inputs": _names(d), "tries": s.tries, "log": s.tail, "running": True} for d, s in running
        ]
        print_json([*ended, *now])
        return 0
    if not chosen and not running:
        say(_nothing(row, plan, results, args))
    for datum, result, text in logs:
        say(f"--- datum {datum.id[:12]} ({', '.join(_names(datum))}), {result.tries} tries")
        print_text(text)
    for datum, shard in running:
        say(f"--- datum {datum.id[:12]} ({', '.join(_names(datum))}), running, try {shard.tries}: the end so far")
        print_text(shard.tail)
    return 0


def _nothing(row: JobRow, plan: RunPlan | None, results: Mapping[str, DatumResult], args: argparse.Namespace) -> str:
    """Why there is nothing to print."""
    if plan is None and row.state == "failed":
        return f"{row.id} ran nothing: {row.message or 'it failed before'}"
    if plan is None:
        return f"{row.id} ran nothing: all of its datums were known"
    if args.datum and not any(datum.id.startswith(args.datum) for datum in plan.datums):
        return f"{row.id} was given no datum whose id begins with {args.datum}"
    if args.failed and not any(result.failure for result in results.values()):
        return f"no datum of {row.id} failed" + (f", yet the run did: {row.message}" if row.state == "failed" else "")
    return f"no datum of {row.id} has ended" if not results else f"no such datum of {row.id} has ended"


def _names(datum: Datum) -> list[str]:
    return [f"{part.name}:{part.match}" for part in datum.inputs]
