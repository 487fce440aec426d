"""List the messages of the outbox and their states.

pending: goes out at the controller's next turn. held: too many came at once, see `gitdata notify release`. claimed:
being sent. unconfirmed: nobody can tell whether it was sent, see `gitdata notify resend`. refused: not accepted.
"""

from __future__ import annotations

import argparse
from typing import Any

from gitdata.commands.messages import now_ms, remote_outbox
from gitdata.commands.terminal import duration, print_json, print_table, say
from gitdata.data.repository import Repository
from gitdata.formats.outbox import Message, shown_state


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--state", help="only those in this state")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace) -> int:
    now = now_ms()
    messages = sorted(remote_outbox(Repository.find().git).values(), key=lambda m: (m.time, m.id))
    rows = [_row(m, now) for m in messages if args.state in (None, shown_state(m, now))]
    if args.json:
        print_json(rows)
        return 0
    if not rows:
        say("the outbox holds no messages" + (f" that are {args.state}" if args.state else ""))
        return 0
    print_table(
        ("ID", "STATE", "TO", "SUBJECT", "STAGE", "COMMIT", "SINCE", "REASON"),
        [
            (
                row["id"][:12],
                row["state"],
                ", ".join(row["to"]),
                row["subject"][:60],
                row["stage"],
                row["commit"][:12],
                duration(max(0, now - row["since"])),
                row["reason"][:80],
            )
            for row in rows
        ],
    )
    return 0


def _row(message: Message, now: int) -> dict[str, Any]:
    to = message.message.get("to", [])
    return {
        "id": message.id,
        "state": shown_state(message, now),
        "target": message.target,
        "to": [str(one) for one in to] if isinstance(to, list) else [str(to)],
        "subject": str(message.message.get("subject", "")),
        "stage": message.stage,
        "commit": message.commit,
        "since": message.since,
        "provider": message.provider,
        "reason": message.reason,
    }
