"""Send the data of the current commit to the data remote, then `git push` with the arguments given here.

The pre-push hook sends what other pushed branches need, and refuses the push where data is missing.
"""

from __future__ import annotations

import argparse

from gitdata.commands.passthrough import asked_for_help, check_arguments, check_remote, take_all
from gitdata.commands.progress import Progress
from gitdata.commands.terminal import say
from gitdata.data.outgoing import send_head
from gitdata.data.repository import Repository
from gitdata.errors import RemoteError


def configure(parser: argparse.ArgumentParser) -> None:
    take_all(parser, "git push")


def run(args: argparse.Namespace) -> int:
    if asked_for_help(args):
        return 0
    repo = Repository.open()
    check_remote(repo.git, "push", check_arguments(repo.git, "push", args.arguments))
    with Progress("sending") as show:
        done = send_head(repo, show)
        show.done(done.objects, done.bytes)
    if not done.objects and done.present:
        say("data: everything is on the remote")
    if repo.git.interactive("push", *args.arguments) != 0:
        raise RemoteError("git push failed (see above); the data is on the data remote")
    return 0
