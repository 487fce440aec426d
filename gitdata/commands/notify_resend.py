"""Ask the controller to send a message again: one that is unconfirmed, refused or sent.

The request is a small ref on the git remote. An unconfirmed message may have arrived: this sends it all the same.
"""

from __future__ import annotations

import argparse

from gitdata.commands.messages import now_ms, one_message, remote_outbox
from gitdata.commands.sites import ask
from gitdata.commands.terminal import say
from gitdata.data.repository import Repository
from gitdata.formats.outbox import resend


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="+", metavar="ID", help="the beginning of a message's id")


def run(args: argparse.Namespace) -> int:
    git = Repository.find().git
    messages = remote_outbox(git)
    chosen = {m.id: m for m in (one_message(messages, text) for text in args.id)}
    for message in chosen.values():
        resend(message, now_ms())  # say here and now what the controller would refuse
    for message in chosen.values():
        ask(git, "resend", message.id)
        say(f"asked the controller to send {message.id[:12]} again")
    return 0
