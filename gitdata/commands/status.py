"""What differs between the data here, its pointers and git; which data is not in the cache.

changed: edited here, `git commit` takes it. stale: the pointer is newer, `gitdata checkout` brings it. conflict: both.
absent: no data here. Exit code 0, with --exit-code 1 if anything differs; that of the problem where something cannot be
read: the other outputs are shown all the same.
"""

from __future__ import annotations

import argparse

from gitdata.commands.terminal import print_text
from gitdata.data.quick import nothing_moved


def configure(parser: argparse.ArgumentParser) -> None:
    what = "what of the current commit is not on its data remote; asks the server, as nothing else here does"
    parser.add_argument("--remote", action="store_true", help=what)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 if anything differs")


def run(args: argparse.Namespace) -> int:
    if args.remote:
        # Deferred: what only this option needs.
        from gitdata.commands.status_remote import remote_status

        return 1 if remote_status(as_json=args.json) and args.exit_code else 0
    known = None if args.json else nothing_moved()
    if known is not None:
        print_text(clean_text(*known))
        return 0
    # Deferred: costs as much to load as the whole of a status in which nothing moved.
    from gitdata.commands.status_full import full_status

    dirty, problems = full_status(as_json=args.json)
    if problems:
        return problems[0].exit_code
    return 1 if dirty and args.exit_code else 0


def clean_text(outputs: int, ahead: int | None) -> str:
    """What a clean workspace prints."""
    if ahead:
        return ahead_line(ahead) + "\n"
    return f"{outputs} output{'s' * (outputs != 1)}, nothing changed\n" if outputs else "no data yet (gitdata add)\n"


def ahead_line(ahead: int) -> str:
    return f"{ahead} commit{'s' * (ahead != 1)} with data not pushed yet (gitdata push)"
