"""How a verb reaches the pipeline's side from a person's clone: the data remote, or with ``--local`` the cache.

Used by ``plan``, ``run`` and ``job …``.
"""

from __future__ import annotations

import argparse
import getpass
import os
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from gitdata.backends.git import Git
from gitdata.backends.layered import LayeredStore
from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.controller.site import Site
from gitdata.controller.visit import OutputCommit, current_branch, git_remote, output_commits, refresh
from gitdata.data.repository import Repository
from gitdata.data.transfer import pull_objects
from gitdata.errors import InvalidInputError, RemoteError
from gitdata.executors.local import LocalExecutor


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


def refresh_quietly(repository: Repository) -> None:
    """Fetch the output branches where there is a git remote that answers; old ones do as well."""
    try:
        refresh(repository.git)
    except RemoteError:
        return


def local_zone() -> str:
    """The zone that this person writes."""
    return "local/" + (re.sub(r"[^A-Za-z0-9_.-]", "-", getpass.getuser()).lstrip(".-") or "user")


def cache_store(repository: Repository) -> ObjectStore:
    """The repository's cache as an object store: the same layout."""
    return open_store(str(repository.cache.folder))


def cache_home() -> Path:
    """Where images, environments and clones are kept; deleting it is always safe."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(home) / "gitdata"


def workshop(
    repository: Repository,
    remote: str | None,
    cores: int | None = None,
    secrets: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Site:
    """A site that writes to the cache only and reads the remote's results too, if there is a remote."""
    upper = cache_store(repository)
    lower = _remote_or_none(repository, remote)

    def bring(oids: Iterable[str]) -> None:
        if lower is not None:
            pull_objects(lower, repository.cache, oids)

    return Site(
        git=repository.git,
        store=upper if lower is None else LayeredStore(upper, lower),
        executor=LocalExecutor(
            upper.url,
            {},
            cores=cores,
            cache_home=cache_home(),
            secrets=secrets,
            container_options=container_options(repository.git),
        ),
        origin=repository.git.config(f"remote.{git_remote(repository.git)}.url") or str(repository.root),
        zone=local_zone(),
        read_zones=() if lower is None else ("main",),
        bring=bring,
    )


def container_options(git: Git) -> list[str]:
    """``git config gitdata.containerOptions``: what this machine's podman or docker needs to run a container."""
    text = git.config("gitdata.containerOptions")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise InvalidInputError(f"git config gitdata.containerOptions: {error}: {text}") from error


def _remote_or_none(repository: Repository, name: str | None) -> ObjectStore | None:
    """The remote, or None where the repository has none and none was asked for."""
    if name is None and not repository.config.get("core", {}).get("remote"):
        return None
    return repository.remote(name)


def branch_of(repository: Repository, wanted: str | None) -> str:
    """The branch that was named, else the one HEAD is on."""
    return wanted or current_branch(repository.git) or "main"
