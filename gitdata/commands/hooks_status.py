"""Which git hooks are installed, and which of them call a hook that was there before.

installed: gitdata's, current. outdated: gitdata's of another version or place (`gitdata hooks install` refreshes it).
foreign: another program's. absent: none.
"""

from __future__ import annotations

import argparse

from gitdata.backends.discovery import git_around
from gitdata.commands.terminal import print_json, print_table
from gitdata.data.hooks import survey


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    hooks = survey(git_around())
    if args.json:
        rows = [{"name": h.name, "path": str(h.path), "state": h.state, "chained": h.chained} for h in hooks]
        print_json({"hooks": rows})
    else:
        print_table(("HOOK", "STATE", "CHAINED"), ([h.name, h.state, "yes" if h.chained else "-"] for h in hooks))
    return 0
