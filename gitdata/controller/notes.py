"""Provenance notes: reading and extending ``refs/notes/gitdata/provenance``.

``publish`` calls ``add_notes`` on the tip it fetched and pushes the result as a fast-forward with the output
commit; the ``prov`` commands call ``read_notes``. Never uses ``git notes add`` (it has no compare-and-swap)
and never moves the notes ref.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gitdata.backends.git import Git
from gitdata.controller.side_commits import commit_files
from gitdata.formats.provenance import merge_notes

NOTES_REF = "refs/notes/gitdata/provenance"
_CHUNK = 500  # commits asked of one ls-tree: three paths each stay far below the length of a command line


def add_notes(git: Git, base: str | None, notes: Mapping[str, Sequence[bytes]], *, ident: str) -> str | None:
    """The notes commit with these lines (``provenance.note_line``) added to the notes of their commits.

    base: the fetched tip, None where there are no notes yet; returned unchanged if every line is there
    already. The same base, lines and ident give the same sha. ident: a raw ``name <email> seconds zone``
    line.
    """
    held = _held(git, base, notes)
    files: dict[str, bytes | None] = {}
    for commit, lines in notes.items():
        found = held.get(commit, {})
        merged = merge_notes(*found.values(), *lines)
        if merged == merge_notes(*found.values()):
            continue
        keep = min(found, default=_shapes(commit)[1])
        files |= dict.fromkeys(found)  # one commit under two shapes makes `git notes merge` die: one is left
        files[keep] = merged
    return commit_files(git, base, files, ident=ident, message="gitdata: provenance\n") if files else base


def read_notes(git: Git, tip: str | None, commits: Iterable[str]) -> dict[str, bytes]:
    """The bodies of the notes of these commits; commits without one are left out."""
    return {commit: merge_notes(*found.values()) for commit, found in _held(git, tip, commits).items() if found}


def fetch_notes(git: Git, remote: str) -> None:
    """Bring a clone's copy of the remote's notes up to date. Raises RemoteError.

    Into a namespace of our own: ``+refs/notes/*:refs/notes/*`` would drop notes that were not pushed yet.
    """
    git.fetch(remote, f"+refs/notes/gitdata/*:{_copy(remote)}*")


def known_notes(git: Git, remote: str, commits: Iterable[str]) -> dict[str, bytes]:
    """The notes of these commits as this clone knows them: its own and the fetched ones, merged."""
    wanted = list(commits)
    merged: dict[str, bytes] = {}
    for ref in (NOTES_REF, _copy(remote) + "provenance"):
        for commit, body in read_notes(git, git.resolve(ref), wanted).items():
            merged[commit] = merge_notes(merged.get(commit, b""), body)
    return merged


def _copy(remote: str) -> str:
    return f"refs/gitdata/remotes/{remote}/notes/"


def _shapes(commit: str) -> tuple[str, str, str]:
    """Every path that a note of this commit may have: git changes the fan-out with the number of notes."""
    return commit, f"{commit[:2]}/{commit[2:]}", f"{commit[:2]}/{commit[2:4]}/{commit[4:]}"


def _held(git: Git, tip: str | None, commits: Iterable[str]) -> dict[str, dict[str, bytes]]:
    """commit -> path -> body of what the tip holds."""
    wanted = list(dict.fromkeys(commits))
    if tip is None or not wanted:
        return {}
    owner = {path: commit for commit in wanted for path in _shapes(commit)}
    paths = list(owner)
    entries = [
        entry
        for at in range(0, len(paths), 3 * _CHUNK)
        for entry in git.ls_tree(tip, *paths[at : at + 3 * _CHUNK])
        if entry.path in owner
    ]
    bodies = git.blobs(entry.sha for entry in entries)
    held: dict[str, dict[str, bytes]] = {}
    for entry in entries:
        held.setdefault(owner[entry.path], {})[entry.path] = bodies[entry.sha]
    return held
