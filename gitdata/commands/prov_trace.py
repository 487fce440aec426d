"""Trace one output file back to the raw inputs and the code that made it.

PATH lies in a stage's output (`plot/threats.png`), REV is a branch, an output commit or a source commit. Each line
names a file; what it was made from stands indented below it. A raw input has the commit that last changed that file,
"or before" where listings of its folder cannot be had; what was reused has the commit and times of its first run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from typing import Any

from gitdata.commands.prov_show import command_line
from gitdata.commands.sites import branch_of, refresh_quietly
from gitdata.commands.terminal import print_json, print_lines, say, size
from gitdata.controller.lineage import Lineage
from gitdata.controller.notes import fetch_notes
from gitdata.controller.published import generated_pointers
from gitdata.controller.trace import Step, trace
from gitdata.controller.visit import OutputCommit, describe, output_commits, output_tips
from gitdata.data.repository import Repository
from gitdata.data.revisions import commit_of, default_branch, find_commit, git_remote
from gitdata.data.view import View, nearest
from gitdata.errors import GitdataError, MissingDataError, RemoteError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH[@REV]", help="REV: default the current branch")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--all", action="store_true", help="every input of every step (default: 20 of each)")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote")


def run(args: argparse.Namespace) -> int:
    repository = Repository.open()
    git = repository.git
    refresh_quietly(repository)
    try:
        fetch_notes(git, git_remote(git))
    except RemoteError as error:
        say(f"working with what was fetched before: {error.message}")
    path, revision = _split(repository, args.path)
    output = _output(repository, revision)
    stage, _, inside = path.strip("/").removeprefix("./").partition("/")
    pointer = generated_pointers(git, output.sha).get(stage)
    if pointer is None:
        raise MissingDataError(
            f"{stage}: no stage has an output of that name in {output.sha[:12]}",
            hint="the first part of the path is the stage; see `gitdata plan`",
        )
    lineage = _lineage(repository, str(pointer.meta.get("source") or output.source), args.remote)
    _check(lineage, pointer.output.oid, path, inside)
    limit = 10**9 if args.all else 20
    step = trace(lineage, stage, inside, pointer.output.oid, str(pointer.meta.get("run", "")), limit=limit)
    for remark in lineage.remarks:
        say(remark)
    if args.json:
        print_json({"output_commit": output.sha, "source": lineage.commit, "trace": _json(step)})
    else:
        print_lines(_lines(step, "", set()))
    return 0


def _split(repository: Repository, text: str) -> tuple[str, str]:
    """Path and revision; an ``@`` that no revision follows belongs to the path, if there is such a path."""
    path, at, revision = text.rpartition("@")
    git, branch = repository.git, branch_of(repository, None)
    if at and (revision in output_tips(git) or find_commit(git, revision)):
        return path, revision
    if at and not _holds(repository, output_tips(git).get(branch), text):
        commit_of(git, revision)  # which says what is wrong with it
    return text, branch


def _holds(repository: Repository, tip: str | None, path: str) -> bool:
    try:
        return tip is not None and bool(View(repository, tip).files(path))
    except GitdataError:
        return False


def _output(repository: Repository, revision: str) -> OutputCommit:
    git = repository.git
    sha = output_tips(git).get(revision) or commit_of(git, revision)
    found = describe(git, sha, revision)
    if found is None:
        found = next((commit for commit in output_commits(git) if commit.source == sha), None)
    if found is None:
        raise MissingDataError(f"{revision}: nothing is published for it yet", hint="see `gitdata job wait`")
    return found


def _lineage(repository: Repository, commit: str, remote: str | None) -> Lineage:
    git = repository.git
    lineage = Lineage(git, git_remote(git), commit, None, default_branch=default_branch(git), cache=repository.cache)
    try:
        lineage.store = repository.remote(remote)
    except GitdataError as error:
        lineage.remarks.append(f"{error.message}; the inputs of whole runs are shown")
    return lineage


def _check(lineage: Lineage, oid: str, path: str, inside: str) -> None:
    """A path that the output does not hold is a mistake of the person's, not a gap in the records."""
    if not inside or lineage.store is None:
        return
    try:
        listing = lineage.listing({"annotations": {"kind": "stage", "md5": oid}}, "")
    except GitdataError as error:
        lineage.remarks.append(f"{error.message}; the inputs of whole runs are shown")
        return
    if all(entry.path != inside for entry in listing):
        near = nearest(inside, (entry.path for entry in listing))
        stage = path.removesuffix(inside)
        hint = f"did you mean {stage}{near}?" if near else "see `gitdata ls`"
        raise MissingDataError(f"{path}: no such file in this output", hint=hint)


def _json(step: Step) -> dict[str, Any]:
    made: dict[str, Any] = {
        "kind": step.kind,
        "path": step.path,
        "md5": step.oid,
        "sha256": step.sha256,
        "size": step.size,
    }
    if step.kind == "output":
        return made | {
            "made_by": dict(step.run),
            "exact": step.exact,
            "inputs": [{"name": name, **_json(inner)} for name, inner in step.inputs],
            "more_inputs": step.more,
        }
    return made | {"commit": step.commit, "exact": step.exact}


def _lines(step: Step, indent: str, shown: set[str]) -> Iterator[str]:
    digest = f"sha256 {step.sha256[:12]}" if step.sha256 else f"md5 {step.oid[:12]}"
    if step.kind != "output":
        changed = (step.commit[:12] + ("" if step.exact else " or before")) if step.commit else "?"
        yield f"{indent}{step.path}  {size(step.size)}  {digest}  {step.kind}, changed in {changed}"
        return
    yield f"{indent}{step.path}  {size(step.size)}  {digest}"
    inner = indent + "  "
    run = step.run
    name = str(run.get("job") or run.get("run", ""))
    if name not in shown and run.get("stage"):  # a run that made several files of the chain is described once
        shown.add(name)
        yield f"{inner}by {run['stage']}: {command_line(run)}"
        yield f"{inner}   image {run.get('image')} ({run.get('environment')})"
        yield f"{inner}   code {_known(run, 'commit')}, run {_known(run, 'run')}, {run.get('finished')}"
    if run.get("datums"):
        yield f"{inner}from datum {', '.join(id[:12] for id in run['datums'])}:"
    else:
        yield f"{inner}from the inputs of the whole run:" if step.inputs else f"{inner}no record of its run"
    for _, one in step.inputs:
        yield from _lines(one, inner + "  ", shown)
    if step.more:
        yield f"{inner}  … and {step.more} more (--all)"


def _known(run: Mapping[str, Any], name: str) -> str:
    return str(run.get(name) or "?")[:12]
