"""Ask the controller to end a run. Its stage has failed then, and what comes after it in the pipeline cannot run.

Datums that are done stay known. It is tried again for `gitdata job retry`, or for a push that changes what it would do.
"""

from __future__ import annotations

import argparse

from gitdata.commands.sites import ask, refresh_quietly
from gitdata.commands.terminal import say
from gitdata.controller.jobs import find_job
from gitdata.controller.visit import output_commits
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="STAGE|JOB", help="a job that runs, or its stage")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote")


def run(args: argparse.Namespace) -> int:
    repository = Repository.open()
    git = repository.git
    refresh_quietly(repository)
    row = find_job(repository.remote(args.remote), "main", output_commits(git), args.target)
    if row.state != "running":
        raise ConflictError(f"{row.id} does not run: {row.state}", hint="see `gitdata job list`")
    ask(git, "cancel", row.id, row.branch)
    say(f"asked for the end of {row.id}; follow it with `gitdata job list`")
    return 0
