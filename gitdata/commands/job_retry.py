"""Ask the controller to try a failed run again.

The request is a small ref that is pushed to the git remote; the controller deletes it when it has been fulfilled.
"""

from __future__ import annotations

import argparse

from gitdata.commands.sites import ask, asked_branch, published_on
from gitdata.commands.terminal import say
from gitdata.controller.jobs import find_job, job_of
from gitdata.controller.visit import output_commits
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="STAGE|JOB", help="a stage that failed, or its job")
    parser.add_argument("-b", "--branch", help="default: the current branch")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote")


def run(args: argparse.Namespace) -> int:
    repository = Repository.open()
    git, branch = repository.git, asked_branch(repository, args.branch)
    found = published_on(repository, branch)
    store = repository.remote(args.remote)
    if args.target in found.stages:
        state, run_key, result = found.stages[args.target]
        if state != "failed":
            raise ConflictError(f"{args.target} did not fail: {state}", hint="only a failed run can be tried again")
        if run_key == "-":  # it failed before it had a run: its image could not be had, say
            ask(git, "retry", args.target, branch)
            say(f"asked for another look at {args.target} of {branch}; `gitdata plan` says what it lacks")
            return 0
        row = job_of(store, "main", run_key, result)
    else:
        row = find_job(store, "main", output_commits(git), args.target)
        if all(row.run_key != run_key for _, run_key, _ in found.stages.values()):
            raise ConflictError(
                f"{row.id} is no job of what gitdata/{branch} shows now",
                hint=f"its branch was {row.branch}: say --branch, or push again",
            )
    if row.state != "failed":
        raise ConflictError(f"{row.id} did not fail: {row.state}", hint="only a failed run can be tried again")
    ask(git, "retry", row.id, branch)
    say(f"asked for another attempt at {row.id} of {branch}; follow it with `gitdata job list`")
    return 0
