"""The workspace: every output with what lies here (W), what it was made from (B) and git's pointer (I).

Called by the verbs and the hooks, which decide nothing about states themselves. Looking never writes anything but
caches; ``threeway`` has the rule, ``track`` and ``bring`` do the changing.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from gitdata.data.base import load_base, mark_scanned, save_base, unmark
from gitdata.data.ignore import data_ignores
from gitdata.data.repository import Repository, check_outputs
from gitdata.data.statindex import StatIndex
from gitdata.data.threeway import State, compare
from gitdata.data.tree import hash_path
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.formats.dvc import Pointer, output_path, parse_pointer
from gitdata.formats.dvcdir import dir_oid, dump_dir
from gitdata.model import Entry, Listing, Output


@dataclass(frozen=True, slots=True)
class Tracked:
    """An output as a pointer has it. path: in the repository. pointer: the ``.dvc`` file. out: as written there.

    imported: DVC brings it from another repository, it need not be on the data remote. remote: the name of the one to
    which its data is pushed, "" for the default.
    """

    path: str
    pointer: str
    out: Output
    generated: bool = False
    legacy: bool = False
    imported: bool = False
    remote: str = ""

    @property
    def watched(self) -> bool:
        """False for what has no data of DVC 3 to compare: hashes of DVC 2, and imports never brought here."""
        return bool(self.out.oid) and not self.legacy


@dataclass(frozen=True, slots=True)
class Held:
    """What lies in the workspace at a path. A file is its own only entry."""

    oid: str
    listing: Listing
    size: int

    @property
    def is_dir(self) -> bool:
        return self.oid.endswith(".dir")


@dataclass(frozen=True, slots=True)
class Seen:
    """One output with its three sides. git: the index's oid, or the working tree's if the pointer is not in the index.

    written: the oid in the working tree's pointer, None if that file is missing.
    """

    tracked: Tracked
    held: Held | None
    base: str | None
    git: str
    written: str | None
    staged: bool
    state: State


class Workspace:
    """One worktree. index: the file that git uses as its index, None for its own."""

    def __init__(self, repo: Repository, index: Path | None = None) -> None:
        self.repo = repo
        self.git = repo.git.with_index(index) if index else repo.git
        self.folder = repo.git_dir / "gitdata"
        self.base = load_base(self.folder)
        self.stats = StatIndex(self.folder / "stat.json", repo.root)
        self.began = time.time()

    # ----------------------------------------------------------------------------------------------------- pointers

    def pointer_rows(self) -> bytes:
        """The index's pointers as git prints them; the hooks compare these bytes."""
        return self.git.run("ls-files", "-s", "--", "*.dvc")

    def staged(self) -> dict[str, Tracked]:
        """The outputs of the index, by path. Raises InvalidInputError for a pointer that cannot be read."""
        rows = [row for row in self.git.run("ls-files", "-s", "-z", "--", "*.dvc").split(b"\0") if row]
        texts: dict[str, bytes] = {}
        unread: dict[str, str] = {}
        for row in rows:
            meta, _, raw = row.partition(b"\t")
            mode, sha, stage = meta.decode().split(" ")
            name = raw.decode(errors="surrogateescape")
            if stage != "0" or not mode.startswith("100") or posixpath.basename(name) == ".dvc":
                continue
            text = self._same_file(name, sha)
            if text is None:
                unread[name] = sha
            else:
                texts[name] = text
        blobs = self.git.blobs(unread.values())
        texts.update((name, blobs[sha]) for name, sha in unread.items())
        return outputs({name: parse_pointer(text, name) for name, text in sorted(texts.items())})

    def _same_file(self, name: str, sha: str) -> bytes | None:
        """The working tree's file if it is the very blob: that spares a process."""
        path = self.repo.root / name
        try:
            text = path.read_bytes() if path.is_file() else b"\0"
        except OSError:
            return None
        maker = hashlib.sha1 if len(sha) == 40 else hashlib.sha256
        return text if maker(b"blob %d\0" % len(text) + text).hexdigest() == sha else None

    def written(self) -> dict[str, Tracked]:
        """The outputs of the working tree's pointers, by path."""
        return outputs(self.repo.pointers())

    # ------------------------------------------------------------------------------------------------------ looking

    def look(self, path: str) -> Held | None:
        """Hash what lies at a path (only what changed is read); None if nothing does."""
        try:
            found = hash_path(self.stats, path, data_ignores(self.git, self.repo.root, path))
        except (MissingDataError, NotADirectoryError):
            return None
        if isinstance(found, Entry):
            return Held(found.oid, (found,), found.size or 0)
        return Held(dir_oid(dump_dir(found)), found, sum(entry.size or 0 for entry in found))

    def survey(self, only: Iterable[str] | None = None) -> list[Seen]:
        """All outputs (or those of ``only``), ordered by path."""
        staged, written = self.staged(), self.written()
        wanted = set(only) if only is not None else staged.keys() | written.keys()
        return self._see_all(sorted(wanted), staged, written)

    def survey_staged(self, staged: dict[str, Tracked]) -> list[Seen]:
        """The outputs of the index alone: git need not search the working tree for new pointers."""
        files = {one.pointer: self.repo.root / one.pointer for one in staged.values()}
        texts = {name: file.read_bytes() for name, file in files.items() if file.is_file()}
        written = outputs({name: parse_pointer(text, name) for name, text in texts.items()})
        return self._see_all(sorted(staged), staged, written)

    def _see_all(self, paths: list[str], staged: dict[str, Tracked], written: dict[str, Tracked]) -> list[Seen]:
        found = [self._see(path, staged.get(path), written.get(path)) for path in paths]
        self.stats.save()
        return [seen for seen in found if seen is not None]

    def _see(self, path: str, staged: Tracked | None, written: Tracked | None) -> Seen | None:
        tracked = staged or written
        if tracked is None or not tracked.watched:
            return None
        held, base = self.look(path), self.base.get(path)
        state = compare(held.oid if held else None, base, tracked.out.oid)
        return Seen(
            tracked=tracked,
            held=held,
            base=base,
            git=tracked.out.oid,
            written=written.out.oid if written else None,
            staged=staged is not None,
            state=state,
        )

    def uncached(self, oid: str) -> int:
        """How many objects of an output the cache lacks. By existence alone: cheap enough for every `status`."""
        cache = self.repo.cache
        if not cache.has(oid):
            return 1
        if not oid.endswith(".dir"):
            return 0
        top = f"{cache.folder}/files/md5"
        oids = {entry.oid for entry in cache.listing(oid)}
        return sum(not os.path.exists(f"{top}/{one[:2]}/{one[2:]}") for one in oids)  # noqa: PTH110

    def single(self, tracked: Tracked, oid: str) -> Listing:
        """The listing of a single-file output, as it was."""
        return (Entry(posixpath.basename(tracked.path), oid, self.repo.cache.size(oid)),)

    def find(self, path: str, known: dict[str, Tracked]) -> Tracked | None:
        """The output that is at a path or contains it."""
        while path:
            if path in known:
                return known[path]
            path = posixpath.dirname(path)
        return None

    # ---------------------------------------------------------------------------------------------------- recording

    def set_base(self, path: str, oid: str | None) -> None:
        """Remember, at once, what an output was made from; None forgets it."""
        if self.base.get(path) == oid:
            return
        if oid is None:
            del self.base[path]
        else:
            self.base[path] = oid
        save_base(self.folder, self.base)

    def settle(self, paths: Iterable[str], *, complete: bool = False) -> None:
        """Nothing is left to do: the hooks need not start Python until something moves.

        paths: of all outputs. complete: every object was found in the cache.
        """
        self.stats.save()
        cache = self.repo.cache.folder if complete else None
        mark_scanned(self.repo.root, self.folder, sorted(paths), self.pointer_rows(), self.began, cache)

    def unsettle(self) -> None:
        unmark(self.repo.root)


