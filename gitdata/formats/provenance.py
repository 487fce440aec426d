"""Provenance: the in-toto statement of a run, and the note lines that carry it. Pure.

``controller/collect`` builds the statement once, into the run's result record; ``controller/notes`` puts the
same bytes into the note of the source commit; ``gitdata prov`` reads them back. A statement never changes
after it is built (its id is its sha256) and never holds a secret: what looks like one is replaced before
anything is hashed.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from gitdata.errors import InvalidInputError
from gitdata.identity import canonical, sha256
from gitdata.model import Environment, Listing, Stage

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://gitdata.dev/stage/v1"
BUILDER = "https://gitdata.dev/controller/"

LINE_LIMIT = 4096  # what we write
READ_LIMIT = 16384  # what we still read: a later version may allow more
_TEXT_LIMIT = 240  # bytes of one name, URL or path

InputKind: TypeAlias = Literal["stage", "pointer", "git"]


@dataclass(frozen=True, slots=True)
class InputRecord:
    """One input of a run. name: as the spec calls it. repo: the stage, pointer or git path. oid: md5,
    ``.dir`` for folders.

    sha256: of the file, or of a folder's manifest; None if unknown. path: where its pointer or git path lies
    in the repository. run: the run key that produced it, "" for raw inputs.
    """

    name: str
    repo: str
    kind: InputKind
    oid: str
    sha256: str | None = None
    size: int | None = None
    path: str = ""
    glob: str = ""
    run: str = ""


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """The output of a run. sha256: of its manifest, None if any file's is unknown."""

    oid: str
    sha256: str | None
    size: int
    nfiles: int


@dataclass(frozen=True, slots=True)
class NoteRecord:
    """One understood line of a note, its id verified."""

    id: str
    statement: dict[str, Any]


def statement(
    *,
    stage: Stage,
    run_key: str,
    stage_key: str,
    execution_key: str,
    environment: Environment,
    repository: str,
    ref: str,
    commit: str,
    job: str,
    executor: str,
    inputs: Sequence[InputRecord],
    output: OutputRecord | None,
    state: Literal["success", "failed"],
    counts: Mapping[str, int],
    started: int,
    finished: int,
    tries: int,
    workers: int,
) -> dict[str, Any]:
    """The in-toto Statement v1 of one run, small enough for a note line.

    Long lists (command, standard input, environment, in the end the inputs) are replaced by their sha256 and
    size when the line would not fit otherwise; the whole text is in the source commit. started, finished:
    milliseconds.
    """
    made: dict[str, Any] = {
        "_type": STATEMENT_TYPE,
        "subject": [_subject(stage.name, run_key, output if state == "success" else None)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(stage, repository, ref, inputs),
                "internalParameters": {
                    "stage_key": stage_key,
                    "run_key": run_key,
                    "execution_key": execution_key,
                    "tries": tries,
                    "workers": workers,
                },
                "resolvedDependencies": [
                    {"name": "source", "uri": _git_uri(repository), "digest": {"gitCommit": commit}},
                    _environment(environment),
                    *(_dependency(i) for i in inputs),
                ],
            },
            "runDetails": {
                "builder": {"id": BUILDER + _short(executor)},
                "metadata": _metadata(job, started, finished),
                "byproducts": [
                    {"name": "result", "annotations": {"state": state, "datums": dict(sorted(counts.items()))}}
                ],
            },
        },
    }
    return _fit(made)


def note_line(statement: Mapping[str, Any]) -> bytes:
    """The line of a statement in a note, with its newline."""
    line = canonical({"v": 1, "id": sha256(canonical(statement)), "statement": statement}) + b"\n"
    if len(line) > LINE_LIMIT:
        raise InvalidInputError(f"a provenance record of {len(line)} bytes does not fit into a note line")
    return line


def merge_notes(*bodies: bytes) -> bytes:
    """The union of the lines of all bodies, sorted: what ``git notes merge -s cat_sort_uniq`` makes of them.

    Lines of later versions are kept as they are.
    """
    lines = sorted({line for body in bodies for line in body.split(b"\n") if line.strip()})
    return b"".join(line + b"\n" for line in lines)


def parse_note(body: bytes) -> list[NoteRecord]:
    """The records of a note that this version understands and whose id is true; the rest is skipped."""
    found: dict[str, NoteRecord] = {}
    for line in body.split(b"\n"):
        if not line.strip() or len(line) > READ_LIMIT:
            continue
        try:
            value = json.loads(line)
            record = _record(value)
        except (ValueError, RecursionError):
            continue
        if record is not None:
            found.setdefault(record.id, record)
    return [found[key] for key in sorted(found)]


