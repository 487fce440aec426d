"""The full `gitdata status`: every output looked at.

Called by ``status`` when something may have moved. Where all is clean it leaves the marks by which the next `status`,
and the hooks, can tell that nothing moved.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from gitdata.commands.status import ahead_line, clean_text
from gitdata.commands.terminal import print_json, print_lines, print_text
from gitdata.data.compare import Difference, differences
from gitdata.data.ignore import unshared
from gitdata.data.outputs import left_outputs
from gitdata.data.pointers import PATTERNS
from gitdata.data.repository import Repository
from gitdata.data.tracked import both_changed, of_dvc
from gitdata.data.workspace import Seen, Workspace
from gitdata.errors import BusyError, GitdataError
from gitdata.model import Listing
from gitdata.text import quoted

_MARK = {"added": "new file", "modified": "modified", "deleted": "deleted"}
_HELP = {
    "changed": "changed",
    "stale": "older than its pointer (gitdata checkout)",
    "conflict": "changed here and in git",
    "absent": "no data here (gitdata checkout)",
}
_MOST = 20


@dataclass(frozen=True, slots=True)
class Row:
    """One output as it is shown. files: against what the workspace was made from; None where that is not known.

    shared: whether a ``.gitignore`` keeps it out of git, in every clone.
    """

    seen: Seen
    files: list[Difference] | None
    uncached: int
    shared: bool

    @property
    def clean(self) -> bool:
        seen = self.seen
        whole = seen.held is not None and not seen.held.absent
        return (
            seen.state == "same" and whole and seen.staged and not seen.unstaged and not self.uncached and self.shared
        )


def full_status(*, as_json: bool) -> tuple[bool, list[GitdataError]]:
    """Print the status; whether anything differs, and what could not be read."""
    repo = Repository.open()
    space = Workspace(repo)
    pointers = space.pointer_rows()  # git may move them meanwhile
    survey = space.survey()
    private = unshared(space.git, [seen.tracked.path for seen in survey if not seen.tracked.generated])
    rows = [_row(space, seen, seen.tracked.path not in private) for seen in survey]
    _remember(space, survey)
    ahead, problems, left = _ahead(repo), _problems(space, rows), space.left_behind()
    outside = space.outside(space.staged() | space.written())
    dirty = bool(problems or outside or left or any(not row.clean for row in rows))
    made = left_outputs(repo)
    if as_json:
        document = {
            "clean": not dirty,
            "unpushed_commits": ahead,
            "outputs": [_json(row) for row in rows],
            "without_pointer": left,
            "left_outputs": [{"stage": stage, "message": text} for stage, text in sorted(made.items())],
            "problems": [_problem(path, error) for path, error in (problems | outside).items()],
        }
        print_json(document)
    else:
        _show(rows, ahead, problems | outside, left)
        print_lines(list(made.values()))
    if not dirty and all(row.seen.base and row.seen.base.oid == row.seen.git for row in rows):
        _leave_marks(space, rows, pointers)
    return dirty, list(problems.values())


def _remember(space: Workspace, survey: list[Seen]) -> None:
    """Not in a repository that may only be read, and not while another process works in it."""
    known = space.base
    if space.unrecorded(survey):
        with suppress(OSError, BusyError), space.lock():
            if space.base == known:  # else data was brought since it was looked at
                space.remember(survey)


def _problems(space: Workspace, rows: list[Row]) -> dict[str, GitdataError]:
    """What could not be read, by the path of the pointer or output."""
    return space.problems | {row.seen.tracked.path: row.seen.problem for row in rows if row.seen.problem}


def _leave_marks(space: Workspace, rows: list[Row], pointers: bytes) -> None:
    """Not in a repository that may only be read."""
    watched = {row.seen.tracked.path for row in rows}
    if watched == space.staged().keys():
        with suppress(PermissionError):
            space.settle(watched, pointers, complete=True)


def _row(space: Workspace, seen: Seen, shared: bool) -> Row:
    return Row(seen, _files(space, seen), space.uncached(seen.written or seen.git), shared)


def _files(space: Workspace, seen: Seen) -> list[Difference] | None:
    if seen.state in ("same", "absent", "stale") or seen.held is None:
        return []
    old = _listing(space, seen)
    return None if old is None else differences(old, seen.held.listing)


def _listing(space: Workspace, seen: Seen) -> Listing | None:
    oid = (seen.base.oid if seen.base else "") or seen.git
    if not space.repo.cache.has(oid):
        return None
    if not oid.endswith(".dir"):
        return space.single(seen.tracked, oid)
    return tuple(space.repo.cache.listing(oid))


def _ahead(repo: Repository) -> int | None:
    """How many commits with pointers the upstream branch lacks; None without one."""
    done = repo.git.call("rev-list", "--count", "@{upstream}..HEAD", "--", *PATTERNS)
    return int(done.stdout) if done.returncode == 0 else None


def _show(rows: list[Row], ahead: int | None, problems: Mapping[str, GitdataError], left: list[str]) -> None:
    lines = []
    for row in rows:
        if not row.clean and row.seen.problem is None:
            lines += _lines(row)
    for path, error in problems.items():
        lines.append(error.message if path.removesuffix(".dvc") in error.message else f"{path}: {error.message}")
        lines += [f"    {error.hint}"] if error.hint else []
    lines += [f"{path}: has no pointer any more (gitdata checkout removes it if it is unchanged)" for path in left]
    if lines:
        if ahead:
            lines.append(ahead_line(ahead))
        print_lines(lines)
    else:
        print_text(clean_text(len(rows), ahead))


def _problem(path: str, error: GitdataError) -> dict[str, str | None]:
    return {"path": path, "message": error.message, "hint": error.hint or None}


def _lines(row: Row) -> list[str]:
    seen, path = row.seen, row.seen.tracked.path
    pointer = seen.tracked.pointer
    lines = []
    if seen.state != "same":
        lines.append(f"{path}: {_HELP[seen.state]}")
    lines += [f"    {_MARK[d.kind]}: {d.path}" for d in (row.files or [])[:_MOST]]
    if row.files and len(row.files) > _MOST:
        lines.append(f"    … and {len(row.files) - _MOST} more")
    if seen.tracked.pipeline and seen.state in ("changed", "conflict"):
        lines.append(f"    {of_dvc(seen.tracked).hint}")
    elif seen.state == "conflict":
        lines.append(f"    {both_changed(path)}")
    if seen.held and seen.held.absent:
        lines.append(
            f"{path}: {len(seen.held.absent)} of {len(seen.held.listing)} files are not here (gitdata checkout)"
        )
    if not seen.staged:
        lines.append(f"{pointer}: not in git yet (git add)")
    elif seen.written is None:
        lines.append(f"{pointer}: deleted here, still in git")
    elif seen.unstaged:
        lines.append(f"{pointer}: changed, not staged (git add)")
    if not row.shared:
        lines.append(f"{path}: no .gitignore keeps it out of git (gitdata add {quoted(path)})")
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
        "base": (seen.base.oid if seen.base else "") or None,
        "index": seen.git if seen.staged else None,
        "pointer_oid": seen.written,
        "generated": seen.tracked.generated,
        "not_in_cache": row.uncached,
        "not_here": len(seen.held.absent) if seen.held else None,
        "files": None if row.files is None else [d.as_json() for d in row.files],
    }
