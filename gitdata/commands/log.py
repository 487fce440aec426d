"""The commits that changed data, newest first, with what each changed."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime

from gitdata.backends.history import HistoryEntry, PointerChange, pointer_log
from gitdata.commands.terminal import print_json, print_line, size
from gitdata.data.repository import Repository
from gitdata.data.revisions import commit_of
from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import output_path, parse_pointer
from gitdata.formats.dvclock import is_lock, lock_pointer
from gitdata.model import Output


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", nargs="?", default="HEAD", metavar="REV", help="where to begin (default: HEAD)")
    parser.add_argument("-n", "--max-count", type=int, metavar="N", help="at most N commits")
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    repo = Repository.open()
    sha = commit_of(repo.git, args.revision)
    entries = pointer_log(repo.place, sha, limit=args.max_count)
    if args.json:
        print_json({"commits": [_json(entry) for entry in entries]})
        return 0
    for entry in entries:
        when = datetime.fromtimestamp(entry.time, UTC).strftime("%Y-%m-%d %H:%M")
        print_line(f"{entry.sha[:10]}  {when}  {entry.author}  {entry.subject}")
        for change in entry.changes:
            for path, old, new in outputs_of(change):
                print_line(f"    {path}: {_summary(old, new)}")
    return 0


def outputs_of(change: PointerChange) -> list[tuple[str, Output | None, Output | None]]:
    """(path, before, after) of each output of a pointer; one that cannot be read counts as none."""
    before, after = change.pipelines
    old, new = _outputs(change.path, change.before, before), _outputs(change.path, change.after, after)
    rows = [(path, old.get(path), new.get(path)) for path in sorted(old.keys() | new.keys())]
    # A lock has all outputs of its pipeline, of which most did not change.
    return [row for row in rows if not (is_lock(change.path) and row[1] == row[2])]


def _outputs(name: str, text: bytes | None, pipeline: bytes | None) -> dict[str, Output]:
    if text is None:
        return {}
    try:
        pointer = lock_pointer(text, pipeline, name)[0] if is_lock(name) else parse_pointer(text, name)
    except InvalidInputError:
        return {}
    return {output_path(name, pointer, out): out for out in pointer.outs}


def _summary(old: Output | None, new: Output | None) -> str:
    if new is None:
        return "removed"
    what = f"{new.nfiles} files, {size(new.size)}" if new.nfiles is not None else size(new.size)
    if old is None:
        return f"added, {what}"
    if old.nfiles is None or new.nfiles is None:
        return f"{size(old.size)} -> {size(new.size)}"
    return f"{old.nfiles} -> {new.nfiles} files, {size(old.size)} -> {size(new.size)}"


def _json(entry: HistoryEntry) -> dict[str, object]:
    return {
        "commit": entry.sha,
        "author": entry.author,
        "time": entry.time,
        "subject": entry.subject,
        "outputs": [
            {"path": path, "before": _out(old), "after": _out(new)}
            for change in entry.changes
            for path, old, new in outputs_of(change)
        ],
    }


def _out(out: Output | None) -> dict[str, object] | None:
    return None if out is None else {"oid": out.oid, "size": out.size, "files": out.nfiles}
