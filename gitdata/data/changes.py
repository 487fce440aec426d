"""Changes: the commit that last changed one file of the data, seen from another commit.

``controller.lineage`` asks, for ``gitdata prov trace``. A folder's pointer changes with every file of it, so its
history is walked back, and the listings compared, as long as the file is the same; renames and merges are followed. It
must never name a commit as the one when a listing on the way could not be read: then it may have been an earlier one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.data.pointers import Pointers, read_pointers
from gitdata.data.repository import pointers_at
from gitdata.data.tracked import Tracked, outputs, require
from gitdata.errors import GitdataError, InvalidInputError
from gitdata.formats.dvclock import is_lock, pipeline_name
from gitdata.model import Listing

_MOST_LISTINGS = 200
_MOST_ENTRIES = 2_000_000  # of all listings together: they are kept, for the next file
_MOST_STEPS = 1000  # commits of one walk


@dataclass(frozen=True, slots=True)
class Change:
    """commit: "" if none is known. exact: whether it is known that no earlier one is meant."""

    commit: str = ""
    exact: bool = False


@dataclass(frozen=True, slots=True)
class _File:
    """A file of an output; ``inside`` "" means all of the output. oid: the file's own."""

    output: Tracked
    inside: str
    oid: str

    @property
    def path(self) -> str:
        return f"{self.output.path}/{self.inside}".rstrip("/")


class Changes:
    """read: the files of a data folder by its oid; raises GitdataError where they cannot be had."""

    def __init__(self, git: Git, read: Callable[[str], Listing]) -> None:
        self._git, self._read = git, read
        self._last: dict[tuple[str, str], tuple[str, ...]] = {}
        self._files: dict[str, Mapping[str, str]] = {}
        self._named: dict[tuple[str, str], Pointers] = {}
        self._all: dict[str, Mapping[str, Tracked]] = {}

    def of_git(self, commit: str, path: str) -> Change:
        """Of a file or folder that git keeps."""
        found = self._changed(commit, path)
        return Change(found[0], found[0] not in self._shallow) if found else Change()

    def of_data(self, commit: str, output: Tracked, inside: str, oid: str) -> Change:
        """Of a file inside an output, or ("") of the whole; oid: what it is at ``commit``."""
        file, found = _File(output, inside, oid), Change()
        for _ in range(_MOST_STEPS):
            changed = self._changed(commit, file.output.pointer)
            if not changed:
                break
            found = Change(changed[0])
            if changed[0] in self._shallow:
                break
            try:
                older = next(self._same(file, *changed), None)
            except GitdataError:  # a listing that is gone, a pointer of then that cannot be read
                break
            if older is None:
                return Change(changed[0], exact=True)
            commit, file = older
        return found

    def _same(self, file: _File, commit: str, *parents: str) -> Iterator[tuple[str, _File]]:
        """The parents that have the same file, and where. Raises GitdataError at the end where one is unknown."""
        unknown: GitdataError | None = None
        for parent in parents:
            try:
                yield from ((parent, one) for one in self._earlier(file, commit, parent) if self._holds(one))
            except GitdataError as error:
                unknown = error
        if unknown:
            raise unknown

    def _earlier(self, file: _File, commit: str, parent: str) -> Iterator[_File]:
        """Where the file can have been in a parent: at its path, else in an output that is gone since."""
        named = self._pointer(parent, file.output.pointer)
        here = outputs(named.found).get(file.output.path)
        if here is not None:
            yield _File(here, file.inside, file.oid)
            return
        for error in named.problems.values():
            raise error
        before, after = self._outputs(parent), self._outputs(commit)
        for path, output in before.items():
            if file.path == path or file.path.startswith(f"{path}/"):
                yield _File(output, file.path[len(path) + 1 :], file.oid)
                return
        gone = [output for path, output in before.items() if path not in after]
        for output in sorted(gone, key=lambda one: one.out.oid != file.output.out.oid):
            yield _File(output, file.inside, file.oid)

    def _holds(self, file: _File) -> bool:
        out = require(file.output, file.output.path).out
        if not file.inside:
            return out.oid == file.oid
        if not out.is_dir:
            return False
        if out.oid not in self._files:
            entries = sum(map(len, self._files.values()))
            if len(self._files) >= _MOST_LISTINGS or entries > _MOST_ENTRIES:
                raise InvalidInputError(f"{file.output.path}: its history has too many listings")
            self._files[out.oid] = {entry.path: entry.oid for entry in self._read(out.oid)}
        return self._files[out.oid].get(file.inside) == file.oid

    # ---------------------------------------------------------------------------------------------------- reading git

    def _changed(self, commit: str, path: str) -> tuple[str, ...]:
        """The last commit that changed a path, and its parents; nothing where git cannot say it."""
        if (commit, path) not in self._last:
            done = self._git.call("--literal-pathspecs", "rev-list", "-1", "--format=%H %P", commit, "--", path)
            lines = done.stdout.decode().splitlines() if done.returncode == 0 else []
            self._last[commit, path] = tuple(lines[-1].split()) if lines else ()
        return self._last[commit, path]

    def _pointer(self, commit: str, name: str) -> Pointers:
        if (commit, name) not in self._named:
            names = [name, pipeline_name(name)] if is_lock(name) else [name]
            texts = {one: text for one in names if (text := self._git.file(commit, one)) is not None}
            self._named[commit, name] = read_pointers(texts)
        return self._named[commit, name]

    def _outputs(self, commit: str) -> Mapping[str, Tracked]:
        if commit not in self._all:
            self._all[commit] = outputs(pointers_at(self._git, commit).found)
        return self._all[commit]

    @cached_property
    def _shallow(self) -> frozenset[str]:
        """Commits whose parents this clone has not: to git they seem to bring everything."""
        done = self._git.call("rev-parse", "--git-path", "shallow")
        file = self._git.path / done.stdout.decode(errors="surrogateescape").rstrip("\n")
        return frozenset(file.read_text().split() if Path(file).is_file() else ())