def outputs(pointers: dict[str, Pointer]) -> dict[str, Tracked]:
    """The outputs of pointers, by path. Raises InvalidInputError where two claim one path."""
    check_outputs(pointers)
    found: dict[str, Tracked] = {}
    for name, pointer in pointers.items():
        found |= {tracked.path: tracked for tracked in outs_of(name, pointer)}
    return found


def outs_of(name: str, pointer: Pointer) -> Iterator[Tracked]:
    """The outputs of the pointer ``name``, as they stand in it."""
    for out, extra in zip(pointer.outs, pointer.extras or ({},) * len(pointer.outs), strict=True):
        path, remote = output_path(name, pointer, out), str(extra.get("remote") or "")
        yield Tracked(path, name, out, pointer.generated, pointer.legacy, pointer.imported, remote)


def require(tracked: Tracked | None, path: str) -> Tracked:
    """Raises InvalidInputError unless the path belongs to data that gitdata can move."""
    if tracked is None:
        raise InvalidInputError(f"{path}: no data is tracked here", hint=f"`gitdata add {path}` tracks it")
    if not tracked.watched:
        raise InvalidInputError(
            f"{tracked.path}: {tracked.pointer} has hashes of DVC 2 or none",
            hint="`dvc cache migrate --dvc-files`, or `dvc update` for an import",
        )
    return tracked
