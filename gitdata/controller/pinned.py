"""Pinned: what image references meant when a branch's outputs were last published.

Called by ``loop`` and ``visit`` for every wish. A tag that moves must recompute nothing: a stage whose image text is
still that of the output tip keeps the digest that is in its pointer there. It never asks a registry.
"""

from __future__ import annotations

from collections.abc import Mapping

from gitdata.backends.containers import PREFIX
from gitdata.backends.git import Git
from gitdata.controller.publish import Generated
from gitdata.controller.sources import Tree
from gitdata.errors import InvalidInputError
from gitdata.model import Environment


def pinned_images(git: Git, output_tip: str | None, pointers: Mapping[str, Generated]) -> dict[str, Environment]:
    """Stage -> environment of its output, for references. pointers: of the tip, which has that commit's specs too."""
    # A stale pointer is of an older commit than the specs beside it, and so may be of another image.
    ids = {name: str(p.meta.get("image", "")) for name, p in pointers.items() if p.meta.get("state") == "success"}
    ids = {name: id for name, id in ids.items() if id.startswith(PREFIX)}
    if output_tip is None or not ids:
        return {}
    try:
        stages = Tree(git, output_tip).pipeline("")
    except InvalidInputError:
        return {}  # somebody wrote to the output branch by hand
    return {s.name: Environment(ids[s.name], s.transform.image) for s in stages if s.name in ids}
