"""Data leaves: its files here, its pointer, its line in ``.gitignore``, base and git's index.

Called by ``rm``, under the repository's lock. Everything is checked before anything goes. The data goes first and git's
index last, so that a call that was killed is finished by the same call. Objects stay in the cache and on the remote,
for the commits that name them. It must never delete a file whose content no commit has, unless told to.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitdata.data.files import write_whole
from gitdata.data.ignore import git_ignores
from gitdata.data.relocation import (
    check_complete,
    data_of,
    listing_of,
    pointer_text,
    put_listing,
    released,
    stage_changes,
    tracked_at,
)
from gitdata.data.track import add, stage
from gitdata.data.tracked import Tracked, outs_of, require
from gitdata.data.workspace import Held, Workspace
from gitdata.errors import ConflictError, GitdataError, InvalidInputError, MissingDataError
from gitdata.formats.dvc import drop_out, parse_pointer
from gitdata.model import Entry, Listing
from gitdata.text import quoted


@dataclass(frozen=True, slots=True)
class Removal:
    """What was removed. stays: whether the data lies here still. ignored: whether git ignores it then."""

    path: str
    pointer: str
    stays: bool = False
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class _Task:
    one: Tracked
    inside: str  # relative to the output, "" for all of it
    held: Held | None


def remove(
    space: Workspace, paths: Iterable[str], *, force: bool = False, cached: bool = False, below: bool = False
) -> list[Removal]:
    """Remove outputs, or files and folders inside of them.

    cached: the data stays here, only its pointer goes. below: a folder that is no data means all data in it.
    Raises before anything is changed: for what is no data, and for files that no commit has (not with ``force``).
    """
    known = space.staged() | space.written()
    tasks = []
    for path in dict.fromkeys(meant for word in paths for meant in _meant(space, word, known, below)):
        one = tracked_at(space, path, known)
        task = _Task(one, path[len(one.path) + 1 :], _held(space, one, force=force or cached))
        if cached and task.inside:
            raise InvalidInputError(
                f"{path} is a part of {one.path}: git has only the pointer of the whole",
                hint=f"without --cached {path} itself goes; `gitdata rm --cached {quoted(one.path)}` keeps it here",
            )
        if task.inside:
            _check_inside(space, task)
        if not force and not cached:
            _check_kept(space, task)
        tasks.append(task)
    return [_remove_part(space, task) if task.inside else _remove_whole(space, task, cached) for task in tasks]


def _meant(space: Workspace, path: str, known: dict[str, Tracked], below: bool) -> list[str]:
    path = data_of(path, known)
    inner = sorted(other for other in known if other.startswith(f"{path}/"))
    return inner if below and inner and space.find(path, known) is None else [path]


def _held(space: Workspace, one: Tracked, *, force: bool) -> Held | None:
    base = space.base.get(one.path)
    try:
        if base is not None and base.partial and base.oid.endswith(".dir"):
            space.fetch_listing(one, base.oid)
        return space.look(one.path, base)
    except GitdataError:
        if not force:
            raise
        return None


def _check_kept(space: Workspace, task: _Task) -> None:
    """Raises ConflictError where something would go that no commit has."""
    one, held = task.one, task.held
    word = quoted(one.path)
    path = posixpath.join(one.path, task.inside).rstrip("/")
    parts: list[Entry] = []
    if held is not None:
        require(one, one.path)
        kept = {entry.path: entry.oid for entry in listing_of(space, one)} if task.inside else {}
        parts = [entry for entry in _below(held.listing, task.inside) if entry.path not in held.absent]
        same = all(kept.get(entry.path) == entry.oid for entry in parts) if task.inside else held.oid == one.out.oid
        if not same or not all(space.repo.cache.has(entry.oid) for entry in parts):
            raise ConflictError(
                f"{path} was changed here, and is not stored",
                hint=f"`gitdata add {word}` and a commit store it; `gitdata rm --cached {word}` keeps it here",
            )
    if not (held is None and task.inside) and not _is_committed(space, one, parts):
        raise ConflictError(
            f"{path} is in no commit yet",
            hint=f"commit {one.pointer} first; or `gitdata rm --cached {word}` keeps the data here",
        )


def _is_committed(space: Workspace, one: Tracked, parts: list[Entry]) -> bool:
    """Whether the current commit has these files of an output, under whatever name."""
    if space.git.call("grep", "--quiet", "-F", "-e", one.out.oid, "HEAD", "--", "*.dvc").returncode == 0:
        return True
    committed = space.git.file("HEAD", one.pointer) if parts and space.git.resolve("HEAD") else None
    known: set[str] = set()
    for former in outs_of(one.pointer, parse_pointer(committed, one.pointer)) if committed else ():
        if former.path == one.path and former.out.is_dir:
            known |= {entry.oid for entry in listing_of(space, former)}
    return bool(parts) and all(entry.oid in known for entry in parts)


def _below(listing: Listing, inside: str) -> list[Entry]:
    return [entry for entry in listing if not inside or f"{entry.path}/".startswith(f"{inside}/")]


def _check_inside(space: Workspace, task: _Task) -> None:
    one = require(task.one, task.one.path)
    if task.held is not None:
        check_complete(space, one)
    if not _below(task.held.listing if task.held else listing_of(space, one), task.inside):
        raise MissingDataError(f"{one.path}/{task.inside}: no such file in {one.pointer}")


def _remove_whole(space: Workspace, task: _Task, cached: bool) -> Removal:
    root, one = space.repo.root, task.one
    if not cached:
        _delete(root / one.path, task.held)
    space.set_base(one.path, None)  # what stays is a person's, and no hook clears it away
    text = pointer_text(space, one.pointer)
    left = drop_out(text, one.pointer, one.out.path) if text else None
    if left is None:
        (root / one.pointer).unlink(missing_ok=True)
    else:
        write_whole(root / one.pointer, left)
    stage_changes(space, [one.pointer, *released(space, one.path)])
    stays = os.path.lexists(root / one.path)
    return Removal(one.path, one.pointer, stays, stays and git_ignores(space.git, one.path))


def _remove_part(space: Workspace, task: _Task) -> Removal:
    one, path = task.one, f"{task.one.path}/{task.inside}"
    if task.held is not None:
        top = space.repo.root / one.path
        for entry in _below(task.held.listing, task.inside):
            (top / entry.path).unlink(missing_ok=True)
        _prune(top / task.inside)
        stage(space, [add(space, one.path, one)])
        space.stats.save()
    else:
        gone = set(_below(listing := listing_of(space, one), task.inside))
        put_listing(space, one, [entry for entry in listing if entry not in gone], None)
    return Removal(path, one.pointer)


def _delete(full: Path, held: Held | None) -> None:
    """Delete exactly the files of the listing, then the folders that are empty: what else lies there stays."""
    if held is None:
        return
    if not held.is_dir:
        full.unlink(missing_ok=True)
        return
    for entry in held.listing:
        (full / entry.path).unlink(missing_ok=True)
    _prune(full)


def _prune(full: Path) -> None:
    for folder, _, _ in os.walk(full, topdown=False):
        with suppress(OSError):  # not empty
            Path(folder).rmdir()
