"""Copy files, folders, http(s) URLs or standard input into a data folder, and add that folder.

    gitdata put photo.jpg more/ images/
    gitdata put https://example.com/a.jpg images/
    generate | gitdata put - images/a.jpg

As `cp -r`: into DEST where it is a folder (or ends in /), else as DEST. Files of that name are replaced.
"""

from __future__ import annotations

import argparse
import posixpath
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gitdata.backends.download import download, file_name, is_url
from gitdata.commands.add import as_json, report
from gitdata.commands.terminal import print_json
from gitdata.data.place import place, read_file
from gitdata.data.repository import Repository
from gitdata.data.scratch import sweep
from gitdata.data.track import add, check_new, stage
from gitdata.data.tree import scan
from gitdata.data.workspace import Workspace
from gitdata.errors import ConflictError, InvalidInputError, MissingDataError, UsageError
from gitdata.formats.dvcdir import check_relpath
from gitdata.text import quoted


@dataclass(frozen=True, slots=True)
class Item:
    """One file to write. path: in the repository."""

    path: str
    pieces: Iterable[bytes]
    executable: bool = False


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sources", nargs="+", metavar="SRC", help="a file, a folder, an http(s) URL, or - (stdin)")
    parser.add_argument("dest", metavar="DEST", help="a data folder, or a file in one")
    parser.add_argument("--max-size", type=int, metavar="BYTES", help="refuse a URL that has more")
    parser.add_argument("--timeout", type=float, default=60, help="seconds without an answer (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="what was added as one JSON document")


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    space = Workspace(repo)
    dest = repo.relative(Path(args.dest))
    dest = "" if dest == "." else dest
    known = space.staged() | space.written()
    inside = space.find(dest, known)
    into = args.dest.endswith("/") or (repo.root / dest).is_dir() or len(args.sources) > 1
    if into and not dest:
        raise UsageError("DEST is the repository itself", hint="name a data folder in it")
    output = inside.path if inside else dest if into or _has_folder(args.sources) else posixpath.dirname(dest) or dest
    if (repo.root / output).exists():
        check_new(space, output, known)
    if inside:
        _check_complete(space, inside.path)
    items = [item for source in args.sources for item in _items(source, dest, into, args)]
    for item in items:
        check_relpath(item.path)
        if inside and not inside.out.is_dir and item.path != inside.path:
            raise InvalidInputError(f"{inside.path} is a single file, not a data folder")
    with space.lock():
        for folder in {(repo.root / item.path).parent for item in items}:
            sweep(folder)
        for item in items:
            place(repo.root, item.path, item.pieces, executable=item.executable)
        check_new(space, output, known)
        done = [add(space, output, known.get(output))]
        stage(space, done)
        space.stats.save()
    if args.json:
        print_json({"added": [as_json(one) for one in done]})
    else:
        report(done)
    return 0


def _check_complete(space: Workspace, path: str) -> None:
    """What is not here would be missing from the new pointer: put adds to data, it never drops any."""
    for seen in space.survey([path]):
        if seen.state in ("absent", "stale", "conflict"):
            raise ConflictError(
                f"{path}: the data here is not what its pointer says",
                hint=f"run `gitdata checkout {quoted(path)}` first",
            )


def _has_folder(sources: list[str]) -> bool:
    return any(not is_url(source) and Path(source).is_dir() for source in sources)


def _items(source: str, dest: str, into: bool, args: argparse.Namespace) -> Iterator[Item]:
    if source == "-":
        if into:
            raise UsageError("standard input needs the name of a file as DEST", hint=f"{args.dest.rstrip('/')}/NAME")
        yield Item(dest, _stdin())
    elif is_url(source):
        name = file_name(source)
        if into and not name:
            raise UsageError(f"{source} has no file name in it", hint=f"{args.dest.rstrip('/')}/NAME as DEST")
        pieces = download(source, timeout=args.timeout, limit=args.max_size)
        yield Item(f"{dest}/{name}" if into else dest, pieces)
    else:
        yield from _local(Path(source), dest, into)


def _local(source: Path, dest: str, into: bool) -> Iterator[Item]:
    full = source.resolve()
    if full.is_dir():
        base = f"{dest}/{full.name}" if into else dest
        for name, found in sorted(scan(full.parent, full.name).files):
            yield Item(base + name[len(full.name) :], read_file(full.parent / name), bool(found.st_mode & 0o100))
    elif full.is_file():
        executable = bool(full.stat().st_mode & 0o100)
        yield Item(f"{dest}/{source.name}" if into else dest, read_file(full), executable)
    elif full.exists():
        raise InvalidInputError(f"{source}: neither a file nor a folder (a pipe, socket or device)")
    else:
        raise MissingDataError(f"{source}: no such file or folder")


def _stdin() -> Iterator[bytes]:
    while piece := sys.stdin.buffer.read(1024 * 1024):
        yield piece
