"""Which files of the data differ: between two commits, or between a commit (default HEAD) and the workspace.

    gitdata diff                 the workspace against HEAD
    gitdata diff v1              the workspace against v1
    gitdata diff v1 main         from v1 to main

Exit code 0, with --exit-code 1 if anything differs.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import replace

from gitdata.backends.history import pointer_diff
from gitdata.commands.log import outputs_of
from gitdata.commands.terminal import print_json, print_line, say, size
from gitdata.data.compare import Difference, differences
from gitdata.data.repository import Repository
from gitdata.data.revisions import commit_of
from gitdata.data.tracked import Tracked
from gitdata.data.view import View
from gitdata.data.workspace import Workspace
from gitdata.model import Entry, Listing, Output

_MARK = {"added": "A", "modified": "M", "deleted": "D"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("old", nargs="?", metavar="A", help="from this commit (default: HEAD)")
    parser.add_argument("new", nargs="?", metavar="B", help="to this commit (default: the workspace)")
    parser.add_argument("--exit-code", action="store_true", help="exit with 1 if anything differs")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    old = commit_of(repo.git, "HEAD" if args.old is None else args.old)
    new = commit_of(repo.git, args.new) if args.new is not None else None
    view = View(repo, new or old)
    found = between(view, old, new) if new else _with_workspace(view)
    for remark in view.remarks:
        say(f"sizes that are not in this clone are not shown: {remark}")
    if args.json:
        print_json({"old": old, "new": new, "files": [one.as_json() for one in found]})
    else:
        for one in found:
            print_line(f"{_MARK[one.kind]}  {one.path}  {_sizes(one)}")
    return 1 if args.exit_code and found else 0


def between(view: View, old: str, new: str) -> list[Difference]:
    """File by file, for the pointers that differ between two commits; ``view`` is of one of them."""
    found = []
    for change in pointer_diff(view.repo.place, old, new):
        for path, before, after in outputs_of(change):
            found += _compare(view, path, _listing(view, path, before), _listing(view, path, after), before, after)
    return sorted(found, key=lambda one: one.path)


def _with_workspace(view: View) -> list[Difference]:
    space = Workspace(view.repo)
    here = {seen.tracked.path: seen for seen in space.survey()}
    found = []
    for path in sorted(view.outputs.keys() | here.keys()):
        tracked = view.outputs.get(path)
        before = tracked.out if tracked and tracked.watched else None
        held = here[path].held if path in here else None
        if held is None or (before is not None and held.oid == before.oid):
            if path not in here and before is not None:
                found += _compare(view, path, _listing(view, path, before), (), before, None)
            continue
        after = Output(path, held.oid, held.size)
        found += _compare(view, path, _listing(view, path, before), held.listing, before, after)
    return found


def _listing(view: View, path: str, out: Output | None) -> Listing:
    if out is None or not out.oid:
        return ()
    return view.listing(Tracked(path, path + ".dvc", out, remote=_remote(view, path)))


def _remote(view: View, path: str) -> str:
    tracked = view.outputs.get(path)
    return tracked.remote if tracked else ""


def _compare(
    view: View, path: str, old: Listing, new: Listing, before: Output | None, after: Output | None
) -> list[Difference]:
    """A file's own path is the output's; below a folder the entries' paths count."""
    one, other = _full(path, old, before), _full(path, new, after)
    same = {(entry.path, entry.oid) for entry in one} & {(entry.path, entry.oid) for entry in other}
    unknown = {e.oid for e in (*one, *other) if e.size is None and (e.path, e.oid) not in same}
    sizes = view.sizes(unknown, _remote(view, path))
    return differences(_sized(one, sizes), _sized(other, sizes))


def _sized(listing: Listing, sizes: Mapping[str, int]) -> Listing:
    return tuple(replace(e, size=sizes.get(e.oid, e.size)) for e in listing) if sizes else listing


def _full(path: str, listing: Listing, out: Output | None) -> Listing:
    folder = out is not None and out.is_dir
    return tuple(Entry(f"{path}/{e.path}" if folder else path, e.oid, e.size) for e in listing)


def _sizes(one: Difference) -> str:
    if one.kind == "added":
        return size(one.new_size)
    return size(one.old_size) if one.kind == "deleted" else f"{size(one.old_size)} -> {size(one.new_size)}"
