"""Remove data: its files here, its pointer, its line in .gitignore. The changes are staged in git.

    gitdata rm images                   what commits name stays in the cache and on the remote
    gitdata rm images/a.jpg             a file or folder inside of data: the pointer of the rest is brought up to date
    gitdata rm --cached images          stop tracking it, and keep it here

Data that was changed here or is in no commit yet is refused, unless -f is given.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gitdata.commands.mentions import mentions
from gitdata.commands.terminal import print_line, say
from gitdata.data.removal import Removal, remove
from gitdata.data.repository import Repository
from gitdata.data.workspace import Workspace


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="PATH", help="data, a file or folder in it, or a pointer"
    )
    parser.add_argument("--cached", action="store_true", help="keep the data here, remove only the pointer")
    parser.add_argument("-f", "--force", action="store_true", help="also what was changed here or is in no commit")
    parser.add_argument(
        "-r", "--recursive", action="store_true", help="of a folder that is no data itself, all data in it"
    )


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    space = Workspace(repo)
    paths = [repo.relative(path) for path in args.paths]
    named = [stage for path in paths for stage in mentions(repo.git, path.removesuffix(".dvc"))]
    with space.lock():
        done = remove(space, paths, force=args.force, cached=args.cached, below=args.recursive)
    for one in done:
        print_line(f"{one.path}: {_told(one)}")
    for stage in named:
        say(f"stage {stage.name} ({stage.file}) names {stage.repo}: change it")
    return 0


def _told(one: Removal) -> str:
    if not one.stays:
        return "removed"
    if one.ignored:
        return f"no longer tracked, {one.pointer} is removed; the files stay here, and git ignores them by another rule"
    return f"no longer tracked, {one.pointer} is removed; the files stay here, and git does not ignore them any more"
