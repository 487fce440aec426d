"""Pinned: what image references meant when a branch's outputs were last published.

Called by ``wishes`` for every wish. A tag that moves must recompute nothing: a stage whose image text is
still that of the output commit keeps the digest that is in its pointer there. A branch without outputs takes them from
its nearest ancestor that has some on another branch. It never asks a registry.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitdata.backends.containers import PREFIX
from gitdata.backends.git import Git
from gitdata.controller.published import generated_pointers
from gitdata.controller.sources import Tree
from gitdata.errors import InvalidInputError
from gitdata.model import Environment

_MOST = 10_000  # commits that are looked at


def pinned_images(git: Git, output: str | None) -> dict[str, Environment]:
    """Stage -> environment of its output, for references. output: an output commit, which has the specs too."""
    # A stale pointer is of an older commit than the specs beside it, and so may be of another image.
    good = {n: p for n, p in generated_pointers(git, output).items() if p.meta.get("state") == "success"}
    ids = {name: str(p.meta.get("image", "")) for name, p in good.items()}
    ids = {name: id for name, id in ids.items() if id.startswith(PREFIX)}
    if output is None or not ids:
        return {}
    try:
        stages = Tree(git, output).pipeline("")
    except InvalidInputError:
        return {}  # somebody wrote to the output branch by hand
    return {s.name: Environment(ids[s.name], s.transform.image) for s in stages if s.name in ids}


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
