"""List the runs of the stages, newest first.

PROGRESS is `done + reused / all datums`; DOWN and UP are the bytes the workers fetched and stored.
"""

from __future__ import annotations

import argparse
import time
from datetime import UTC, datetime
from typing import Any

from gitdata.commands.sites import add_zone_option, unrun, visit_jobs
from gitdata.commands.terminal import duration, print_json, print_table, say, size
from gitdata.controller.jobs import JobRow, list_jobs
from gitdata.controller.presence import absent
from gitdata.data.repository import Repository
from gitdata.errors import UsageError

COLOURS = {"success": "32", "outputs gone": "31", "running": "33", "cancelled": "33", "failed": "31"}
HEADER = ("ID", "OUTPUT COMMIT", "STAGE", "STARTED", "DURATION", "RESTART", "PROGRESS", "DOWN", "UP", "STATE")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-s", "--stage", help="only this stage")
    parser.add_argument("-n", "--limit", type=int, default=20, metavar="N", help="how many runs to show (20)")
    parser.add_argument("--json", action="store_true")
    add_zone_option(parser)


def run(args: argparse.Namespace) -> int:
    if args.limit < 1:
        raise UsageError(f"--limit {args.limit}: must be at least 1")
    store, zone, commits = visit_jobs(args)
    rows = list_jobs(store, zone, commits, args.limit, args.stage or "")
    gone = absent(store, {row.output for row in rows})
    if args.json:
        print_json([job_json(row) | {"objects_gone": gone.get(row.output, 0)} for row in rows])
    else:
        print_table(HEADER, (_cells(row, gone.get(row.output, 0)) for row in rows), COLOURS)
    for text in [] if args.local else unrun(Repository.open().git, args.stage or ""):
        say(text)
    if any(row.output in gone for row in rows):
        say("outputs gone: they are no longer on the data remote; `gitdata job retry STAGE` makes them again")
    return 0


def _cells(row: JobRow, gone: int) -> tuple[str, ...]:
    return (
        row.id,
        row.output_commit[:12] or "-",
        row.stage,
        ago(row.started),
        duration((row.finished or time.time_ns() // 1_000_000) - row.started),
        str(row.restarts),
        row.progress,
        size(row.bytes_down),
        size(row.bytes_up),
        "outputs gone" if gone else row.state,
    )


def ago(milliseconds: int) -> str:
    """``5s ago``, as pachctl and kubectl say it."""
    seconds = max(0, int(time.time() - milliseconds / 1000))
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length}{unit} ago"
    return f"{seconds}s ago"


def job_json(row: JobRow) -> dict[str, Any]:
    """A row for scripts: times are RFC 3339, sizes bytes."""
    counts = row.counts
    return {
        "id": row.id,
        "run": row.run_key,
        "stage": row.stage,
        "branch": row.branch,
        "source_commit": row.commit,
        "output_commit": row.output_commit or None,
        "state": row.state,
        "started": stamp(row.started),
        "finished": stamp(row.finished) if row.finished else None,
        "restarts": row.restarts,
        "datums": {
            "total": counts.total,
            "processed": counts.processed,
            "skipped": counts.skipped,
            "failed": counts.failed,
            "recovered": counts.recovered,
        },
        "bytes": {"down": row.bytes_down, "up": row.bytes_up},
        "message": row.message,
    }


def stamp(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
