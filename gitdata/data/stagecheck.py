"""The stage specs of git's index, checked as the controller will check them after the push.

Called by the pre-commit hook when specs or the set of pointers change.
"""

from __future__ import annotations

from gitdata.data.pipeline import PipelineTree, index_files
from gitdata.data.revisions import default_branch
from gitdata.data.workspace import Workspace
from gitdata.errors import InvalidInputError


def staged_problems(space: Workspace) -> tuple[list[str], list[str]]:
    """Problems (each a line with file, JSON path and fix) and warnings."""
    tree = PipelineTree(index_files(space.git))
    try:
        stages = tree.pipeline(default_branch(space.git))
    except InvalidInputError as error:
        return list(error.problems), list(tree.remarks)
    return [], [*(text for one in stages for text in one.warnings), *tree.remarks]
