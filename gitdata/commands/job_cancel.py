"""Ask the controller to end a run. Its stage has failed then, and what comes after it in the pipeline cannot run.

Branches that want the same run share it: it ends for all. Datums that are done stay known. It is tried again for
`gitdata job retry`, or for a push that changes what it would do.
"""

from __future__ import annotations

import argparse

from gitdata.commands.sites import ask, asked_branch
from gitdata.commands.terminal import say
from gitdata.controller.jobs import JobRow, choose_job, jobs_until
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="STAGE|JOB", help="a job that runs, or its stage")
    parser.add_argument("-b", "--branch", help="of a stage; default: the current branch")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote")


def run(args: argparse.Namespace) -> int:
    if not args.target:  # a variable that is not set, say
        raise UsageError("no stage or job is named", hint="see `gitdata job list`")
    repository = Repository.open()
    git, store = repository.git, repository.remote(args.remote)
    branch = asked_branch(repository, args.branch)

    def is_here(row: JobRow) -> bool:
        return (row.state, row.branch) == ("running", branch)

    jobs = jobs_until(store, "main", (), args.target, is_here)
    of_stage = [row for row in jobs if row.stage == args.target]
    here = [row for row in of_stage if is_here(row)]
    if of_stage and not here:
        elsewhere = next((row for row in of_stage if row.state == "running"), of_stage[0])
        raise ConflictError(
            f"{args.target} does not run for {branch}",
            hint=f"its newest job is {elsewhere.id} of {elsewhere.branch}: {elsewhere.state}",
        )
    row = here[0] if here else choose_job(jobs, args.target)
    if row.state != "running":
        raise ConflictError(f"{row.id} does not run: {row.state}", hint="see `gitdata job list`")
    ask(git, "cancel", row.id, row.branch)
    say(f"asked for the end of {row.id} of {row.branch}; follow it with `gitdata job list`")
    return 0
