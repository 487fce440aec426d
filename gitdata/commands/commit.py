"""Add the data that changed, then `git commit` with the arguments given here.

    gitdata commit -m "more images"

Data that both you and a pulled commit changed is refused; everything else is as git does it.
"""

from __future__ import annotations

import argparse

from gitdata.commands.add import report
from gitdata.commands.passthrough import asked_for_help, check_arguments, check_paths, take_all
from gitdata.commands.terminal import say
from gitdata.data.repository import Repository
from gitdata.data.track import add, stage
from gitdata.data.tracked import both_changed, of_dvc
from gitdata.data.workspace import Seen, Workspace
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
    with space.lock():
        staged = space.staged()
        survey = space.survey()
        both = [seen.tracked.path for seen in survey if seen.state == "conflict" and not seen.tracked.pipeline]
        if both:
            raise ConflictError(f"changed here and in git: {', '.join(both)}", hint=both_changed(both[0]))
        for seen in survey:
            if seen.problem:
                say(f"gitdata: {seen.tracked.path} is not in this commit: {seen.problem.message}")
            elif seen.tracked.pipeline and seen.state in ("changed", "conflict"):
                say(f"gitdata: {of_dvc(seen.tracked).remark}")
        for name, error in sorted(space.problems.items()):
            say(f"gitdata: {name} was left alone: {error.message}")
        todo = [seen for seen in survey if seen.held and _is_new(seen) and not seen.tracked.pipeline]
        done = [add(space, seen.tracked.path, staged.get(seen.tracked.path) or seen.tracked) for seen in todo]
        stage(space, done)
        report(done)


def _is_new(seen: Seen) -> bool:
    """Whether the data here is not in git; after a commit that git gave up only the index lacks its pointer."""
    return seen.state == "changed" or not seen.staged or (seen.unstaged and seen.state == "same")
