"""The full `gitdata status`: every output looked at.

Called by ``status`` when something may have moved. Where all is clean it leaves the marks by which the next `status`,
and the hooks, can tell that nothing moved.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from gitdata.commands.status import ahead_line, clean_text
from gitdata.commands.terminal import print_json, print_lines, print_text
from gitdata.data.compare import Difference, differences
from gitdata.data.repository import Repository
from gitdata.data.workspace import Seen, Workspace
from gitdata.model import Listing

_MARK = {"added": "new file", "modified": "modified", "deleted": "deleted"}
_HELP = {
    "changed": "changed",
    "stale": "older than its pointer (gitdata checkout)",
    "conflict": "changed here and in git (gitdata add, or gitdata checkout --force)",
    "absent": "no data here (gitdata checkout)",
}
_MOST = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One output as it is shown. files: against what the workspace was made from; None where that is not known."""

    seen: Seen
    files: list[Difference] | None
    uncached: int

    @property
    def clean(self) -> bool:
        return (
            self.seen.state == "same" and self.seen.staged and self.seen.written == self.seen.git and not self.uncached
        )


def full_status(*, as_json: bool) -> bool:
    """Print the status; whether anything differs."""
    repo = Repository.open()
    space = Workspace(repo)
    rows = [_row(space, seen) for seen in space.survey()]
    ahead = _ahead(repo)
    dirty = any(not row.clean for row in rows)
    if as_json:
        print_json({"clean": not dirty, "unpushed_commits": ahead, "outputs": [_json(row) for row in rows]})
    else:
        _show(rows, ahead)
    if not dirty and all(row.seen.base == row.seen.git for row in rows):
        _leave_marks(space, rows)
    return dirty


def _leave_marks(space: Workspace, rows: list[Row]) -> None:
    """Not in a repository that may only be read."""
    watched = {row.seen.tracked.path for row in rows}
    if watched == space.staged().keys():
        with suppress(PermissionError):
            space.settle(watched, complete=True)


def _row(space: Workspace, seen: Seen) -> Row:
    return Row(seen, _files(space, seen), space.uncached(seen.git))


def _files(space: Workspace, seen: Seen) -> list[Difference] | None:
    if seen.state in ("same", "absent", "stale") or seen.held is None:
        return []
    old = _listing(space, seen)
    return None if old is None else differences(old, seen.held.listing)


def _listing(space: Workspace, seen: Seen) -> Listing | None:
    oid = seen.base or seen.git
    if not space.repo.cache.has(oid):
        return None
    if not oid.endswith(".dir"):
        return space.single(seen.tracked, oid)
    return tuple(space.repo.cache.listing(oid))


def _ahead(repo: Repository) -> int | None:
    """How many commits with pointers the upstream branch lacks; None without one."""
    done = repo.git.call("rev-list", "--count", "@{upstream}..HEAD", "--", "*.dvc")
    return int(done.stdout) if done.returncode == 0 else None


def _show(rows: list[Row], ahead: int | None) -> None:
    lines = []
    for row in rows:
        if not row.clean:
            lines += _lines(row)
    if lines:
        if ahead:
            lines.append(ahead_line(ahead))
        print_lines(lines)
    else:
        print_text(clean_text(len(rows), ahead))


def _lines(row: Row) -> list[str]:
    seen, path = row.seen, row.seen.tracked.path
    lines = []
    if seen.state != "same":
        lines.append(f"{path}: {_HELP[seen.state]}")
    lines += [f"    {_MARK[d.kind]}: {d.path}" for d in (row.files or [])[:_MOST]]
    if row.files and len(row.files) > _MOST:
        lines.append(f"    … and {len(row.files) - _MOST} more")
    if not seen.staged:
        lines.append(f"{seen.tracked.pointer}: not in git yet (git add)")
    elif seen.written is None:
        lines.append(f"{seen.tracked.pointer}: deleted here, still in git")
    elif seen.written != seen.git:
        lines.append(f"{seen.tracked.pointer}: changed, not staged (git add)")
    if row.uncached:
        lines.append(f"{path}: {row.uncached} object{'s' * (row.uncached != 1)} not in the cache (gitdata checkout)")
    return lines


def _json(row: Row) -> dict[str, object]:
    seen = row.seen
    return {
        "path": seen.tracked.path,
        "pointer": seen.tracked.pointer,
        "state": seen.state,
        "workspace": seen.held.oid if seen.held else None,
        "base": seen.base,
        "index": seen.git if seen.staged else None,
        "pointer_oid": seen.written,
        "generated": seen.tracked.generated,
        "not_in_cache": row.uncached,
        "files": None if row.files is None else [d.as_json() for d in row.files],
    }
