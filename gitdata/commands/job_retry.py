"""Ask the controller to try a failed run again, or to make an output again whose bytes are gone from the data remote.

The request is a small ref that is pushed to the git remote; the controller deletes it when it has been fulfilled. A
failure need not be published yet: other stages of its commit may still run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from gitdata.backends.git import Git
from gitdata.backends.git_records import is_sha
from gitdata.backends.objects import ObjectStore
from gitdata.commands.sites import ask, asked_branch, refresh_quietly
from gitdata.commands.terminal import say
from gitdata.controller.jobs import JobRow, choose_job, job_of, jobs_until
from gitdata.controller.presence import absent, words
from gitdata.controller.published import generated_pointers
from gitdata.controller.visit import OutputCommit, describe, is_published, missing_push, output_tips
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError, MissingDataError, UsageError

_HINT = "only a run that failed, or whose output is gone, can be tried again"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="STAGE|JOB", help="a stage, or its job, that failed or whose output is gone")
    parser.add_argument("-b", "--branch", help="default: the current branch")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote")


def run(args: argparse.Namespace) -> int:
    if not args.target:  # a variable that is not set, say
        raise UsageError("no stage or job is named", hint="see `gitdata job list`")
    repository = Repository.open()
    git, branch = repository.git, asked_branch(repository, args.branch)
    store = repository.remote(args.remote)
    refresh_quietly(repository)
    tip = output_tips(git).get(branch)
    shown = describe(git, tip, branch) if tip else None
    stages = shown.stages if shown else {}
    state, run_key, result = stages.get(args.target, ("", "", ""))
    jobs = jobs_until(store, "main", (), args.target, lambda row: row.branch == branch)
    row = _newest([row for row in jobs if row.branch == branch], args.target)
    if row is None or not _is_in_progress(git, row, shown):  # then what is published counts
        if state == "success" and tip:
            pointer = generated_pointers(git, tip).get(args.target)
            return _make_again(git, store, args.target, branch, pointer.output.oid if pointer else "")
        if state not in ("", "failed"):
            raise ConflictError(f"{args.target} did not fail: {state}", hint=_HINT)
        if run_key == "-":  # it failed before it had a run: its image could not be had, say
            ask(git, "retry", args.target, branch)
            say(f"asked for another look at {args.target} of {branch}; `gitdata plan` says what it lacks")
            return 0
        row = job_of(store, "main", run_key, result) if state else choose_job(jobs, args.target)
        if all(row.run_key != run_key for _, run_key, _ in stages.values()):
            raise ConflictError(
                f"{row.id} is no job of what gitdata/{branch} shows now",
                hint=f"its branch was {row.branch}: say --branch, or push again",
            )
    if row.state == "success":
        return _make_again(git, store, row.id, branch, row.output)
    if row.state != "failed":
        raise ConflictError(f"{row.id} did not fail: {row.state}", hint=_HINT)
    ask(git, "retry", row.id, branch)
    say(f"asked for another attempt at {row.id} of {branch}; follow it with `gitdata job list`")
    return 0


def _make_again(git: Git, store: ObjectStore, target: str, branch: str, output: str) -> int:
    """Ask for a run that succeeded, if its bytes are gone: the controller looks for them at every request."""
    count = absent(store, [output]).get(output, 0)
    if not count:
        raise ConflictError(f"{target} did not fail, and its output is on the data remote", hint=_HINT)
    ask(git, "retry", target, branch)
    say(f"{target}: {words(count)}; asked for it to be made again; follow it with `gitdata job list`")
    return 0


def _newest(jobs: Sequence[JobRow], target: str) -> JobRow | None:
    try:
        return choose_job(jobs, target)
    except MissingDataError:
        return None


def _is_in_progress(git: Git, row: JobRow, shown: OutputCommit | None) -> bool:
    """Whether the outputs of a job's commit are still to be published: it is on its branch, which shows older ones."""
    if not is_sha(row.commit) or (shown is not None and is_published(git, shown.sha, row.commit)):
        return False
    return not missing_push(git, row.branch, row.commit)
