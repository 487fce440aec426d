"""Wishes: what is wanted of a commit, made of what its branch has published and of what people ask for.

Called by ``loop`` for a commit in progress, and by ``gitdata plan`` and ``run`` for what they look at.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gitdata.backends.git import Git
from gitdata.controller.facts import Wish
from gitdata.controller.pinned import nearest_output, pinned_images
from gitdata.controller.published import generated_pointers
from gitdata.formats.requests import Request

OF_A_COMMIT = ("retry", "refresh", "cancel")  # kinds of requests that a publication fulfils


def make_wish(
    git: Git,
    commit: str,
    branch: str,
    outputs: Mapping[str, str],
    *,
    default_branch: str,
    requests: Mapping[str, Request] = MappingProxyType({}),
) -> Wish:
    """outputs: branch -> tip of its output branch, this one's among them if it has one. requests: id -> one of it."""
    output = outputs.get(branch)
    of = {kind: {r.target: id for id, r in sorted(requests.items()) if r.kind == kind} for kind in OF_A_COMMIT}
    return Wish(
        commit,
        branch,
        preferred={name: str(p.meta.get("result", "")) for name, p in generated_pointers(git, output).items()},
        pinned=pinned_images(git, output or nearest_output(git, commit, outputs.values())),
        retried=frozenset(of["retry"]),
        asked=of["refresh"],
        cancelled=frozenset(of["cancel"]),
        default_branch=default_branch,
    )
