"""Show the provenance records of a commit: what ran for it, on what, with what result.

REV is a source commit, a branch or an output commit. The records lie in git notes; they are fetched from the remote
first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import Any

from gitdata.commands.terminal import print_json, print_lines, say, size
from gitdata.controller.lineage import definition, dependencies, is_success, run_of
from gitdata.controller.notes import fetch_notes, known_notes
from gitdata.controller.visit import describe
from gitdata.data.repository import Repository
from gitdata.data.revisions import commit_of, git_remote
from gitdata.errors import MissingDataError, RemoteError
from gitdata.formats.provenance import NoteRecord, parse_note


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("rev", metavar="REV", nargs="?", default="HEAD", help="default: HEAD")
    parser.add_argument("--json", action="store_true", help="the in-toto statements themselves")


def run(args: argparse.Namespace) -> int:
    git = Repository.find().git
    remote = git_remote(git)
    try:
        fetch_notes(git, remote)
    except RemoteError as error:
        say(f"showing what was fetched before: {error.message}")
    sha = commit_of(git, args.rev)
    output = describe(git, sha, "")
    commit = output.source if output else sha
    records = parse_note(known_notes(git, remote, [commit]).get(commit, b""))
    if not records:
        raise MissingDataError(
            f"there is no provenance of {commit[:12]}", hint="is it published? see `gitdata job wait` and `job list`"
        )
    records.sort(key=lambda r: str(r.statement["predicate"]["runDetails"].get("metadata", {}).get("startedOn")))
    if args.json:
        print_json({"commit": commit, "records": [{"id": r.id, "statement": r.statement} for r in records]})
        return 0
    print_lines(line for record in records for line in [*_lines(record), ""])
    return 0


def _lines(record: NoteRecord) -> list[str]:
    statement = record.statement
    external: Mapping[str, Any] = definition(statement).get("externalParameters", {})
    details = statement["predicate"]["runDetails"]
    result: Mapping[str, Any] = next((b.get("annotations", {}) for b in details.get("byproducts", [])), {})
    counts = ", ".join(f"{count} {name}" for name, count in result.get("datums", {}).items() if count)
    named = {d.get("name"): d for d in definition(statement).get("resolvedDependencies", [])}
    meta = details.get("metadata", {})
    lines = [
        f"{external.get('stage')}  {result.get('state')}  {counts}",
        f"  record    {record.id}",
        f"  run       {run_of(statement)}",
        f"  job       {meta.get('invocationId')}  {meta.get('startedOn')} to {meta.get('finishedOn')}",
        f"  source    {named.get('source', {}).get('digest', {}).get('gitCommit')}  {external.get('repository')}",
        f"  image     {external.get('image')}  {named.get('environment', {}).get('uri')}",
        f"  command   {command_line(external)}",
    ]
    lines += [_resource("input", d) for d in dependencies(statement)]
    if is_success(statement):
        lines.append(_resource("output", statement["subject"][0]))
    return lines


def command_line(external: Mapping[str, Any]) -> str:
    """The command as a person reads it; what the record had to fold is named by its digest."""
    words, stdin = external.get("cmd"), external.get("stdin")
    text = " ".join(map(str, words)) if isinstance(words, list) else json.dumps(words)
    if isinstance(stdin, list):
        return f"{text} <<< {'; '.join(map(str, stdin))[:200]}"
    return f"{text} <<< {json.dumps(stdin)}" if stdin else text


def _resource(role: str, one: Mapping[str, Any]) -> str:
    notes, digest = one.get("annotations", {}), one.get("digest", {})
    sha = f"sha256 {digest['sha256']}" if "sha256" in digest else "sha256 unknown"
    return f"  {role:<9} {one.get('name')}  {size(notes.get('size'))}  md5 {notes.get('md5')}  {sha}"
