"""Outputs of ``gitdata run`` in the workspace: folders named like their stages, ignored by git, never committed.

Called by ``commands.run``, and by ``status`` for what git left behind: git ignores these folders, so that they stay
where they are while branches change under them. A folder of that name that gitdata did not make is never touched.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.data.files import write_whole
from gitdata.data.ignore import exclude_output, exclude_scratch
from gitdata.data.materialize import write_listing
from gitdata.data.repository import Repository
from gitdata.data.revisions import current_branch
from gitdata.errors import ConflictError
from gitdata.model import Listing

_VERSION = 2


@dataclass(frozen=True, slots=True)
class Made:
    """What a folder was made from. head: the commit that was checked out. branch: "" for none.

    parts: path -> git's id, in the tree that was run, of all that decides about the output: specs, images, inputs.
    """

    oid: str
    head: str = ""
    branch: str = ""
    parts: Mapping[str, str] = field(default_factory=dict)


def made_now(repository: Repository, commit: str, paths: Iterable[str], oid: str) -> Made:
    """``paths`` decide about the output ``oid`` of a run of ``commit``, which may be a snapshot of the working tree."""
    git = repository.git
    return Made(oid, git.resolve("HEAD") or "", current_branch(git), _ids(git, commit, paths))


def bring_output(repository: Repository, stage: str, made: Made, listing: Listing) -> None:
    """Make ``<root>/<stage>`` hold a listing whose objects are in the cache. Raises ConflictError, MissingDataError."""
    known = _load(repository)
    dest, cache = repository.root / stage, repository.cache
    if dest.exists() and stage not in known:
        raise ConflictError(
            f"{stage}/ exists and is not an output", hint="move it away, or use `gitdata run --no-checkout`"
        )
    exclude_output(repository.git, repository.common_dir, stage)
    exclude_scratch(repository.common_dir)
    before = known[stage].oid if dest.exists() else ""
    if before and before != made.oid and not cache.has(before):
        raise ConflictError(
            f"{stage}/ holds an older output, and the list of its files is gone from the cache",
            hint=f"move {stage}/ away, or use `gitdata run --no-checkout`",
        )
    if before != made.oid:
        write_listing(listing, cache.stream, dest, old=cache.listing(before) if before else None)
    file = _file(repository)
    file.parent.mkdir(parents=True, exist_ok=True)
    stages = {name: asdict(one) for name, one in {**known, stage: made}.items()}
    write_whole(file, json.dumps({"version": _VERSION, "stages": stages}, sort_keys=True).encode())


def left_outputs(repository: Repository) -> dict[str, str]:
    """Stage -> what to say, of the folders here that another commit or branch than HEAD's was run for."""
    known = {stage: made for stage, made in _load(repository).items() if (repository.root / stage).is_dir()}
    known = {stage: made for stage, made in known.items() if made.parts}
    if not known:
        return {}
    git = repository.git
    head = git.resolve("HEAD") or ""
    here = _ids(git, head, {path for made in known.values() for path in made.parts}) if head else {}
    found = {}
    for stage, made in known.items():
        if all(here.get(path) == id for path, id in made.parts.items()):
            continue
        if made.head == head and _is_edited(git, made.parts):
            continue  # it was run with what is edited here
        where = f"{made.branch} at {made.head[:10]}" if made.branch else made.head[:10]
        found[stage] = f"{stage}: made by `gitdata run` for {where}, not for this commit (`gitdata run` makes it anew)"
    return found


def _is_edited(git: Git, paths: Iterable[str]) -> bool:
    return bool(git.run("--literal-pathspecs", "status", "--porcelain", "-z", "--", *paths))


def _ids(git: Git, treeish: str, paths: Iterable[str]) -> dict[str, str]:
    """Path -> id of what a tree has there, a file or a folder; nothing for what it has not."""
    wanted = sorted(set(paths))
    listed = git.run("--literal-pathspecs", "ls-tree", "-z", "--full-tree", treeish, "--", *wanted) if wanted else b""
    rows = (row.partition(b"\t") for row in listed.split(b"\0")[:-1])
    return {path.decode(errors="surrogateescape"): meta.decode().split()[2] for meta, _, path in rows}


def _file(repository: Repository) -> Path:
    return repository.git_dir / "gitdata" / "outputs.json"


def _load(repository: Repository) -> dict[str, Made]:
    """Stage -> what is known of its folder; of the first version, which had oids alone, no more than that."""
    try:
        document = json.loads(_file(repository).read_bytes())
        if document.get("version") != _VERSION:
            return {stage: Made(oid) for stage, oid in document.items() if isinstance(oid, str)}
        return {stage: Made(**made) for stage, made in document["stages"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
