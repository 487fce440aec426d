"""The stage specs of git's index, checked as the controller will check them after the push.

Called by the pre-commit hook when specs or the set of pointers change. Reads the index alone: what is not staged is not
part of the commit.
"""

from __future__ import annotations

from gitdata.data.revisions import default_branch
from gitdata.data.workspace import Workspace
from gitdata.errors import InvalidInputError
from gitdata.formats.spec import is_spec, load_pipeline, sources_of


def staged_problems(space: Workspace) -> tuple[list[str], list[str]]:
    """Problems (each a line with file, JSON path and fix) and warnings."""
    entries = {}
    for row in space.git.run("ls-files", "-s", "-z").split(b"\0")[:-1]:
        meta, _, raw = row.partition(b"\t")
        mode, sha, _ = meta.decode().split(" ")
        entries[raw.decode(errors="surrogateescape")] = (mode, sha)
    names = {path: sha for path, (mode, sha) in entries.items() if is_spec(path) and mode.startswith("100")}
    if not names:
        return [], []
    blobs = space.git.blobs(names.values())
    generated = {one.pointer for one in space.staged().values() if one.generated}
    try:
        stages = load_pipeline(
            {path: blobs[sha] for path, sha in names.items()},
            sources_of(path for path in entries if path not in generated),
            default_branch=default_branch(space.git) or None,
        )
    except InvalidInputError as error:
        return list(error.problems), []
    return [], [text for one in stages for text in one.warnings]
