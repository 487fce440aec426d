"""List the files at a path, data and git files alike, in the working tree or at any revision.

    gitdata ls images
    gitdata ls -r gitdata/main:validate

Without a revision: what the pointers of the working tree name. Sizes that this clone does not know are asked of the
data remote.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gitdata.commands.terminal import print_json, print_line, say, size
from gitdata.data.repository import Repository
from gitdata.data.view import Node, View, split_revision


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", nargs="?", default="", metavar="[REV:]PATH", help="default: everything")
    parser.add_argument("-r", "--recursive", action="store_true", help="all files below, not the top level alone")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    view, path = open_view(repo, args.target)
    nodes = view.files(path, sizes=True) if args.recursive else view.children(path)
    for remark in view.remarks:
        say(f"sizes that are not in this clone are not shown: {remark}")
    if args.json:
        print_json({"revision": view.commit, "path": path, "entries": [_json(node) for node in nodes]})
        return 0
    for node in nodes:
        count = f"{node.files} files" if node.files is not None else ""
        name = node.path + ("/" if node.folder else "")
        kind = "" if node.kind == "folder" else node.kind
        print_line(f"{size(node.size):>10}  {kind:<4}  {name}" + (f"  ({count})" if count else ""))
    return 0


def open_view(repo: Repository, target: str) -> tuple[View, str]:
    """The view that ``[REV:]PATH`` means, and the path from the root."""
    commit, path = split_revision(repo, target)
    if commit is None:
        path = repo.relative(Path(path or ".")) if path or Path.cwd() != repo.root else ""
    return View(repo, commit), "" if path == "." else path


def _json(node: Node) -> dict[str, object]:
    return {
        "path": node.path,
        "kind": node.kind,
        "folder": node.folder,
        "oid": node.oid or None,
        "size": node.size,
        "files": node.files,
    }
