"""Bringing data: the workspace becomes what the pointers say, except where somebody changed it.

Called by ``checkout``, ``pull`` and the hooks after git moved, under the lock. All objects of an output are
in the cache, verified, before its first file changes. It must never overwrite what was edited here, unless told to.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from gitdata.data.base import load_bringing, mark_bringing
from gitdata.data.hashing import Digest
from gitdata.data.ignore import exclude_output, exclude_scratch
from gitdata.data.materialize import write_file, write_listing
from gitdata.data.relink import relink
from gitdata.data.scratch import delete, scratch_name, sweep
from gitdata.data.threeway import compare
from gitdata.data.transfer import Progress, pull_objects
from gitdata.data.workspace import Held, Tracked, Workspace
from gitdata.errors import GitdataError, InvalidInputError, MissingDataError
from gitdata.model import Entry, Listing

Done: TypeAlias = Literal["same", "written", "kept", "removed", "missing", "relinked"]


@dataclass(frozen=True, slots=True)
class Brought:
    """What happened to one output. kept: it was changed here. missing: its bytes could not be had, as problem says."""

    path: str
    done: Done
    problem: str = ""
    error: GitdataError | None = field(default=None, compare=False)


def bring(
    space: Workspace,
    tracked: Iterable[Tracked],
    *,
    force: bool = False,
    absent: Collection[str] | None = None,
    progress: Progress | None = None,
) -> list[Brought]:
    """Make each output's data what its pointer says. absent: of those without data, only these; None: all."""
    todo: list[tuple[Tracked, Held | None]] = []
    done: list[Brought] = []
    for one in tracked:
        held = space.look(one.path)
        state = compare(held.oid if held else None, space.base.get(one.path), one.out.oid)
        if state == "same":
            space.set_base(one.path, one.out.oid)
            done.append(Brought(one.path, "same"))
        elif state in ("changed", "conflict") and not force and not _half_brought(space, one, held):
            done.append(Brought(one.path, "kept", state))
        elif state != "absent" or absent is None or one.path in absent:
            todo.append((one, held))
    done += _bring_all(space, todo, progress)
    space.stats.save()
    return sorted(done, key=lambda one: one.path)


def relink_all(space: Workspace, done: Iterable[Brought]) -> list[Brought]:
    """What is here unchanged becomes of the type that `cache.type` says."""
    found = []
    for one in done:
        held = space.look(one.path) if one.done == "same" else None
        made = held and relink(space.stats, space.repo.links, one.path, held.listing, folder=held.is_dir)
        found.append(Brought(one.path, "relinked") if made else one)
    space.stats.save()
    return found


def _bring_all(space: Workspace, todo: list[tuple[Tracked, Held | None]], progress: Progress | None) -> list[Brought]:
    done = []
    if todo:
        exclude_scratch(space.repo.common_dir)
    for folder in {(space.repo.root / one.path).parent for one, _ in todo}:
        sweep(folder)
    for one, held in todo:
        try:
            ensure_cached(space, [one.out.oid], progress, one.remote)
            mark_bringing(space.folder, one.path, held.oid if held else None, one.out.oid)
            _write(space, one, held)
        except (MissingDataError, InvalidInputError) as error:
            done.append(_missing(one, error))
            continue
        space.set_base(one.path, one.out.oid)
        mark_bringing(space.folder, one.path, None, None)
        if one.generated:
            exclude_output(space.git, space.repo.common_dir, one.path)
        done.append(Brought(one.path, "written"))
    return done


def _missing(one: Tracked, error: GitdataError) -> Brought:
    if one.imported and isinstance(error, MissingDataError):
        message = "imported from another repository; nobody pushed it to this one's data remote"
        error = MissingDataError(message, hint=f"`dvc pull {one.pointer}`")
    return Brought(one.path, "missing", error.message, error)


def _half_brought(space: Workspace, one: Tracked, held: Held | None) -> bool:
    """Whether what lies here is what a killed ``bring`` left: nothing but files of before and of after."""
    old, new = load_bringing(space.folder, one.path)
    cache = space.repo.cache
    if held is None or not held.is_dir or not old or not new or not (cache.has(old) and cache.has(new)):
        return False
    ours = {(e.path, e.oid) for oid in (old, new) if oid.endswith(".dir") for e in cache.listing(oid)}
    return all((entry.path, entry.oid) in ours for entry in held.listing)


