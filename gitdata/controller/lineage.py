"""Lineage: what a clone can say of where things came from. Statements, by run, and the datum that wrote a file.

``trace`` walks with it, ``gitdata prov`` prints. Reads notes, records and the datum index; where the data remote cannot
be asked, it says less and never fails for that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from gitdata.backends.git import Git
from gitdata.backends.objects import ObjectStore
from gitdata.controller.jobs import MOST_JOBS, JobRow, pages
from gitdata.controller.notes import known_notes
from gitdata.controller.recorded import read_index, read_records
from gitdata.controller.sources import Tree
from gitdata.data.cache import Cache
from gitdata.data.changes import Change, Changes
from gitdata.data.transfer import read_listing
from gitdata.datums import enumerate_datums
from gitdata.errors import GitdataError, MissingDataError
from gitdata.formats.index import fold_index
from gitdata.formats.provenance import parse_note
from gitdata.identity import run_key
from gitdata.model import Datum, DatumResult, Entry, Listing, Stage, leaves

Statement = Mapping[str, Any]
_PAGE = 50  # runs whose records are read at a time


@dataclass(frozen=True, slots=True)
class Made:
    """One datum that wrote a file, with what the index says of it."""

    datum: Datum
    result: DatumResult


def definition(statement: Statement) -> Mapping[str, Any]:
    found: Mapping[str, Any] = statement.get("predicate", {}).get("buildDefinition", {})
    return found


def run_of(statement: Statement) -> str:
    """The run key of a statement."""
    return str(definition(statement).get("internalParameters", {}).get("run_key", ""))


def dependencies(statement: Statement) -> list[Mapping[str, Any]]:
    """The inputs of a statement; none where they were folded."""
    found = definition(statement).get("resolvedDependencies", [])
    return [d for d in found if isinstance(d, dict) and "kind" in d.get("annotations", {})]


def is_success(statement: Statement) -> bool:
    subject: Mapping[str, Any] = statement["subject"][0]
    return subject.get("name") != "run"


@dataclass
class Lineage:
    """Everything about one source commit. zone: whose records and index are believed.

    default_branch: what specs may call the commit. cache: where listings of data may be as well.
    """

    git: Git
    remote: str
    commit: str
    store: ObjectStore | None
    zone: str = "main"
    default_branch: str = ""
    cache: Cache | None = None
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def tree(self) -> Tree:
        return Tree(self.git, self.commit)

    @cached_property
    def _noted(self) -> dict[str, Statement]:
        body = known_notes(self.git, self.remote, [self.commit]).get(self.commit, b"")
        found: dict[str, Statement] = {}
        for record in parse_note(body):
            # Of a failed and a later successful attempt at a run, the success is what its outputs come from.
            if is_success(record.statement) or run_of(record.statement) not in found:
                found[run_of(record.statement)] = record.statement
        return found

    def statement(self, run: str) -> Statement | None:
        """The statement of a run: from the note, else from its records on the data remote."""
        if run not in self._noted and self.store is not None:
            try:
                for _, record in sorted(read_records(self.store, [self.zone], run, {}).items()):
                    if record.statement and record.state == "success":
                        self._noted.setdefault(run, record.statement)
            except GitdataError as error:
                self._remark(error)
        return self._noted.get(run)

    def makers(self, statement: Statement, path: str) -> list[Made]:
        """The datums of a run that wrote a path of its output; none where that cannot be found out."""
        run = run_of(statement)
        if run not in self._runs:
            try:
                self._runs[run] = self._compute(statement)
            except GitdataError as error:
                self._remark(error)
                self._runs[run] = {}
        return self._runs[run].get(path, [])

    @cached_property
    def _runs(self) -> dict[str, dict[str, list[Made]]]:
        return {}

    def _compute(self, statement: Statement) -> dict[str, list[Made]]:
        """Path -> the datums that wrote it, of a run; computed again from the inputs, so it is true or not there."""
        if self.store is None:
            return {}
        external = definition(statement).get("externalParameters", {})
        key = str(definition(statement).get("internalParameters", {}).get("stage_key", ""))
        # The stage of that name first; one that was renamed, or copied, has the same datums under another name.
        stages = sorted(self.tree.pipeline(self.default_branch), key=lambda s: s.name != external.get("stage"))
        datums = next(filter(None, (self._datums(statement, key, stage) for stage in stages)), ())
        results = self._results(key) if datums else {}
        made: dict[str, list[Made]] = {}
        for datum in datums:
            if datum.id in results:
                for entry in results[datum.id].outputs:
                    made.setdefault(entry.path, []).append(Made(datum, results[datum.id]))
        return made

    def _datums(self, statement: Statement, key: str, stage: Stage) -> Sequence[Datum]:
        """The datums of a run if it can have been one of this stage, else none."""
        inputs = {str(d["name"]): d for d in dependencies(statement)}
        if inputs.keys() != {leaf.name for leaf in leaves(stage.input)}:
            return ()
        listings = {leaf.repo: self.listing(inputs[leaf.name], leaf.repo) for leaf in leaves(stage.input)}
        datums = enumerate_datums(key, stage.input, listings)
        return datums if run_key(key, [datum.id for datum in datums]) == run_of(statement) else ()

    def listing(self, dependency: Mapping[str, Any], repo: str) -> Listing:
        """The files of an input as the run saw them."""
        assert self.store is not None
        notes = dependency["annotations"]
        oid = str(notes.get("md5", ""))
        if notes["kind"] == "git":
            return self.tree.source(repo, self.store).listing
        if oid.endswith(".dir"):
            return read_listing(self.store, oid)
        return (Entry(repo.rsplit("/", 1)[-1], oid, notes.get("size")),)

    def _results(self, key: str) -> dict[str, DatumResult]:
        assert self.store is not None
        return fold_index(read_index(self.store, [self.zone], key, {}), lambda result: result.failure is None)

    def job(self, name: str) -> JobRow | None:
        """An attempt at a run by its name, as recorded; None where that cannot be found out."""
        try:
            while name not in self._jobs and len(self._jobs) < MOST_JOBS:
                page, _ = next(self._pages)
                self._jobs |= {row.id: row for row in page}
        except StopIteration:
            pass
        except GitdataError as error:
            self._remark(error)
        return self._jobs.get(name)

    @cached_property
    def _jobs(self) -> dict[str, JobRow]:
        return {}

    @cached_property
    def _pages(self) -> Iterator[tuple[list[JobRow], float]]:
        return pages(self.store, self.zone, (), _PAGE) if self.store is not None else iter(())

    def change(self, kind: str, repo: str, path: str, oid: str) -> Change:
        """The commit that last changed a file of an input, or the whole of it, seen from the source commit."""
        if kind == "git":
            return self._changes.of_git(self.commit, path)
        try:
            output = self.tree.outputs.get(repo)
        except GitdataError:  # a commit that this clone has not
            output = None
        if output is None:
            return replace(self._changes.of_git(self.commit, f"{repo}.dvc"), exact=False)
        return self._changes.of_data(self.commit, output, path[len(repo) + 1 :], oid)

    @cached_property
    def _changes(self) -> Changes:
        return Changes(self.git, self._files_of)

    def _files_of(self, oid: str) -> Listing:
        """The files of a data folder, from this machine or from the data remote."""
        if self.cache is not None and self.cache.has(oid):
            return self.cache.listing(oid)
        if self.store is None:
            raise MissingDataError(f"{oid} is not in the cache")
        return read_listing(self.store, oid)

    def _remark(self, error: GitdataError) -> None:
        text = f"{error.message}; the inputs of whole runs are shown instead"
        if text not in self.remarks:
            self.remarks.append(text)
