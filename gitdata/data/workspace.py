"""The workspace: every output with what lies here (W), what it was made from (B), its pointer and git's index (I).

The verbs and the hooks decide nothing about states themselves. Looking never writes anything but caches; ``threeway``
has the rule, ``track`` and ``bring`` do the changing. One thing that cannot be read is a problem by its name, and never
keeps the other outputs from being seen.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from gitdata.data.base import Base, load_base, mark_followed, mark_scanned, save_base, unmark
from gitdata.data.files import write_whole
from gitdata.data.ignore import data_ignores
from gitdata.data.origin import base_of, whole
from gitdata.data.pointers import PATTERNS, TEXTS, Pointers, is_text, read_pointers
from gitdata.data.repository import Repository
from gitdata.data.statindex import StatIndex
from gitdata.data.threeway import State, compare
from gitdata.data.tracked import Tracked, outputs, unmoved
from gitdata.data.transfer import read_listing
from gitdata.data.tree import hash_path, hash_scan, into_cache, scan
from gitdata.errors import GitdataError, InvalidInputError, MissingDataError
from gitdata.formats.dvcdir import dir_oid, dump_dir, parse_dir
from gitdata.formats.dvclock import is_lock, pipeline_name
from gitdata.model import Entry, Listing
from gitdata.text import quoted


@dataclass(frozen=True, slots=True)
class Held:
    """What lies in the workspace at a path. A file is its own only entry.

    absent: the files of the base that are not here and were never known to be: they count as unchanged, and ``oid`` and
    ``listing`` have them. left_out: what lies there and is no data. broken: symlinks to nothing. Relative to the path.
    """

    oid: str
    listing: Listing
    size: int
    absent: frozenset[str] = frozenset()
    left_out: tuple[str, ...] = ()
    broken: frozenset[str] = frozenset()

    @property
    def is_dir(self) -> bool:
        return self.oid.endswith(".dir")


@dataclass(frozen=True, slots=True)
class Seen:
    """One output with its sides. git: the index's oid, or the working tree's if the pointer is not in the index.

    written: the oid in the working tree's pointer, None if that file is missing. state: of the data, compared with the
    pointer in the working tree. problem: why the data could not be read.
    """

    tracked: Tracked
    held: Held | None
    base: Base | None
    git: str
    written: str | None
    staged: bool
    state: State
    problem: GitdataError | None = None

    @property
    def unstaged(self) -> bool:
        """Whether the pointer in the working tree is another one than git's."""
        return self.staged and self.written is not None and self.written != self.git


def _held(files: Listing) -> Held:
    return Held(dir_oid(dump_dir(files)), files, sum(entry.size or 0 for entry in files))


