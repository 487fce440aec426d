"""Pinned: what image references meant when a branch's outputs were last published.

Called by ``wishes`` for every wish. A tag that moves must recompute nothing: a stage whose image text is
still that of the output commit keeps the digest that is in its pointer there. A branch without outputs takes them from
its nearest ancestor that has some on another branch. It never asks a registry.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitdata.backends.git import Git
from gitdata.controller.published import generated_pointers
from gitdata.model import Environment

_MOST = 10_000  # commits that are looked at


def pinned_images(git: Git, output: str | None) -> dict[str, Environment]:
    """Stage -> what its image reference meant when the bytes of its pointer were made, of an output commit.

    Also of a pointer that is stale: a commit that failed, or could not be read, lets no tag move.
    """
    found = {name: pointer.meta for name, pointer in generated_pointers(git, output).items()}
    return {name: Environment(str(m["image"]), str(m["reference"])) for name, m in found.items() if "reference" in m}


def published_environments(git: Git, output: str | None) -> dict[str, str]:
    """Stage -> the environment id of its result, of an output commit. Stale ones, where all are: those are older."""
    found = generated_pointers(git, output)
    fresh = {name: pointer for name, pointer in found.items() if not pointer.meta.get("stale")}
    return {name: str(pointer.meta.get("image", "")) for name, pointer in (fresh or found).items()}


def nearest_output(git: Git, commit: str, tips: Iterable[str]) -> str | None:
    """Of the output commits below some tips, the newest one of the nearest ancestor of a source commit; None for none.

    It is the same one on every machine that has the same tips.
    """
    wanted = sorted(set(tips))
    if not wanted:
        return None
    form = "--format=%H %(trailers:key=Gitdata-Source,valueonly,separator=%x20)"
    listed = git.text("log", "--first-parent", f"--max-count={_MOST}", "--grep=^Gitdata-Source: ", form, *wanted)
    outputs: dict[str, str] = {}
    for line in listed.splitlines():  # newest first
        sha, _, source = line.partition(" ")
        outputs.setdefault(source, sha)
    ancestors = git.text("rev-list", "--topo-order", f"--max-count={_MOST}", commit).split()
    return next((outputs[sha] for sha in ancestors if sha in outputs), None)
