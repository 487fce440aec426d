"""What data was made from, where nobody recorded it: told from its files and from the history of its pointer.

Data that stock DVC brought, or that was edited before `gitdata init`, is of this kind. It must never take data that is
only older for a change, and never take a file that was never brought here for one that was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitdata.backends.git import Git
from gitdata.data.base import Base
from gitdata.data.cache import Cache
from gitdata.data.pointers import read_pointers
from gitdata.formats.dvcdir import dir_oid, dump_dir
from gitdata.model import Entry, Listing, Output

_MOST_VERSIONS = 50


def whole(here: Listing, base: Iterable[Entry]) -> tuple[Listing, frozenset[str]]:
    """The files here and those of the base that are not, as if they were; the paths of those that are not."""
    paths = {entry.path for entry in here}
    absent = [entry for entry in base if entry.path not in paths]
    files = tuple(sorted((*here, *absent), key=lambda entry: entry.path))
    return files, frozenset(entry.path for entry in absent)


def base_of(git: Git, cache: Cache, pointer: str, out: Output, here: Listing) -> Base | None:
    """What the files ``here`` were made from, if ``out`` of ``pointer`` has no base; None where that cannot be told."""
    versions = _versions(git, pointer, out)
    if not out.is_dir:
        return Base(here[0].oid if here and here[0].oid in versions else out.oid)
    oid = dir_oid(dump_dir(here))
    if oid in versions:
        return Base(oid)  # that version as it was
    if not cache.has(out.oid):
        return Base(out.oid, partial=True)
    now = cache.listing(out.oid)
    changed = _files(here) - _files(now)
    for oid in versions:
        if not oid.endswith(".dir") or not cache.has(oid):
            continue
        if changed & _files(cache.listing(oid)):
            return None  # some files are of another version: edits upon it cannot be told from that
    return Base(out.oid, partial=bool(whole(here, now)[1]))


def _files(listing: Listing) -> set[tuple[str, str]]:
    return {(entry.path, entry.oid) for entry in listing}


def _versions(git: Git, pointer: str, out: Output) -> list[str]:
    """The other oids that the output had in the newest commits of all branches, the newest first."""
    done = git.call(
        *("log", f"-n{_MOST_VERSIONS}", "--format=", "--raw", "--no-abbrev", "--no-renames", "-z", "--all"),
        *("--", pointer),
    )
    shas = [row.split(b" ")[2].decode() for row in done.stdout.split(b"\0") if row.lstrip(b"\n").startswith(b":")]
    blobs = git.blobs(sha for sha in shas if set(sha) != {"0"})
    found = []
    for text in blobs.values():
        for old in read_pointers({pointer: text}).found.values():
            found += [one.oid for one in old.outs if one.path == out.path and one.oid != out.oid]
    return found
