"""Which stages name data that is about to move or go. Called by ``mv`` and ``rm``, before; it only reads."""

from __future__ import annotations

from dataclasses import dataclass

from gitdata.backends.git import Git
from gitdata.data.pipeline import PipelineTree, working_files
from gitdata.data.revisions import default_branch
from gitdata.errors import GitdataError
from gitdata.model import leaves


@dataclass(frozen=True, slots=True)
class Mention:
    """A stage that has ``repo`` as an input. file: its spec."""

    name: str
    file: str
    repo: str


def mentions(git: Git, path: str) -> list[Mention]:
    """The stages of the working tree with an input at, above or below a path; none where the specs cannot be read."""
    try:
        stages = PipelineTree(working_files(git)).pipeline(default_branch(git))
    except GitdataError:
        return []
    found = {
        Mention(stage.name, stage.file, leaf.repo): None
        for stage in stages
        for leaf in leaves(stage.input)
        if f"{path}/".startswith(f"{leaf.repo}/") or f"{leaf.repo}/".startswith(f"{path}/")
    }
    return list(found)
