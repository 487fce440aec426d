"""Bringing data: the workspace becomes what the pointers say, except where somebody changed it.

All objects of an output are in the cache, verified, before its first file changes. A problem with one output never
keeps the others from being brought. It must never overwrite what was edited here, unless told to. Under the lock.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from gitdata.data.base import REMOVED, Base, load_bringing, mark_bringing
from gitdata.data.hashing import Digest
from gitdata.data.ignore import exclude_output, exclude_scratch
from gitdata.data.materialize import write_file, write_listing
from gitdata.data.relink import relink
from gitdata.data.scratch import delete, scratch_name, sweep
from gitdata.data.threeway import State, compare, moved
from gitdata.data.tracked import Tracked, require
from gitdata.data.transfer import Progress, pull_objects
from gitdata.data.workspace import Held, Workspace
from gitdata.errors import ConflictError, GitdataError, InvalidInputError, MissingDataError, RemoteError
from gitdata.formats.dvcdir import dump_dir
from gitdata.model import Entry, Listing
from gitdata.text import quoted

Done: TypeAlias = Literal["same", "written", "kept", "removed", "missing", "unreadable", "relinked"]


@dataclass(frozen=True, slots=True)
class Brought:
    """What happened to one output.

    kept: it was changed here, problem is its state. missing: its bytes could not be had. unreadable: what lies here
    could not be read. Of both, problem and error say why.
    """

    path: str
    done: Done
    problem: str = ""
    error: GitdataError | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Todo:
    """An output to write. held: what lies there. only: of its files these alone, None for all. keep: files that stay as
    they are. whole: no file of the output is away without having been deleted by a person.
    """

    tracked: Tracked
    held: Held | None
    only: frozenset[str] | None = None
    keep: Listing = ()
    whole: bool = False


def bring(
    space: Workspace,
    tracked: Iterable[Tracked],
    *,
    force: bool = False,
    follow: bool = False,
    offline: bool = False,
    progress: Progress | None = None,
) -> list[Brought]:
    """Make each output's data what its pointer says.

    follow: git moved the pointers: data that is not here is brought only where its pointer moved, and of partial data
    only the files that are here. offline: nothing is fetched.
    """
    todo: list[Todo] = []
    done: list[Brought] = []
    for one in tracked:
        try:
            require(one, one.path)
            held, base, state = _judge(space, one, force=force, offline=offline)
        except GitdataError as error:
            done.append(_problem(one, error))
            continue
        if state == "same" and held and not (held.absent and not follow):
            space.set_base(one.path, Base(one.out.oid, bool(held.absent)))
            done.append(_refill(space, one, held) if not follow else Brought(one.path, "same"))
        elif state in ("changed", "conflict") and not force and not _half_brought(space, one, held):
            done.append(Brought(one.path, "kept", state))
        elif state != "absent" or not follow or moved(base.oid if base else None, one.out.oid):
            part = follow and held is not None and held.absent
            todo.append(Todo(one, held, _paths(held) if part and held else None))
    done += _bring_all(space, todo, offline, progress)
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


def bring_part(
    space: Workspace, one: Tracked, inside: str, *, force: bool = False, progress: Progress | None = None
) -> list[Brought]:
    """Bring one file or folder inside an output, and nothing else of it. inside: relative to the output.

    Raises MissingDataError if its pointer has no such file, ConflictError where the rest is of another version.
    """
    require(one, one.path)
    held, base, state = _judge(space, one, force=force, offline=False)
    if state in ("stale", "conflict"):
        raise ConflictError(
            f"{one.path}: the data here is not of the version that its pointer names",
            hint=f"`gitdata checkout {quoted(one.path)}` brings all of it up to date",
        )
    wanted = space.fetch_listing(one, one.out.oid) if one.out.is_dir else ()
    chosen = {entry.path: entry.oid for entry in wanted if f"{entry.path}/".startswith(f"{inside}/")}
    if not chosen:
        raise MissingDataError(f"{one.path}/{inside}: no such file in {one.pointer}")
    here = {} if held is None else {entry.path: entry for entry in held.listing if entry.path not in held.absent}
    edited = [path for path, oid in chosen.items() if path in here and here[path].oid != oid]
    if edited and not force:
        return [Brought(f"{one.path}/{path}", "kept", "changed") for path in edited]
    if all(path in here for path in chosen) and not edited:
        return [Brought(f"{one.path}/{inside}", "same")]
    keep = tuple(entry for path, entry in here.items() if path not in chosen)
    known = held is not None and base is not None and not base.partial
    done = _bring_all(space, [Todo(one, held, frozenset(chosen), keep, known)], False, progress)
    return [replace(item, path=f"{one.path}/{inside}") for item in done]


def _refill(space: Workspace, one: Tracked, held: Held) -> Brought:
    """Put what the cache lacks of an output that is here back into it."""
    cache, full = space.repo.cache, space.repo.root / one.path
    lacking = [entry for entry in held.listing if not cache.has(entry.oid)]
    try:
        with cache.batch():
            for entry in lacking:
                if cache.add_file(full / entry.path if held.is_dir else full).md5 != entry.oid:
                    raise ConflictError(f"{one.path}/{entry.path}: it changed meanwhile", hint="try again")
        if held.is_dir and not cache.has(held.oid):
            cache.add_bytes(dump_dir(held.listing), directory=True)
    except GitdataError as error:
        return _problem(one, error)
    return Brought(one.path, "same")


def _paths(held: Held) -> frozenset[str]:
    return frozenset(entry.path for entry in held.listing if entry.path not in held.absent)


def _judge(space: Workspace, one: Tracked, *, force: bool, offline: bool) -> tuple[Held | None, Base | None, State]:
    """As ``Workspace.judge``; links into a cache that is gone count as absent, with ``force`` all links to nothing."""
    base = space.base.get(one.path)
    if base and base.partial and base.oid.endswith(".dir") and not offline and (space.repo.root / one.path).is_dir():
        space.fetch_listing(one, base.oid)
    try:
        return space.judge(one)
    except InvalidInputError:
        held = space.look_past_links(one.path, any_link=force)
        if held is None:
            raise
        known = base or Base(one.out.oid)
        with suppress(MissingDataError):
            held = space.overlay(one.path, held, known.oid, held.broken)
        return held, known, compare(held.oid, known.oid, one.out.oid)


def _bring_all(space: Workspace, todo: list[Todo], offline: bool, progress: Progress | None) -> list[Brought]:
    done = []
    away: dict[str, RemoteError] = {}  # remotes that gave no answer: one wait for each, not one for each output
    if todo:
        exclude_scratch(space.repo.common_dir)
    for folder in {(space.repo.root / one.tracked.path).parent for one in todo}:
        sweep(folder)
    for item in todo:
        one = item.tracked
        try:
            ensure_cached(space, item, offline or one.remote in away, progress)
            mark_bringing(space.folder, one.path, item.held.oid if item.held else None, one.out.oid)
            partial = _write(space, item)
        except (GitdataError, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise  # the others would not fit either
            if isinstance(error, RemoteError) and error.transient:
                away[one.remote] = error
            done.append(_problem(one, away.get(one.remote, error) if isinstance(error, MissingDataError) else error))
            continue
        space.set_base(one.path, Base(one.out.oid, partial))
        mark_bringing(space.folder, one.path, None, None)
        exclude_output(space.git, space.repo.common_dir, one.path)
        done.append(Brought(one.path, "written"))
    return done


def _problem(one: Tracked, error: GitdataError | OSError) -> Brought:
    if isinstance(error, OSError):
        error = GitdataError(f"{error.filename or one.path}: {error.strerror or error}")
    if one.imported and isinstance(error, MissingDataError):
        message = "imported from another repository; nobody pushed it to this one's data remote"
        error = MissingDataError(message, hint=f"`dvc pull {quoted(one.pointer)}`")
    done: Done = "unreadable" if isinstance(error, InvalidInputError) else "missing"
    return Brought(one.path, done, error.message, error)


def _half_brought(space: Workspace, one: Tracked, held: Held | None) -> bool:
    """Whether what lies here is what a killed ``bring`` left: nothing but files of before and of after."""
    old, new = load_bringing(space.folder, one.path)
    cache = space.repo.cache
    if held is None or not held.is_dir or not old or not new or not (cache.has(old) and cache.has(new)):
        return False
    ours = {(e.path, e.oid) for oid in (old, new) if oid.endswith(".dir") for e in cache.listing(oid)}
    return all((entry.path, entry.oid) in ours for entry in held.listing)


def ensure_cached(space: Workspace, item: Todo, offline: bool, progress: Progress | None = None) -> None:
    """Fetch what the cache lacks of what is to be written."""
    one, cache = item.tracked, space.repo.cache
    lacking: set[str] = set()
    if item.only is not None:
        files = space.fetch_listing(one, one.out.oid) if not offline else space.listing(one.path, one.out.oid)
        lacking = {entry.oid for entry in files if entry.path in item.only and not cache.has(entry.oid)}
    elif not cache.has(one.out.oid) or (
        one.out.is_dir and any(not cache.has(entry.oid) for entry in cache.listing(one.out.oid))
    ):
        lacking = {one.out.oid}
    if lacking and offline:
        raise MissingDataError("its data is not in the cache", hint=f"`gitdata checkout {quoted(one.path)}` fetches it")
    if lacking:
        pull_objects(space.repo.remote(one.remote or None), cache, lacking, progress)


def _write(space: Workspace, item: Todo) -> bool:
    """Make the files what the pointer says; whether some of its files are still not here."""
    root, cache, links = space.repo.root, space.repo.cache, space.repo.links
    one, held = item.tracked, item.held
    dest = root / one.path
    is_dir = one.out.is_dir
    aside = _move_aside(dest, is_dir)
    partial = False
    try:
        if is_dir:
            old = _here(held) if held and held.is_dir else () if dest.is_dir() else None
            wanted = space.listings.get(one.out.oid) or cache.listing(one.out.oid)
            chosen = [entry for entry in wanted if item.only is None or entry.path in item.only]
            files = tuple(sorted((*chosen, *item.keep), key=lambda entry: entry.path))
            listing = write_listing(files, cache.stream, dest, old=old, within=root, links=links)
            _remember(space, one.path, listing, old or ())
            partial = not item.whole and bool({e.path for e in wanted} - {e.path for e in files})
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
    return partial


def _here(held: Held) -> Listing:
    """What the folder holds now; a link to nothing is a file of no content that we know."""
    links = tuple(Entry(path, "") for path in held.broken)
    return (*(entry for entry in held.listing if entry.path not in held.absent), *links)


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


def clear_gone(space: Workspace, tracked: dict[str, Tracked], former: Sequence[Tracked] = ()) -> list[Brought]:
    """Remove the data of outputs that the pointers have no more, where it is unchanged and in the cache.

    former: outputs of where git was before, for data that gitdata has never seen.
    """
    done: list[Brought] = []
    if space.problems:
        return done  # a pointer that cannot be read, as in a conflict, is not gone
    gone = {one.path: Base(one.out.oid, partial=True) for one in former}
    gone |= {path: base for path, base in space.base.items() if base.oid}
    for path, base in sorted(gone.items()):
        if path in tracked or (space.repo.root / f"{path}.dvc").exists():
            continue  # a pointer that only git's index lacks, as after `git rm --cached`
        rows = space.git.run("--literal-pathspecs", "ls-files", "-z", "--", path).split(b"\0")[:-1]
        inside = space.find(path, tracked) is not None or any(other.startswith(path + "/") for other in tracked)
        if rows or inside:
            if not inside:
                _clear_beside(space, path, base, {row.decode(errors="surrogateescape") for row in rows})
            space.forget(path)
            continue
        try:
            held = space.look(path)
        except GitdataError:
            held = Held("", (), 0)
        if held is None:
            continue  # a person deleted it: should the pointer come back, it stays away
        if not _is_unchanged(space, held, base):
            space.forget(path)
            exclude_output(space.git, space.repo.common_dir, path)
            done.append(Brought(path, "kept", "untracked"))
            continue
        _remove(space, path, held)
        space.set_base(path, REMOVED)
        done.append(Brought(path, "removed"))
    return done


def _is_unchanged(space: Workspace, held: Held, base: Base) -> bool:
    """Whether all that lies here is what it was made from, and the cache has it."""
    cache = space.repo.cache
    if held.oid != base.oid:
        if not (base.partial and base.oid.endswith(".dir") and cache.has(base.oid) and held.is_dir):
            return False
        made = {(entry.path, entry.oid) for entry in cache.listing(base.oid)}
        if any((entry.path, entry.oid) not in made for entry in held.listing):
            return False
    return cache.has(base.oid) and all(cache.has(entry.oid) for entry in held.listing)


def _clear_beside(space: Workspace, path: str, base: Base, kept: Collection[str]) -> None:
    """Where git has files of its own in the folder now: remove, of the data, what is unchanged and in the cache."""
    cache = space.repo.cache
    if not base.oid.endswith(".dir") or not cache.has(base.oid):
        return
    with suppress(GitdataError):
        held = space.look(path)
        made = {(entry.path, entry.oid) for entry in cache.listing(base.oid)}
        files = [entry for entry in held.listing if (entry.path, entry.oid) in made] if held and held.is_dir else []
        data = tuple(e for e in files if cache.has(e.oid) and f"{path}/{e.path}" not in kept)
        _remove(space, path, Held(base.oid, data, 0))


def _remove(space: Workspace, path: str, held: Held) -> None:
    """Delete exactly the files of the listing, then the folders that are empty: what else lies there stays."""
    full = space.repo.root / path
    if not held.is_dir:
        full.unlink(missing_ok=True)
        return
    for entry in held.listing:
        (full / entry.path).unlink(missing_ok=True)
    for folder, _, _ in os.walk(full, topdown=False):
        with suppress(OSError):  # not empty
            Path(folder).rmdir()
