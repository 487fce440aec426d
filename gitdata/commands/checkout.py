"""Make the data in the workspace what the pointers say; what the cache lacks is fetched and verified.

Data that was changed here is kept (exit code 5) unless --force is given.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from gitdata.commands.progress import Progress
from gitdata.commands.terminal import print_line, say
from gitdata.data.bring import Brought, bring, clear_gone, relink_all
from gitdata.data.repository import Repository
from gitdata.data.workspace import Tracked, Workspace, require
from gitdata.errors import ConflictError, GitdataError

_SAID = {"written": "updated", "removed": "removed", "relinked": "made anew"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", type=Path, metavar="PATH", help="outputs (default: all)")
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
    with repo.lock():
        # The pointer of the working tree counts: `git restore x.dvc` or an edit by hand is what the user means.
        known = space.staged() | space.written()
        wanted = _wanted(space, known, paths)
        with Progress("fetching") as show:
            done = bring(space, wanted, force=force, progress=show)
        if again:
            done = relink_all(space, done)
        if remove:
            done += clear_gone(space, known)
    if remark := repo.links.remark():
        say(remark)
    return done


def _wanted(space: Workspace, known: dict[str, Tracked], paths: Sequence[str] | None) -> list[Tracked]:
    if paths is None:
        return [one for _, one in sorted(known.items()) if one.watched]
    wanted: dict[str, Tracked] = {}
    for path in paths:
        below = [one for name, one in known.items() if path in ("", ".") or name.startswith(path + "/")]
        named = [known[name] for name in known if known[name].pointer == path]
        for one in named or below or [require(space.find(path, known), path)]:
            wanted[one.path] = require(one, one.path)
    return [one for _, one in sorted(wanted.items())]


def report(done: Sequence[Brought], *, changed_is_error: bool) -> int:
    """Say what happened. Raises the first error of what could not be brought, ConflictError for what was kept."""
    for one in done:
        if one.done in _SAID:
            print_line(f"{one.path}: {_SAID[one.done]}")
        elif one.done == "kept" and one.problem == "untracked":
            say(f"{one.path}: has no pointer any more; it was changed here and stays")
        elif one.done == "kept" and one.problem == "changed" and not changed_is_error:
            say(f"{one.path}: changed here, not committed yet")
    missing = [one for one in done if one.done == "missing"]
    kept = [one for one in done if one.done == "kept" and (one.problem == "conflict" or changed_is_error)]
    kept = [one for one in kept if one.problem != "untracked"]
    if missing:
        error = missing[0].error
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        kind = type(error) if error else GitdataError
        hints = dict.fromkeys(one.error.hint for one in missing if one.error and one.error.hint)
        raise kind(f"{missing[0].path}: {missing[0].problem}{more}", hint=", ".join(list(hints)[:5]))
    if kept:
        names = ", ".join(one.path for one in kept)
        raise ConflictError(
            f"changed here and kept: {names}",
            hint=f"`gitdata add {kept[0].path}` keeps yours, `gitdata checkout --force {kept[0].path}` takes git's",
        )
    return 0
