"""Store files or folders in the cache, write their pointers, and stage these in git.

A path inside a data folder adds that folder again; where nothing else of the folder is here, its files stay in the
pointer. Only files that changed since the last time are read.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gitdata.commands.problems import raise_first
from gitdata.commands.terminal import print_json, print_line, say, size
from gitdata.data.repository import Repository
from gitdata.data.track import Added, add, keep_rest, stage, targets
from gitdata.data.workspace import Workspace
from gitdata.errors import GitdataError
from gitdata.formats.dvcdir import alike


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or folder of the working tree")
    parser.add_argument("--json", action="store_true", help="what was added as one JSON document")


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    space = Workspace(repo)
    errors: list[GitdataError] = []
    done = add_paths(space, [repo.relative(path) for path in args.paths], errors)
    if args.json:
        print_json({"added": [as_json(one) for one in done]})
    else:
        report(done)
    raise_first(errors)
    return 0


def add_paths(space: Workspace, paths: list[str], errors: list[GitdataError]) -> list[Added]:
    """Add under the lock and stage. What is wrong with one path is added to ``errors`` and stops no other."""
    with space.lock():
        known = space.staged() | space.written()
        wanted = targets(space, paths, known, errors)
        inner = {one.path for path in paths if path not in known and (one := space.find(path, known))}
        done = []
        try:
            for path in wanted:
                try:
                    if path in inner:
                        keep_rest(space, known[path])
                    done.append(add(space, path, known.get(path)))
                except GitdataError as error:
                    errors.append(error)
            stage(space, done)
        finally:
            space.stats.save()
    return done


def report(done: list[Added]) -> None:
    for one in done:
        what = "new" if one.before is None else "changed" if one.changed else "unchanged"
        files = f"{len(one.held.listing)} file{'s' * (len(one.held.listing) != 1)}"
        print_line(f"{one.pointer}: {what}, {files}, {size(one.held.size)}")
        for name in one.held.left_out:
            say(f"left out: {one.path}/{name} (a symlink to a folder, or a repository's own files)")
        if one.held.absent:
            count = len(one.held.absent)
            say(f"{one.path}: {count} file{'s' * (count != 1)} of it are not here and stay in {one.pointer}")
        warn_of_alike(one)


def warn_of_alike(one: Added) -> None:
    """Names that can all be here, but not in a clone on macOS or Windows."""
    pairs = alike(entry.path for entry in one.held.listing)
    if pairs:
        first, second = pairs[0]
        more = f" (and {len(pairs) - 1} more such pairs)" if len(pairs) > 1 else ""
        say(
            f"warning: {one.path}: '{first}' and '{second}' are one name on macOS and Windows{more}: rename one of them"
        )


def as_json(one: Added) -> dict[str, object]:
    return {
        "path": one.path,
        "pointer": one.pointer,
        "oid": one.held.oid,
        "before": one.before,
        "size": one.held.size,
        "files": len(one.held.listing),
        "changed": one.changed,
    }
