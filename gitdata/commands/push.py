"""Send the data of the current commit to the data remote, then `git push` with the arguments given here.

The pre-push hook sends what other pushed branches need, and refuses the push where data is missing.
"""

from __future__ import annotations

import argparse

from gitdata.commands.passthrough import asked_for_help, check_arguments, check_remote, take_all
from gitdata.commands.progress import Progress
from gitdata.commands.terminal import say
from gitdata.data.outgoing import Line, brought_by, outputs_at
from gitdata.data.repository import Repository
from gitdata.data.sending import send
from gitdata.data.sent import record
from gitdata.errors import RemoteError

_NO_DATA = frozenset({"-n", "--dry-run", "-d", "--delete"})  # git's options with which nothing new arrives there


def configure(parser: argparse.ArgumentParser) -> None:
    take_all(parser, "git push")


def run(args: argparse.Namespace) -> int:
    if asked_for_help(args):
        return 0
    repo = Repository.open()
    check_remote(repo.git, "push", check_arguments(repo.git, "push", args.arguments))
    if not _NO_DATA.isdisjoint(args.arguments):
        return repo.git.interactive("push", *args.arguments, env={"GITDATA_SKIP_HOOKS": "1"})
    head = repo.git.resolve("HEAD")
    if head:
        _send(repo, head)
    if repo.git.interactive("push", *args.arguments) != 0:
        raise RemoteError("git push failed (see above); the data is on the data remote")
    return 0


def _send(repo: Repository, head: str) -> None:
    """All data of the current commit, asked for object by object, and that of the commits before it that are new."""
    brought = brought_by(repo.git, [Line("HEAD", head, "", "")], "*")
    whole = outputs_at(repo.git, head)
    with Progress("sending") as show:
        done = send(repo, brought.outputs, whole.outputs, show, must_answer=True)
        show.done(done.objects, done.bytes)
    record(repo, done.proven, complete=not done.lost)
    problems = [f"{problem}: its data was not sent" for problem in (*brought.problems, *whole.problems)]
    for remark in dict.fromkeys([*problems, *done.remarks]):
        say(remark)
    if not done.objects and done.present and not done.lost:
        say("data: everything is on the remote")
