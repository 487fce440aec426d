"""Show everything known about one job: its run, its datums, what failed and why."""

from __future__ import annotations

import argparse

from gitdata.commands.job_list import ago, job_json
from gitdata.commands.sites import add_zone_option, sought_job
from gitdata.commands.terminal import print_json, print_lines
from gitdata.controller.jobs import JobRow, job_plan, job_results
from gitdata.controller.presence import absent
from gitdata.model import Datum, DatumResult


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", help="a job of `gitdata job list`, the beginning of its name, or a stage: its newest")
    parser.add_argument("--json", action="store_true")
    add_zone_option(parser)


def run(args: argparse.Namespace) -> int:
    store, zone, row = sought_job(args)
    plan = job_plan(store, zone, row)
    results = job_results(store, zone, plan.stage_key, row.id) if plan else {}
    body = job_json(row) | {
        "environment": plan.environment.id if plan else None,
        "objects_gone": absent(store, [row.output]).get(row.output, 0),
        "cmd": list(plan.stage.transform.cmd) if plan else None,
        "stage_key": plan.stage_key if plan else None,
        "datum_list": [_datum(row, datum, results.get(datum.id)) for datum in (plan.datums if plan else ())],
    }
    if args.json:
        print_json(body)
        return 0
    lines = [f"{name}: {value}" for name, value in body.items() if name != "datum_list" and value not in (None, "", 0)]
    lines.append(f"age: {ago(row.started)}")
    for item in body["datum_list"]:
        reason = f"  {item['message']}" if item["message"] else ""
        lines.append(f"  datum {item['id'][:12]}  {item['state']}  {', '.join(item['inputs'])}{reason}")
    print_lines(lines)
    return 0


def _datum(row: JobRow, datum: Datum, result: DatumResult | None) -> dict[str, object]:
    state = "waiting" if row.state == "running" else "not done"
    if result is not None:
        state = "failed" if result.failure else "recovered" if result.recovered else "success"
    return {
        "id": datum.id,
        "inputs": [f"{part.name}:{part.match}" for part in datum.inputs],
        "state": state,
        "tries": result.tries if result else 0,
        "message": result.failure.message if result and result.failure else "",
        "log": result.log if result else "",
    }
