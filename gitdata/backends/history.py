"""Reading history with GitPython: which commits changed pointers, and what a pointer was before and after.

Called by ``log`` and ``diff``, where a person waits and speed does not matter; the only module that imports ``git``.
It never writes, and is handed only shas that ``backends.git`` has resolved: no revision of a user reaches GitPython.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from git import NULL_TREE, Blob, Commit, Diff, Repo

from gitdata.formats.dvclock import is_lock, pipeline_name

POINTERS = ("*.dvc", "*dvc.lock")


@dataclass(frozen=True, slots=True)
class PointerChange:
    """One pointer that differs between two trees. before, after: its text, None where it does not exist.

    pipelines: of a dvc.lock, the text of the dvc.yaml beside it, before and after.
    """

    path: str
    before: bytes | None
    after: bytes | None
    pipelines: tuple[bytes | None, bytes | None] = (None, None)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A commit and the pointers it changed against its first parent. time: seconds since the epoch."""

    sha: str
    author: str
    time: int
    subject: str
    changes: tuple[PointerChange, ...]


def pointer_log(path: Path, sha: str, *, limit: int | None = None) -> Iterator[HistoryEntry]:
    """The commits from ``sha`` back that changed pointers, newest first."""
    with closing(Repo(path)) as repo:
        found = 0
        for commit in repo.iter_commits(sha, paths=list(POINTERS)):
            changes = _against(commit, commit.parents[0] if commit.parents else None)
            if not changes:
                continue
            yield HistoryEntry(
                sha=commit.hexsha,
                author=str(commit.author.name or ""),
                time=int(commit.committed_date),
                subject=_text(commit.summary),
                changes=changes,
            )
            found += 1
            if found == limit:
                return


def pointer_diff(path: Path, old: str, new: str) -> tuple[PointerChange, ...]:
    """The pointers that differ between two commits."""
    with closing(Repo(path)) as repo:
        return _against(repo.commit(new), repo.commit(old))


def _against(commit: Commit, parent: Commit | None) -> tuple[PointerChange, ...]:
    if parent is None:  # GitPython gives the diff of a first commit the other way round
        found = commit.diff(NULL_TREE, paths=list(POINTERS), no_renames=True)
    else:
        found = parent.diff(commit, paths=list(POINTERS), no_renames=True)
    changes = [_change(item, parent, commit) for item in found]
    return tuple(sorted((c for c in changes if c is not None), key=lambda change: change.path))


def _change(item: Diff, old: Commit | None, new: Commit) -> PointerChange | None:
    path = item.b_path or item.a_path
    before = None if item.new_file else _bytes(item.a_blob)
    after = None if item.deleted_file else _bytes(item.b_blob)
    if not path or before == after:
        return None
    if not is_lock(path):
        return PointerChange(path, before, after)
    name = pipeline_name(path)
    return PointerChange(path, before, after, (_file(old, name) if old else None, _file(new, name)))


def _file(commit: Commit, path: str) -> bytes | None:
    try:
        return _bytes(commit.tree / path)
    except KeyError:
        return None


def _bytes(blob: object) -> bytes | None:
    return bytes(blob.data_stream.read()) if isinstance(blob, Blob) else None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
