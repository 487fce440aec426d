"""Outputs of ``gitdata run`` in the workspace: folders named like their stages, ignored by git, never committed.

Called by ``commands.run``. A folder of that name that gitdata did not make is never touched.
"""

from __future__ import annotations

import json

from gitdata.data.files import write_whole
from gitdata.data.ignore import exclude_output, exclude_scratch
from gitdata.data.materialize import write_listing
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError
from gitdata.model import Listing


def bring_output(repository: Repository, stage: str, oid: str, listing: Listing) -> None:
    """Make ``<root>/<stage>`` hold a listing whose objects are in the cache. Raises ConflictError, MissingDataError."""
    state = repository.git_dir / "gitdata" / "outputs.json"
    made: dict[str, str] = json.loads(state.read_bytes()) if state.exists() else {}
    dest = repository.root / stage
    if dest.exists() and stage not in made:
        raise ConflictError(
            f"{stage}/ exists and is not an output", hint="move it away, or use `gitdata run --no-checkout`"
        )
    exclude_output(repository.git, repository.common_dir, stage)
    exclude_scratch(repository.common_dir)
    old = repository.cache.listing(made[stage]) if dest.exists() and made[stage] != oid else None
    if not dest.exists() or old is not None:
        write_listing(listing, repository.cache.stream, dest, old=old)
    state.parent.mkdir(parents=True, exist_ok=True)
    write_whole(state, json.dumps({**made, stage: oid}, sort_keys=True).encode())
