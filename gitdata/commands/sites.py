"""How a verb reaches the pipeline's side from a person's clone: the data remote, or with ``--local`` the cache.

Used by ``job …`` and whatever asks something of the controller; ``plan`` and ``run`` have a workshop besides.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterator

from gitdata.backends.git import Git
from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.backends.users import user_name
from gitdata.controller.jobs import JobRow, find_job
from gitdata.controller.requests import push_request
from gitdata.controller.visit import (
    OutputCommit,
    describe,
    output_commits,
    output_tips,
    refresh,
)
from gitdata.data.repository import Repository
from gitdata.data.revisions import current_branch, git_remote
from gitdata.errors import MissingDataError, RemoteError, UsageError
from gitdata.formats.requests import Kind, Request


def add_zone_option(parser: argparse.ArgumentParser) -> None:
    """``--local``: the runs of ``gitdata run`` on this machine instead of the controller's."""
    parser.add_argument("--local", action="store_true", help="the runs of `gitdata run` on this machine")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote, by its name in .dvc/config")


def zone_of(args: argparse.Namespace, repository: Repository) -> tuple[ObjectStore, str]:
    """The store and the trust zone that the options ask for."""
    if args.local:
        return cache_store(repository), local_zone()
    return repository.remote(args.remote), "main"


def visit_jobs(args: argparse.Namespace) -> tuple[ObjectStore, str, Iterator[OutputCommit]]:
    """The store and zone that the options ask for, and the output commits there are now."""
    repository = Repository.open()
    store, zone = zone_of(args, repository)
    refresh_quietly(repository)
    return store, zone, output_commits(repository.git)


def unrun(git: Git, stage: str = "") -> Iterator[str]:
    """A line for each stage, or for one, that failed before it had a job, as the tips of the output branches say."""
    for branch, tip in sorted(output_tips(git).items()):
        found = describe(git, tip, branch)
        if found is None:
            continue
        if found.error and not stage:
            yield f"gitdata/{branch}: {found.error}"
        for name, reason in found.reasons.items():
            if stage in ("", name) and found.stages.get(name, ("", "", ""))[1] == "-":
                yield f"{name} of {branch} failed before it had a job: {reason}"


def sought_job(args: argparse.Namespace) -> tuple[ObjectStore, str, JobRow]:
    """The store, the zone, and the job that the arguments name. Raises MissingDataError, with the reason where the
    stage failed before it had one.
    """
    store, zone, commits = visit_jobs(args)
    try:
        return store, zone, find_job(store, zone, commits, args.job)
    except MissingDataError as error:
        for text in [] if args.local else unrun(Repository.open().git, args.job):
            raise MissingDataError(text, hint=error.hint) from error
        raise


def refresh_quietly(repository: Repository) -> None:
    """Fetch the output branches where there is a git remote that answers; old ones do as well."""
    try:
        refresh(repository.git)
    except RemoteError:
        return


def published_on(repository: Repository, branch: str) -> OutputCommit:
    """What a branch's outputs are now. Raises MissingDataError if there are none."""
    refresh_quietly(repository)
    tip = output_tips(repository.git).get(branch)
    found = describe(repository.git, tip, branch) if tip else None
    if found is None:
        raise MissingDataError(f"gitdata/{branch}: nothing is published yet", hint="see `gitdata job wait`")
    return found


def ask(git: Git, kind: Kind, target: str, branch: str = "") -> None:
    """Push a request for the controller. Raises RemoteError."""
    by = git.config("user.email") or "unknown"
    push_request(git, git_remote(git), Request(kind, target, branch, by, time.time_ns() // 1_000_000))


def local_zone() -> str:
    """The zone that this person writes."""
    return "local/" + (re.sub(r"[^A-Za-z0-9_.-]", "-", user_name()).lstrip(".-") or "user")


def cache_store(repository: Repository) -> ObjectStore:
    """The repository's cache as an object store: the same layout."""
    return open_store(str(repository.cache.folder))


def asked_branch(repository: Repository, wanted: str | None) -> str:
    """As ``branch_of``, for who asks something of the controller: nobody means ``main`` without saying so."""
    found = wanted or current_branch(repository.git)
    if not found:
        raise UsageError("HEAD is on no branch", hint="say which one is meant: --branch NAME")
    return found


def branch_of(repository: Repository, wanted: str | None) -> str:
    """The branch that was named, else the one HEAD is on."""
    return wanted or current_branch(repository.git) or "main"