def ensure_cached(space: Workspace, oids: Iterable[str], progress: Progress | None = None, remote: str = "") -> None:
    """Fetch what the cache lacks; members of directories too. remote: the outputs' own one, "" for the default."""
    cache = space.repo.cache
    lacking = set()
    for oid in oids:
        if not cache.has(oid) or (oid.endswith(".dir") and any(not cache.has(e.oid) for e in cache.listing(oid))):
            lacking.add(oid)
    if lacking:
        pull_objects(space.repo.remote(remote), cache, lacking, progress)


def _write(space: Workspace, one: Tracked, held: Held | None) -> None:
    root, cache, links = space.repo.root, space.repo.cache, space.repo.links
    dest = root / one.path
    is_dir = one.out.is_dir
    aside = _move_aside(dest, is_dir)
    try:
        if is_dir:
            old = held.listing if held and held.is_dir else () if dest.is_dir() else None
            listing = write_listing(
                cache.listing(one.out.oid), cache.stream, dest, old=old, within=root, links=space.repo.links
            )
            _remember(space, one.path, listing, old or ())
        else:
            entry = Entry(dest.name, one.out.oid, one.out.size, one.out.exec)
            written = write_file(entry, cache.stream, dest, replace=True, within=root, links=links)
            _record(space, one.path, written)
    except BaseException:
        if aside is not None:
            aside.rename(dest)
        raise
    if aside is not None:
        delete(aside)


def _move_aside(dest: Path, is_dir: bool) -> Path | None:
    """A file where a folder comes, or the reverse, makes room first and comes back if that fails."""
    try:
        found = dest.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISDIR(found.st_mode) == is_dir:
        return None
    aside = dest.with_name(scratch_name())
    dest.rename(aside)
    return aside


def _remember(space: Workspace, path: str, listing: Listing, old: Listing) -> None:
    """The files just written need not be hashed again."""
    before = {entry.path: entry.oid for entry in old}
    for entry in listing:
        if before.get(entry.path) != entry.oid:
            _record(space, f"{path}/{entry.path}", entry)
    space.stats.forget(path, (f"{path}/{entry.path}" for entry in listing))


def _record(space: Workspace, name: str, entry: Entry) -> None:
    if entry.size is not None and entry.sha256 is not None:
        space.stats.record(name, Digest(entry.oid, entry.sha256, entry.size), (space.repo.root / name).stat())


def clear_gone(space: Workspace, tracked: dict[str, Tracked]) -> list[Brought]:
    """Remove the data of outputs that the pointers have no more, where it is unchanged and in the cache."""
    done: list[Brought] = []
    if space.git.run("ls-files", "--unmerged", "--", "*.dvc"):
        return done  # a pointer in conflict is not gone
    for path in sorted(space.base.keys() - tracked.keys()):
        base = space.base[path]
        held = space.look(path)
        taken = space.find(path, tracked) is not None or space.git.run("--literal-pathspecs", "ls-files", "--", path)
        if held is None or taken:
            space.set_base(path, None)
        elif held.oid != base or not _all_cached(space, held):
            space.set_base(path, None)
            done.append(Brought(path, "kept", "untracked"))
        else:
            _remove(space, path, held)
            space.set_base(path, None)
            done.append(Brought(path, "removed"))
    return done


def _all_cached(space: Workspace, held: Held) -> bool:
    return space.repo.cache.has(held.oid) and all(space.repo.cache.has(entry.oid) for entry in held.listing)


def _remove(space: Workspace, path: str, held: Held) -> None:
    """Delete exactly the files of the listing, then the folders that are empty: what else lies there stays."""
    full = space.repo.root / path
    if not held.is_dir:
        full.unlink()
        return
    for entry in held.listing:
        (full / entry.path).unlink()
    for folder, _, _ in os.walk(full, topdown=False):
        with suppress(OSError):  # not empty
            Path(folder).rmdir()