def manifest_sha256(listing: Listing) -> str | None:
    """The sha256 of a directory: that of ``sha256sum``'s lines for its files by path.

    None if any is unknown.
    """
    digest = hashlib.sha256()
    for entry in sorted(listing, key=lambda e: e.path.encode(errors="surrogateescape")):
        if entry.sha256 is None:
            return None
        path = entry.path
        mark = ""
        if any(c in path for c in "\\\n\r"):  # as sha256sum does, so that no two folders have one manifest
            mark, path = "\\", path.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        digest.update(f"{mark}{entry.sha256}  {path}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def rfc3339(milliseconds: int) -> str:
    """``2026-01-02T03:04:05.678Z``."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"


# ----------------------------------------------------------------------------------------------------- pieces


def _record(value: Any) -> NoteRecord | None:
    if not isinstance(value, dict) or value.get("v") != 1:
        return None
    body = value.get("statement")
    if not isinstance(body, dict) or body.get("_type") != STATEMENT_TYPE or not _fits(body, _SHAPE):
        return None
    if not body["subject"]:
        return None
    name = sha256(canonical(body))
    return NoteRecord(name, body) if value.get("id") == name else None


_THING: dict[str, Any] = {
    "name": str,
    "digest": {"sha256": str, "gitCommit": str},
    "annotations": {"size": int},
}
_SHAPE: dict[str, Any] = {
    "subject": [_THING],
    "predicate": {
        "buildDefinition": {"externalParameters": {}, "internalParameters": {}, "resolvedDependencies": [_THING]},
        "runDetails": {"builder": {}, "metadata": {}, "byproducts": [{"annotations": {"datums": {}}}]},
    },
}
_NEEDED = frozenset(["subject", "predicate", "buildDefinition", "runDetails", "name"])  # the rest may be left out


def _fits(value: Any, shape: Any) -> bool:
    """Whether what is there is of the kinds that readers rely on: anybody can push a note."""
    if isinstance(shape, type):
        return type(value) is shape
    if isinstance(shape, list):
        return isinstance(value, list) and all(_fits(item, shape[0]) for item in value)
    if not isinstance(value, dict):
        return False
    return all(_fits(value[key], inner) if key in value else key not in _NEEDED for key, inner in shape.items())


def _metadata(job: str, started: int, finished: int) -> dict[str, str]:
    return {"invocationId": _short(job), "startedOn": rfc3339(started), "finishedOn": rfc3339(finished)}


def _subject(stage: str, run_key: str, output: OutputRecord | None) -> dict[str, Any]:
    if output is None:
        return {"name": "run", "digest": {"sha256": run_key}}
    annotations: dict[str, Any] = {"md5": output.oid, "size": output.size, "nfiles": output.nfiles}
    if output.sha256 is None:
        annotations["sha256"] = "unknown"
    return {"name": stage, "digest": _digest(output.sha256, output.oid), "annotations": annotations}


def _digest(known: str | None, oid: str) -> dict[str, str]:
    # A digest is mandatory; md5 is a legal one of which verifiers make nothing.
    return {"sha256": known} if known is not None else {"md5": oid.removesuffix(".dir")}


def _external(stage: Stage, repository: str, ref: str, inputs: Sequence[InputRecord]) -> dict[str, Any]:
    t = stage.transform
    made: dict[str, Any] = {
        "repository": _short(without_userinfo(repository)),
        "ref": _short(ref),
        "stage": stage.name,
        "image": _short(without_userinfo(t.image)),
        "cmd": [redact(word) for word in t.cmd],
        "stdin": None if t.stdin is None else [redact(line) for line in t.stdin],
        "err_cmd": [redact(word) for word in t.err_cmd],
        "err_stdin": None if t.err_stdin is None else [redact(line) for line in t.err_stdin],
        "env": [[name, _env_value(name, value)] for name, value in t.env],
        "secrets": sorted({s.name for s in t.secrets}),
        "accept_return_code": sorted(t.accept_return_code),
        "working_dir": _short(t.working_dir),
        "user": _short(t.user),
        "inputs": [{"name": _short(i.name), "repo": _short(i.repo), "glob": _short(i.glob)} for i in inputs],
    }
    return {key: _plain(value) for key, value in made.items() if value not in (None, "", [])}


def _environment(environment: Environment) -> dict[str, Any]:
    made: dict[str, Any] = {"name": "environment", "uri": _short(environment.id)}
    kind, _, rest = environment.id.partition(":")
    if kind == "oci" and re.fullmatch(r"sha256:[0-9a-f]{64}", rest):
        made["digest"] = {"sha256": rest.removeprefix("sha256:")}
    elif kind in ("ctx", "venv") and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", rest.split(":")[0]):
        made["digest"] = {"gitTree": rest.split(":")[0]}
    return made


def _dependency(record: InputRecord) -> dict[str, Any]:
    annotations: dict[str, Any] = {"md5": record.oid, "kind": record.kind, "path": _short(record.path)}
    if record.size is not None:
        annotations["size"] = record.size
    if record.run:
        annotations["run"] = record.run
    if record.sha256 is None:
        annotations["sha256"] = "unknown"
    return {
        "name": _short(record.name),
        "digest": _digest(record.sha256, record.oid),
        "annotations": annotations,
    }


# ---------------------------------------------------------------------------------------------------- secrets

_SECRET_NAME = re.compile(
    r"secret|token|passw|passphrase|pwd|api[_-]?key|access[_-]?key|private[_-]?key|credential|(?:^|[_-])(?:auth|key)$",
    re.IGNORECASE,
)
_ASSIGNMENT = re.compile(r"([A-Za-z_][\w-]*|--?[\w-]+)=(?![$])(\"[^\"]*\"|'[^']*'|\S+)")
_OPTION = re.compile(r"(--?[\w-]*(?:secret|token|passw|api-?key)[\w-]*\s+)(?![$-])(\S+)", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/\s?#]*@")

REDACTED = "redacted"


def looks_secret(name: str) -> bool:
    """Whether a variable or option of this name holds what must not be written down."""
    return _SECRET_NAME.search(name) is not None


def without_userinfo(text: str) -> str:
    """``text`` without user and password in any URL in it."""
    return _USERINFO.sub("", text)


def redact(text: str) -> str:
    """A command word or line of standard input without what looks like a secret."""
    text = _ASSIGNMENT.sub(lambda m: f"{m[1]}={REDACTED}" if looks_secret(m[1]) else m[0], text)
    return without_userinfo(_OPTION.sub(rf"\1{REDACTED}", text))


def _env_value(name: str, value: str) -> str:
    return REDACTED if looks_secret(name) else without_userinfo(value)


# ------------------------------------------------------------------------------------------------------- size


def _git_uri(url: str) -> str:
    """The repository as a URI: git's other two ways to write one are a path and ``[user@]host:path``."""
    if "://" in url:
        return "git+" + _short(without_userinfo(url))
    remote = re.fullmatch(r"(?:[^/:@]+@)?([^/:]{2,}):(.*)", url, re.DOTALL)
    return _short(f"git+ssh://{remote[1]}/{remote[2].lstrip('/')}" if remote else f"git+file://{url}")


def _short(text: str) -> str:
    """One name, URL or path, valid Unicode, cut (with its sha256) where it is absurdly long."""
    plain = text.encode(errors="backslashreplace")
    if len(plain) <= _TEXT_LIMIT:
        return plain.decode()
    return f"{plain[:120].decode(errors='ignore')}… sha256:{sha256(plain)}"


def _plain(value: Any) -> Any:
    """Words that are not UTF-8 have surrogates in Python: spell them out, JSON cannot carry them."""
    if isinstance(value, str):
        return value.encode(errors="backslashreplace").decode()
    return [_plain(v) for v in value] if isinstance(value, list) else value


def _folded(value: Any) -> dict[str, Any]:
    body = canonical(value)
    return {"sha256": sha256(body), "size": len(body)}


def _fit(made: dict[str, Any]) -> dict[str, Any]:
    """Fold the longest lists into their digest until the line fits."""

    def too_long() -> bool:
        return len(canonical({"v": 1, "id": "0" * 64, "statement": made})) >= LINE_LIMIT

    definition = made["predicate"]["buildDefinition"]
    external = definition["externalParameters"]
    lists = sorted(
        (key for key, value in external.items() if isinstance(value, list)),
        key=lambda key: (-len(canonical(external[key])), key),
    )
    lists.sort(key=lambda key: key == "inputs")  # globs last: they are short and say most
    for key in lists:
        if not too_long():
            return made
        external[key] = _folded(external[key])
    if too_long():
        source, environment, *inputs = definition["resolvedDependencies"]
        digest = _folded(inputs)
        definition["resolvedDependencies"] = [
            source,
            environment,
            {
                "name": "inputs",
                "digest": {"sha256": digest["sha256"]},
                "annotations": {"folded": len(inputs), "size": digest["size"]},
            },
        ]
    return made
