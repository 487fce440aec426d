"""Ask the controller to send held messages: by id, or all held ones of a stage.

Messages are held when more than a stage's `hold_over` come at once. The request is a small ref on the git remote.
"""

from __future__ import annotations

import argparse

from gitdata.commands.messages import now_ms, one_message, remote_outbox
from gitdata.commands.sites import ask
from gitdata.commands.terminal import say
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError
from gitdata.formats.outbox import released


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="*", metavar="ID|STAGE", help="messages, or stages")
    parser.add_argument("--all", action="store_true", help="all that are held")


def run(args: argparse.Namespace) -> int:
    git = Repository.find().git
    messages = remote_outbox(git)
    held: dict[str, int] = {}
    for message in messages.values():
        if message.state == "held":
            held[message.stage] = held.get(message.stage, 0) + 1
    wanted = sorted(held) if args.all else list(dict.fromkeys(args.target))
    if not wanted:
        raise ConflictError("nothing to release", hint="see `gitdata notify list --state held`")
    targets: dict[str, str] = {}
    for text in wanted:
        if text in held:
            targets[text] = f"{held[text]} messages of {text}"
        else:
            one = one_message(messages, text)
            released(one, now_ms())
            targets[one.id] = one.id[:12]
    for target, what in targets.items():
        ask(git, "release", target)
        say(f"asked the controller to send {what}")
    return 0
