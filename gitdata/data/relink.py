"""Data that is here already becomes what ``cache.type`` says: links to the cache's objects, or files of its own.

Called by ``checkout --relink`` for data that is unchanged, and by ``add`` for what it just stored, under the lock. It
must never replace a file that has other bytes than its object, and no file is gone at any time: the new one takes the
place of the old one in one rename.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gitdata.data.hashing import Digest
from gitdata.data.links import Links
from gitdata.data.materialize import write_file, write_listing
from gitdata.data.statindex import StatIndex
from gitdata.model import Entry, Listing


def relink(stats: StatIndex, links: Links, path: str, listing: Listing, *, folder: bool) -> int:
    """Make the files of an output anew that are of another type than is wanted; how many there were.

    listing: what was found here.
    """
    root = stats.root
    links.probe((root / path).parent)
    names = {entry.path: f"{path}/{entry.path}" if folder else path for entry in listing}
    wrong = {entry.path for entry in listing if _is_wrong(stats, links, names[entry.path], entry)}
    if not wrong:
        return 0
    source = links.cache.stream
    if folder:
        here = tuple(entry for entry in listing if os.path.lexists(root / names[entry.path]))
        old = tuple(Entry(entry.path, "" if entry.path in wrong else entry.oid) for entry in here)
        made = write_listing(here, source, root / path, old=old, within=root, links=links)
    else:
        made = (write_file(listing[0], source, root / path, replace=True, within=root, links=links),)
    for entry in made:
        if entry.path in wrong and entry.size is not None and entry.sha256 is not None:
            found = (root / names[entry.path]).stat()
            stats.record(names[entry.path], Digest(entry.oid, entry.sha256, entry.size), found)
    return len(wrong)


def _is_wrong(stats: StatIndex, links: Links, name: str, entry: Entry) -> bool:
    full: Path = stats.root / name
    try:
        found, bytes_ = full.lstat(), full.stat()
    except OSError:
        return False
    target = str(full.readlink()) if stat.S_ISLNK(found.st_mode) else None
    if links.fits(entry, found, target):
        return False
    known = stats.known(name, bytes_) or stats.hash(name)
    return known.md5 == entry.oid
