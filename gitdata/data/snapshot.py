"""Snapshot: the working tree as a commit that no ref names, so that it can be planned like any other.

Called by ``commands.run``. Touches neither the index nor a branch; a clean tree is simply HEAD.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from gitdata.data.repository import Repository
from gitdata.data.revisions import commit_of
from gitdata.identity import IDENT


def snapshot(repository: Repository) -> str:
    """The sha of a commit with the tree that ``git add -A`` would make; HEAD if that is its tree already."""
    head = commit_of(repository.git, "HEAD")
    before = repository.git.commit(head)
    with TemporaryDirectory(prefix="gitdata-index-") as folder:
        index = Path(folder, "index")
        real = repository.git_dir / "index"
        if real.exists():  # for its stat data: only changed files are hashed again
            shutil.copy2(real, index)
        git = repository.git.with_index(index)
        git.run("add", "--all", ".")
        tree = git.text("write-tree")
    if tree == before.tree:
        return head
    dated = f"{IDENT} {' '.join(before.committer.rsplit(' ', 2)[1:])}"
    return repository.git.write_commit(tree, [head], "working tree\n", author=dated, committer=dated)
