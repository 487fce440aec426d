"""Trace: from one output file back, datum by datum, to the raw inputs and the code.

``gitdata prov trace`` calls ``trace`` and prints the steps. Reads only. Where the datum that wrote a file is not known,
the step names all inputs of the run: less exact, never wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gitdata.controller.lineage import Lineage, Made, Statement, definition, dependencies, run_of
from gitdata.errors import MissingDataError
from gitdata.formats.provenance import rfc3339
from gitdata.formats.records import standing
from gitdata.model import Entry

_DEPTH = 100  # stages in a row; a pipeline has no cycles, a forged note may


@dataclass(frozen=True, slots=True)
class Step:
    """One file or folder of the chain. kind: ``output`` of a stage, ``data`` of a pointer, ``git``.

    path: in the repository. commit: for raw inputs, the one that last changed this very file. run: what is known of the
    run that wrote it. exact: whether ``inputs`` are those of the very datums that wrote it; of raw inputs, whether no
    commit before ``commit`` can be meant. more: how many inputs are not shown.
    """

    kind: str
    path: str
    oid: str
    size: int | None = None
    sha256: str | None = None
    commit: str = ""
    run: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = False
    inputs: tuple[tuple[str, Step], ...] = ()
    more: int = 0


@dataclass
class _Walk:
    lineage: Lineage
    limit: int
    seen: dict[tuple[str, str], Step] = field(default_factory=dict)

    def output(self, stage: str, inside: str, oid: str, run: str, depth: int = 0) -> Step:
        """A file (or, with ``inside`` "", the whole) of a stage's output."""
        key = (run, inside)
        if key in self.seen:
            return self.seen[key]
        path = f"{stage}/{inside}".rstrip("/")
        statement = self.lineage.statement(run) if depth < _DEPTH else None
        if statement is None:
            return Step("output", path, oid, run={"run": run} if run else {})
        makers = self.lineage.makers(statement, inside) if inside else []
        step = Step("output", path, oid, run=self._run(statement, makers))
        if makers:
            written = next(e for e in makers[0].result.outputs if e.path == inside)
            step = replace(step, oid=written.oid, size=written.size, sha256=written.sha256, exact=True)
            inputs = self._of_datums(statement, makers, depth)
        else:
            inputs = [(str(d["name"]), self._whole(d, depth)) for d in dependencies(statement)]
        more = max(0, len(inputs) - self.limit)
        step = replace(step, inputs=tuple(inputs[: self.limit]), more=more)
        self.seen[key] = step
        return step

    def _of_datums(self, statement: Statement, makers: list[Made], depth: int) -> list[tuple[str, Step]]:
        by_name = {str(d["name"]): d for d in dependencies(statement)}
        repos = _repos(statement)
        found: dict[tuple[str, str], Step] = {}
        for made in makers:
            digests = {oid: digest for oid, digest, _ in made.result.fetched}
            for part in made.datum.inputs:
                for entry in part.entries:
                    # More than are shown are only counted: a plot may read a million files.
                    if (part.name, entry.path) in found:
                        continue
                    full = len(found) >= self.limit
                    known = replace(entry, sha256=entry.sha256 or digests.get(entry.oid))
                    dependency = by_name[part.name]
                    found[part.name, entry.path] = (
                        Step("", "", "") if full else self._entry(dependency, repos[part.name], known, depth)
                    )
        return [(name, step) for (name, _), step in found.items()]

    def _entry(self, dependency: Mapping[str, Any], repo: str, entry: Entry, depth: int) -> Step:
        notes = dependency["annotations"]
        if notes["kind"] == "stage":
            return self.output(repo, entry.path, entry.oid, str(notes.get("run", "")), depth + 1)
        whole = repo.rsplit("/", 1)[-1] == entry.path and not str(notes.get("md5", "")).endswith(".dir")
        if notes["kind"] == "git":
            whole = self.lineage.tree.entries.get(repo) is not None
        return self._raw(
            str(notes["kind"]), repo, repo if whole else f"{repo}/{entry.path}", entry.oid, entry.size, entry.sha256
        )

    def _whole(self, dependency: Mapping[str, Any], depth: int) -> Step:
        notes, name = dependency["annotations"], str(dependency["name"])
        repo, oid = str(notes.get("path") or name), str(notes.get("md5", ""))
        if notes["kind"] == "stage":
            return self.output(repo, "", oid, str(notes.get("run", "")), depth + 1)
        digest = dependency.get("digest", {}).get("sha256")
        return self._raw(str(notes["kind"]), repo, repo, oid, notes.get("size"), digest)

    def _run(self, statement: Statement, makers: list[Made]) -> dict[str, Any]:
        """What is known of the run that wrote a file: where its datum was reused, of the earlier one that did it."""
        known = _run(statement, makers)
        newest = max((made.result for made in makers), key=lambda result: result.finished, default=None)
        if newest is None or newest.job in ("", known["job"]):
            return known
        known |= {"job": newest.job, "run": "", "commit": ""}
        known |= {"started": rfc3339(newest.started), "finished": rfc3339(newest.finished)}
        row = self.lineage.job(newest.job)
        if row is not None:
            _, last = standing(row.records)
            known |= {"run": row.run_key, "stage": row.stage, "commit": row.commit}
            if last.kind == "result":
                known |= {"started": rfc3339(last.started), "finished": rfc3339(last.finished)}
        return known

    def _raw(self, kind: str, repo: str, path: str, oid: str, size: int | None, sha256: str | None) -> Step:
        change = self.lineage.change(kind, repo, path, oid)
        name = "git" if kind == "git" else "data"
        return Step(name, path, oid, size, sha256, commit=change.commit, exact=change.exact)


def trace(lineage: Lineage, stage: str, inside: str, oid: str, run: str, *, limit: int) -> Step:
    """The chain behind a file of a stage's output. limit: inputs shown for each step.

    Raises MissingDataError where not even the run is known.
    """
    step = _Walk(lineage, limit).output(stage, inside, oid, run)
    if not step.run.get("stage"):
        raise MissingDataError(
            f"there is no provenance of {stage} for {lineage.commit[:12]}",
            hint="fetch the notes (`gitdata prov show`) or set the data remote",
        )
    return step


def _repos(statement: Statement) -> dict[str, str]:
    """Input name -> repo."""
    named = definition(statement).get("externalParameters", {}).get("inputs", [])
    found = {str(d["name"]): str(d["annotations"].get("path") or d["name"]) for d in dependencies(statement)}
    if isinstance(named, list):
        found |= {str(one.get("name")): str(one.get("repo")) for one in named if isinstance(one, dict)}
    return found


def _run(statement: Statement, makers: list[Made]) -> dict[str, Any]:
    built = definition(statement)
    external, internal = built.get("externalParameters", {}), built.get("internalParameters", {})
    resolved = built.get("resolvedDependencies", [])
    details = statement.get("predicate", {}).get("runDetails", {})
    named = {one.get("name"): one for one in resolved if isinstance(one, dict)}
    return {
        "run": run_of(statement),
        "stage": external.get("stage"),
        "job": details.get("metadata", {}).get("invocationId"),
        "datums": [made.datum.id for made in makers],
        "commit": named.get("source", {}).get("digest", {}).get("gitCommit", ""),
        "repository": external.get("repository"),
        "image": external.get("image"),
        "environment": named.get("environment", {}).get("uri"),
        "cmd": external.get("cmd"),
        "stdin": external.get("stdin"),
        "stage_key": internal.get("stage_key"),
        "started": details.get("metadata", {}).get("startedOn"),
        "finished": details.get("metadata", {}).get("finishedOn"),
    }
