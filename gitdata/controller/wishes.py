"""Wishes: what is wanted of a commit, made of what its branch has published and of what people ask for.

Called by ``loop`` for a commit in progress, and by ``gitdata plan`` and ``run`` for what they look at.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gitdata.backends.git import Git
from gitdata.controller.facts import Wish
from gitdata.controller.pinned import nearest_output, pinned_images
from gitdata.controller.published import generated_pointers
from gitdata.formats.requests import Request
from gitdata.identity import run_of_job


def make_wish(
    git: Git,
    commit: str,
    branch: str,
    outputs: Mapping[str, str],
    *,
    default_branch: str,
    requests: Iterable[Request] = (),
) -> Wish:
    """outputs: branch -> tip of its output branch, this one's among them if it has one. requests: all that are open."""
    output = outputs.get(branch)
    ordered = sorted(requests, key=lambda r: (r.time, r.id))
    asked: dict[str, str] = {}
    for request in ordered:
        if (request.kind, request.branch) == ("refresh", branch):
            if not request.target:  # all: what was asked of one before that is part of it
                asked.clear()
            asked[request.target] = request.id
    # The newest word about a run counts. Branches share runs: one that is cancelled ends for all.
    words = {run_of_job(r.target): r.kind for r in ordered if r.kind in ("retry", "cancel")}
    return Wish(
        commit,
        branch,
        preferred={name: str(p.meta.get("result", "")) for name, p in generated_pointers(git, output).items()},
        pinned=pinned_images(git, output or nearest_output(git, commit, outputs.values())),
        retried=frozenset(r.target for r in ordered if (r.kind, r.branch) == ("retry", branch)),
        asked=asked,
        cancelled=frozenset(run for run, kind in words.items() if kind == "cancel"),
        default_branch=default_branch,
    )
