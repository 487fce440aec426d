"""Make the data in the workspace what the pointers say; what the cache lacks is fetched and verified.

Data that was changed here is kept (exit code 5) unless --force is given.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitdata.commands.problems import raise_first
from gitdata.commands.progress import Progress
from gitdata.commands.terminal import print_line, say
from gitdata.data.bring import Brought, bring, bring_part, clear_gone, relink_all
from gitdata.data.repository import Repository
from gitdata.data.tracked import Tracked, both_changed, require
from gitdata.data.workspace import Workspace
from gitdata.errors import ConflictError, GitdataError, MissingDataError
from gitdata.text import quoted

_SAID = {"written": "updated", "removed": "removed", "relinked": "made anew"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="*", type=Path, metavar="PATH", help="outputs, or files inside them (default: all)"
    )
    parser.add_argument("-f", "--force", action="store_true", help="overwrite what was changed here")
    parser.add_argument("--relink", action="store_true", help="make data that is here anew, after cache.type changed")


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    paths = [repo.relative(path) for path in args.paths]
    done = update(repo, paths or None, force=args.force, remove=not paths, again=args.relink)
    return report(done, changed_is_error=True)


def update(
    repo: Repository, paths: Sequence[str] | None, *, force: bool, remove: bool, again: bool = False
) -> list[Brought]:
    """Bring the outputs at these paths (None: all), and clear away those that have no pointer any more.

    again: also make files anew that are of another type than `cache.type` says.
    """
    space = Workspace(repo)
    with space.lock():
        # The pointer of the working tree counts: `git restore x.dvc` or an edit by hand is what the user means.
        known = space.staged() | space.written()
        with Progress("fetching") as show:
            if paths is None:
                done = bring(space, [one for one in known.values() if one.watched], force=force, progress=show)
            else:
                done = [found for path in paths for found in _bring_path(space, known, path, force, show)]
        if again:
            done = relink_all(space, done)
        if remove:
            done += clear_gone(space, known)
    if remark := repo.links.remark():
        say(remark)
    done += [Brought(name, "unreadable", error.message, error) for name, error in _problems(space, known, paths)]
    return done


def _problems(
    space: Workspace, known: dict[str, Tracked], paths: Sequence[str] | None
) -> Iterator[tuple[str, GitdataError]]:
    """Pointers that could not be read, as far as they were asked for."""
    for name, error in sorted(space.problems.items()):
        if paths is None or any(f"{name.removesuffix('.dvc')}/".startswith(f"{path}/") for path in paths):
            yield name, error
    for one in known.values():
        if not one.watched and paths is None:
            try:
                require(one, one.path)
            except GitdataError as error:
                yield one.path, error


def _bring_path(space: Workspace, known: dict[str, Tracked], path: str, force: bool, show: Progress) -> list[Brought]:
    """What a person means by a path: an output, its pointer, a folder with outputs below, or a file inside one."""
    below = [one for name, one in known.items() if path in ("", ".") or name == path or name.startswith(path + "/")]
    below = [one for one in known.values() if one.pointer == path] or below
    if below:
        return bring(space, sorted(below, key=lambda one: one.path), force=force, progress=show)
    one = space.find(path, known)
    if one is None and any(path in (name, name.removesuffix(".dvc")) for name in space.problems):
        return []
    try:
        if one is None and not os.path.lexists(space.repo.root / path):
            raise _nothing(space, path)
        found = require(one, path)
        return bring_part(space, found, path[len(found.path) + 1 :], force=force, progress=show)
    except GitdataError as error:
        return [Brought(path, "missing", error.message, error)]


def _nothing(space: Workspace, path: str) -> MissingDataError:
    """git's own checkout takes a branch where ours takes a path."""
    switch = f"`git switch {quoted(path)}` goes to a branch, and the data follows"
    is_revision = space.git.resolve(path) is not None
    return MissingDataError(
        f"{path}: no such file or folder", hint=switch if is_revision else "`gitdata ls` lists what is there"
    )


def report(done: Sequence[Brought], *, changed_is_error: bool) -> int:
    """Say what happened. Raises the first error of what could not be brought, ConflictError for what was kept."""
    for one in done:
        if one.done in _SAID:
            print_line(f"{one.path}: {_SAID[one.done]}")
        elif one.done == "kept" and one.problem == "untracked":
            say(f"{one.path}: has no pointer any more; it was changed here and stays")
        elif one.done == "kept" and one.problem == "changed" and not changed_is_error:
            say(f"{one.path}: changed here, not committed yet")
    kept = [one for one in done if one.done == "kept" and (one.problem == "conflict" or changed_is_error)]
    kept = [one for one in kept if one.problem != "untracked"]
    errors = [_named(one) for one in done if one.done in ("missing", "unreadable")]
    if kept:
        names = ", ".join(one.path for one in kept)
        errors.append(ConflictError(f"changed here and kept: {names}", hint=both_changed(kept[0].path)))
    raise_first(errors)
    return 0


def _named(one: Brought) -> GitdataError:
    """The error of an output, which names it."""
    error = one.error or GitdataError(one.problem)
    if error.message.startswith(one.path):
        return error
    return type(error)(f"{one.path}: {error.message}", hint=error.hint)
