"""A workshop: where ``run`` does on this machine what the controller does for a push; and where ``plan`` looks at it.

Apart from ``sites`` because an executor takes long to import.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType

from gitdata.backends.beside import BesideStore
from gitdata.backends.git import Git
from gitdata.backends.layered import LayeredStore
from gitdata.backends.machine import cache_home
from gitdata.backends.objects import ObjectStore
from gitdata.commands.sites import cache_store, local_zone
from gitdata.controller.facts import Wish
from gitdata.controller.pinned import nearest_output, published_environments
from gitdata.controller.site import Site
from gitdata.controller.sources import Tree
from gitdata.controller.visit import output_tips
from gitdata.controller.wishes import make_wish
from gitdata.data.repository import Repository
from gitdata.data.revisions import commit_of, default_branch, git_remote
from gitdata.data.transfer import pull_objects
from gitdata.errors import InvalidInputError
from gitdata.executors.foreseen import Foreseen
from gitdata.executors.local import LocalExecutor


def wish(git: Git, revision: str, branch: str) -> Wish:
    """What the controller would survey for a revision. Raises MissingDataError for a revision that is none."""
    return make_wish(git, commit_of(git, revision), branch, output_tips(git), default_branch=default_branch(git))


def workshop(
    repository: Repository,
    remote: str | None,
    commit: str,
    cores: int | None = None,
    secrets: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Site:
    """A site for a commit: it writes to the cache only and reads from the remotes too, if there are any."""
    executor = LocalExecutor(
        cache_store(repository).url,
        cores=cores,
        cache_home=cache_home(),
        secrets=secrets,
        container_options=container_options(repository.git),
        private=(repository.root, Path(repository.git.text("rev-parse", "--path-format=absolute", "--git-common-dir"))),
    )
    return _site(repository, remote, commit, executor)


def lookout(repository: Repository, remote: str | None, asked: Wish) -> Site:
    """As ``workshop``, to look only: stages have the identities that the controller of its branch gives them."""
    git, outputs = repository.git, output_tips(repository.git)
    output = outputs.get(asked.branch) or nearest_output(git, asked.commit, outputs.values())
    executor = Foreseen(
        cache_store(repository).url,
        cache_home=cache_home(),
        container_options=container_options(git),
        published=published_environments(git, output),
    )
    return _site(repository, remote, asked.commit, executor)


def _site(repository: Repository, remote: str | None, commit: str, executor: LocalExecutor) -> Site:
    upper = cache_store(repository)
    lower = _remote_or_none(repository, remote, commit)

    def bring(oids: Iterable[str]) -> None:
        if lower is not None:
            pull_objects(lower, repository.cache, oids)

    return Site(
        git=repository.git,
        store=upper if lower is None else LayeredStore(upper, lower),
        executor=executor,
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


def _remote_or_none(repository: Repository, name: str | None, commit: str) -> ObjectStore | None:
    """The remote, and beside it those that the commit's pointers name; None where none is set or asked for."""
    if name is None and not repository.config.get("core", {}).get("remote"):
        return None
    named = sorted({one.remote for one in Tree(repository.git, commit).outputs.values() if one.remote})
    first = repository.remote(name)
    return BesideStore(first, [partial(repository.remote, one) for one in named]) if named else first
