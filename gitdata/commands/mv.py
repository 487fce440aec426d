"""Move or rename data: an output with its pointer, or files and folders inside of one.

    gitdata mv images pictures
    gitdata mv images/a.jpg images/old/b.jpg
    gitdata mv images archive/

As `git mv`: into DEST where it is a folder (or ends in /), else to that name. Nothing is overwritten. The changes are
staged in git. Data that is not here is moved by its pointer alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gitdata.commands.mentions import mentions
from gitdata.commands.terminal import print_line, say
from gitdata.data.relocation import relocate
from gitdata.data.repository import Repository
from gitdata.data.workspace import Workspace
from gitdata.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SRC", help="data, a file or folder in it, or a pointer")
    parser.add_argument("dest", metavar="DEST", help="the new name, or the folder to move into")


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    space = Workspace(repo)
    dest = repo.relative(Path(args.dest))
    dest = "" if dest == "." else dest
    into = args.dest.endswith("/") or (repo.root / dest).is_dir()
    if len(args.sources) > 1 and not into:
        raise UsageError(f"{args.dest} is no folder", hint=f"{args.dest}/ makes it one")
    with space.lock():
        for word in args.sources:
            source = repo.relative(Path(word))
            named = mentions(repo.git, source.removesuffix(".dvc"))
            done = relocate(space, source, dest, into=into)
            print_line(f"{done.source} -> {done.dest}" + ("" if done.here else " (its data is not here)"))
            for stage in named:
                say(f"stage {stage.name} ({stage.file}) names {stage.repo}: change the spec to name the new path")
    return 0
