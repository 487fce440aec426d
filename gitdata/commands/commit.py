"""Add the data that changed, then `git commit` with the arguments given here.

    gitdata commit -m "more images"

Data that both you and a pulled commit changed is refused; everything else is as git does it.
"""

from __future__ import annotations

import argparse

from gitdata.commands.add import report
from gitdata.commands.passthrough import asked_for_help, check_arguments, check_paths, take_all
from gitdata.data.repository import Repository
from gitdata.data.track import add, stage
from gitdata.data.workspace import Workspace
from gitdata.errors import ConflictError


def configure(parser: argparse.ArgumentParser) -> None:
    take_all(parser, "git commit")


def run(args: argparse.Namespace) -> int:
    if asked_for_help(args):
        return 0
    repo = Repository.open()
    check_paths("commit", check_arguments(repo.git, "commit", args.arguments))
    add_changed(Workspace(repo))
    return repo.git.interactive("commit", *args.arguments)


def add_changed(space: Workspace) -> None:
    """Bring the pointers of all changed data up to date. Raises ConflictError before anything is touched."""
    with space.repo.lock():
        staged = space.staged()
        survey = space.survey()
        both = [
            seen.tracked.path
            for seen in survey
            if seen.state == "conflict" and seen.held and seen.written != seen.held.oid
        ]
        if both:
            raise ConflictError(
                f"changed here and in git: {', '.join(both)}",
                hint=f"`gitdata add {both[0]}` keeps yours, `gitdata checkout --force {both[0]}` takes git's",
            )
        todo = [s for s in survey if s.held and (s.state in ("changed", "conflict") or not s.staged)]
        done = [add(space, seen.tracked.path, staged.get(seen.tracked.path) or seen.tracked) for seen in todo]
        stage(space, done)
        report(done)
