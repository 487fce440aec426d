"""Write a file or folder of any revision to a place of your choice; the workspace is left alone.

    gitdata get gitdata/main:threat-detect/threats -o threats
    gitdata get v1:model/graph.pb -o -

Data that is not in the cache is fetched from the remote and verified. A place that exists is not overwritten. Symlinks,
submodules and DVC's own folder are left out, and named.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from gitdata.commands.ls import open_view
from gitdata.commands.progress import Progress
from gitdata.commands.terminal import print_bytes, say
from gitdata.data.ignore import exclude_scratch
from gitdata.data.materialize import write_file, write_listing
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError, UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("target", metavar="[REV:]PATH", help="a data path or a file of git")
    parser.add_argument("-o", "--output", metavar="DEST", help="where to (default: its name, here; - is stdout)")
    parser.add_argument("-f", "--force", action="store_true", help="overwrite an existing file")


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    view, path = open_view(repo, args.target)
    dest = Path(args.output or path.rpartition("/")[2] or "data").absolute()
    if args.output == "-":
        dest = Path("-")
    elif dest.exists() and not (args.force and dest.is_file()):
        raise ConflictError(f"{dest} exists", hint="choose another place with -o, or remove it")
    with Progress("fetching") as show:
        found = view.contents(path, show)
    listing = found.listing

    exclude_scratch(repo.common_dir)

    def source(oid: str) -> Iterable[bytes]:
        return (found.texts[oid],) if oid in found.texts else repo.cache.stream(oid)

    if args.output == "-":
        if found.folder:
            raise UsageError(f"{args.target} is a folder: it cannot be written to standard output")
        print_bytes(source(listing[0].oid))
    elif found.folder:
        write_listing(listing, source, dest)
        say(f"{dest}: {len(listing)} files")
        if found.left_out:
            more = f" and {len(found.left_out) - 5} more" if len(found.left_out) > 5 else ""
            say(f"left out (symlinks, submodules, DVC's own): {', '.join(found.left_out[:5])}{more}")
    else:
        write_file(listing[0], source, dest, replace=args.force)
        say(f"{dest}: 1 file")
    return 0