class Workspace:
    """One worktree. index: the file that git uses as its index, None for its own."""

    def __init__(self, repo: Repository, index: Path | None = None) -> None:
        self.repo = repo
        self.git = repo.git.with_index(index) if index else repo.git
        self.folder = repo.git_dir / "gitdata"
        self.base = load_base(self.folder)
        self.problems: dict[str, GitdataError] = {}  # what could not be read, by the path of its pointer
        self.stats = StatIndex(self.folder / "stat.json", repo.root)
        self.listings: dict[str, Listing] = {}  # by oid: those read so far, from the cache or a remote
        self.began = time.time()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """The repository's lock. What others have recorded until it is ours counts, and is not undone."""
        with self.repo.lock():
            self.base = load_base(self.folder)
            yield

    # ----------------------------------------------------------------------------------------------------- pointers

    def pointer_rows(self) -> bytes:
        """All pointers, in the index and where the working tree differs; the hooks compare these bytes."""
        changes = self.git.run("diff", "--no-ext-diff", "--no-textconv", "--no-color", "--", *PATTERNS)
        return self.git.run("ls-files", "-s", "--", *PATTERNS) + changes

    def staged(self) -> dict[str, Tracked]:
        """The outputs of the index, by path."""
        rows = [row for row in self.git.run("ls-files", "-s", "-z", "--", *TEXTS).split(b"\0") if row]
        texts: dict[str, bytes] = {}
        unread: dict[str, str] = {}
        unmerged: set[str] = set()
        for row in rows:
            meta, _, raw = row.partition(b"\t")
            mode, sha, stage = meta.decode().split(" ")
            name = raw.decode(errors="surrogateescape")
            if stage != "0":
                unmerged.add(name)
            if stage != "0" or not mode.startswith("100") or not is_text(name):
                continue
            text = self._same_file(name, sha)
            if text is None:
                unread[name] = sha
            else:
                texts[name] = text
        blobs = self.git.blobs(unread.values())
        texts.update((name, blobs[sha]) for name, sha in unread.items())
        return self._outputs(read_pointers(texts, unmerged))

    def _outputs(self, pointers: Pointers) -> dict[str, Tracked]:
        for name, error in pointers.problems.items():
            self.problems.setdefault(name, error)
        return outputs(pointers.found)

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
        return self._outputs(self.repo.pointers())

    # ------------------------------------------------------------------------------------------------------ looking

    def look(self, path: str, base: Base | None = None) -> Held | None:
        """Hash what lies at a path (only what changed is read); None if nothing does.

        base: what is known of the output; where that is partial, files that are not here count as unchanged. Raises
        InvalidInputError for what cannot be read, MissingDataError where the base's listing is not in the cache.
        """
        try:
            ignores = data_ignores(self.git, self.repo.root, path)
            found = hash_path(self.stats, path, ignores, lambda inside: self._came_with(path, inside))
        except (MissingDataError, NotADirectoryError):
            return None
        if isinstance(found, Entry):
            return Held(found.oid, (found,), found.size or 0)
        held = _held(found)
        if base is not None and base.partial and base.oid.endswith(".dir"):
            return self.overlay(path, held, base.oid)
        return held

    def _came_with(self, path: str, inside: str) -> bool:
        """Whether a file was in the data that the workspace was last made from."""
        base = self.base.get(path)
        if base is None or not base.oid.endswith(".dir") or not self.repo.cache.has(base.oid):
            return False
        return any(entry.path == inside for entry in self.repo.cache.listing(base.oid))

    def look_past_links(self, path: str, *, any_link: bool) -> Held | None:
        """As ``look``, but for symlinks into a cache that lead to nothing, with ``any_link`` wherever they lead.

        None where something else there cannot be read.
        """
        full = self.repo.root / path
        try:
            walk = scan(self.repo.root, path, data_ignores(self.git, self.repo.root, path), allow_broken=True)
            if not any_link and not all(into_cache(self.repo.root / name) for name in walk.broken):
                return None
            listing = hash_scan(self.stats, path, walk)
        except (InvalidInputError, FileNotFoundError, NotADirectoryError):
            return None
        broken = frozenset(os.path.relpath(self.repo.root / name, full) for name in walk.broken)
        return replace(_held(listing), broken=broken)

    def overlay(self, path: str, held: Held, base: str, only: Collection[str] | None = None) -> Held:
        """``held`` with the files of that version that are not here, or those of ``only``, as if they were."""
        listing = self.listing(path, base)
        files, absent = whole(held.listing, [entry for entry in listing if only is None or entry.path in only])
        return replace(_held(files), absent=absent, left_out=held.left_out, broken=held.broken)

    def listing(self, path: str, oid: str) -> Listing:
        """The files of a version of an output. Raises MissingDataError where the cache has it not."""
        if oid not in self.listings:
            kept = self.folder / "listings" / oid
            if self.repo.cache.has(oid):
                self.listings[oid] = self.repo.cache.listing(oid)
            elif kept.is_file():
                self.listings[oid] = parse_dir(kept.read_bytes(), oid)
            else:
                raise MissingDataError(
                    f"{path}: the list of its files is not in the cache, and some files are not here",
                    hint=f"`gitdata checkout {quoted(path)}` brings them",
                )
        return self.listings[oid]

    def fetch_listing(self, one: Tracked, oid: str) -> Listing:
        """As ``listing``, from the output's remote where this clone has it not.

        Kept beside the base, not in the cache: there a listing says that its files are in the cache too.
        """
        kept = self.folder / "listings" / oid
        if oid not in self.listings and not self.repo.cache.has(oid) and not kept.is_file():
            self.listings[oid] = read_listing(self.repo.remote(one.remote or None), oid)
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_whole(kept, dump_dir(self.listings[oid]))
        return self.listing(one.path, oid)

    def survey(self, only: Iterable[str] | None = None) -> list[Seen]:
        """All outputs (or those of ``only``), ordered by path."""
        staged, written = self.staged(), self.written()
        wanted = set(only) if only is not None else staged.keys() | written.keys()
        return self._see_all(sorted(wanted), staged, written)

    def survey_staged(self, staged: dict[str, Tracked]) -> list[Seen]:
        """The outputs of the index alone: git need not search the working tree for new pointers."""
        return self._see_all(sorted(staged), staged, self.written_of(staged))

    def written_of(self, staged: dict[str, Tracked]) -> dict[str, Tracked]:
        """The outputs of the working tree's pointers, of those alone that the index has."""
        texts: dict[str, bytes] = {}
        names = {one.pointer for one in staged.values()}
        for name in names | {pipeline_name(name) for name in names if is_lock(name)}:
            with suppress(FileNotFoundError, IsADirectoryError, NotADirectoryError):
                texts[name] = (self.repo.root / name).read_bytes()
        return self._outputs(read_pointers(texts))

    def _see_all(self, paths: list[str], staged: dict[str, Tracked], written: dict[str, Tracked]) -> list[Seen]:
        found = [self._see(path, staged.get(path), written.get(path)) for path in paths]
        self.stats.save()
        return [seen for seen in found if seen is not None]

    def _see(self, path: str, staged: Tracked | None, written: Tracked | None) -> Seen | None:
        tracked = staged or written
        if tracked is None or not tracked.watched:
            return None
        wanted = written or tracked
        base, held, problem, state = self.base.get(path), None, None, None
        try:
            held, base, state = self.judge(wanted)
        except GitdataError as error:
            problem = error
        return Seen(
            tracked=tracked,
            held=held,
            base=base,
            git=tracked.out.oid,
            written=written.out.oid if written else None,
            staged=staged is not None,
            state=state or "unreadable",
            problem=problem,
        )

    def judge(self, wanted: Tracked) -> tuple[Held | None, Base | None, State]:
        """What lies at an output's path, what it was made from, and its state against that pointer.

        Where nothing is known of data that is here, what it was made from is told from its files and the pointer's
        history. Raises as ``look``.
        """
        base = self.base.get(wanted.path)
        held = self.look(wanted.path, base)
        if held is not None and (base is None or not base.oid) and held.oid != wanted.out.oid:
            base = base_of(self.git, self.repo.cache, wanted.pointer, wanted.out, held.listing)
            held = self.look(wanted.path, base)
        state = compare(held.oid if held else None, base.oid if base else None, wanted.out.oid)
        return held, base, state

    def outside(self, known: dict[str, Tracked]) -> dict[str, GitdataError]:
        """By pointer: why gitdata does not look after its data, as with hashes of DVC 2."""
        found: dict[str, GitdataError] = {}
        for one in known.values():
            if not one.watched and not one.imported:
                found[one.pointer] = unmoved(one)
        return found

    def left_behind(self) -> list[str]:
        """The paths of data that is here and has no pointer any more."""
        known = self.staged() | self.written()
        if self.problems:
            return []  # a pointer that cannot be read, as in a conflict, is not gone
        paths = [path for path, base in self.base.items() if base.oid and path not in known]
        return [
            path
            for path in sorted(paths)
            if os.path.lexists(self.repo.root / path) and not (self.repo.root / f"{path}.dvc").exists()
            if not self.find(path, known) and not self.git.run("--literal-pathspecs", "ls-files", "--", path)
        ]

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

    def set_base(self, path: str, base: Base | None) -> None:
        """Remember, at once, what an output was made from; None forgets it."""
        if self.base.get(path) == base:
            return
        if base is None:
            del self.base[path]
        else:
            self.base[path] = base
        save_base(self.folder, self.base)

    def oid_of(self, path: str) -> str | None:
        """The oid that an output was last made from, "" if gitdata removed it, None if nothing is known."""
        base = self.base.get(path)
        return base.oid if base else None

    def forget(self, path: str) -> None:
        if path in self.base:
            self.set_base(path, None)

    def remember(self, seen: Iterable[Seen]) -> None:
        """Record the bases of data that others brought (`dvc pull`), and which data is not here."""
        for path, base in self.unrecorded(seen).items():
            self.set_base(path, base)

    def unrecorded(self, seen: Iterable[Seen]) -> dict[str, Base]:
        """The bases that looking has shown and that are not recorded yet."""
        shown: dict[str, Base] = {}
        for one in seen:
            path = one.tracked.path
            if one.state == "same" and one.held:
                shown[path] = Base(one.held.oid, bool(one.held.absent))
            elif one.state == "absent" and path not in self.base:
                shown[path] = Base(one.written or one.git, partial=True)
            elif one.base is not None and path not in self.base:
                shown[path] = one.base
        return {path: base for path, base in shown.items() if self.base.get(path) != base}

    def settle(self, paths: Iterable[str], pointers: bytes, *, complete: bool = False) -> None:
        """Nothing is left to do: the hooks need not start Python until something moves.

        paths: of all outputs. pointers: the ``pointer_rows`` that were looked at. complete: every object was found in
        the cache.
        """
        self.stats.save()
        cache = self.repo.cache.folder if complete else None
        mark_scanned(self.repo.root, self.folder, sorted(paths), pointers, self.began, cache)

    def unsettle(self) -> None:
        unmark(self.repo.root)

    def follow(self, pointers: bytes) -> None:
        """The workspace was made what these ``pointer_rows`` say: until they move, no hook need look at them again."""
        mark_followed(self.folder, pointers)
        self.unsettle()
