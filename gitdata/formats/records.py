"""Run records: what happened to a run, one canonical JSON object a file, and the fold that gives a run's history.

Pure (``docs/formats.md`` section 5). Launch and collect write them, the planner and ``gitdata job`` read them. Records
are only ever added, by any number of controllers; the fold gives the same history in any order.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from gitdata.errors import InvalidInputError
from gitdata.identity import canonical
from gitdata.model import Output

Kind: TypeAlias = Literal["started", "cancelled", "failed", "result"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Datums of a run: all, those this job did, those reused, those without outputs, those err_cmd recovered."""

    total: int = 0
    processed: int = 0
    skipped: int = 0
    failed: int = 0
    recovered: int = 0


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One record. time: milliseconds; for a result, started and finished too.

    cause: ``user``, ``infrastructure`` or ``superseded`` (for a newer commit) for what failed, else "".
    output: of a result whose datums all have outputs.
    """

    kind: Kind
    run_key: str
    execution_key: str
    attempt: int
    job: str
    stage: str
    commit: str
    branch: str
    time: int
    plan: str = ""
    executor: str = ""
    cause: str = ""
    message: str = ""
    state: str = ""
    output: Output | None = None
    counts: Counts = Counts()
    bytes_down: int = 0
    bytes_up: int = 0
    restarts: int = 0
    started: int = 0
    finished: int = 0
    statement: Mapping[str, Any] = field(default_factory=dict)


def dump_record(record: RunRecord) -> bytes:
    """The bytes of a record; its name is their sha256."""
    body: dict[str, Any] = {"v": 1}
    for name in ("kind", "run_key", "execution_key", "attempt", "job", "stage", "commit", "branch", "time"):
        body[name] = getattr(record, name)
    if record.kind == "started":
        body |= {"plan": record.plan, "executor": record.executor}
    elif record.kind == "cancelled":
        body |= {"message": record.message}
    else:
        body |= {"cause": record.cause, "message": record.message}
        body["datums"] = {name: getattr(record.counts, name) for name in Counts.__slots__}
    if record.kind == "result":
        output = record.output
        body |= {
            "plan": record.plan,
            "executor": record.executor,
            "state": record.state,
            "output": output and {"oid": output.oid, "size": output.size or 0, "nfiles": output.nfiles or 0},
            "bytes": {"down": record.bytes_down, "up": record.bytes_up},
            "restarts": record.restarts,
            "started": record.started,
            "finished": record.finished,
            "statement": dict(record.statement),
        }
    return canonical(body)


def parse_record(data: bytes, name: str) -> RunRecord:
    """The record in ``data``. Raises InvalidInputError naming ``name``."""
    try:
        body = json.loads(data)
        if body["v"] != 1:
            raise InvalidInputError(f"{name}: version {body['v']} is newer than this gitdata", hint="update gitdata")
        if body["kind"] not in get_args(Kind):
            raise ValueError(f"kind {body['kind']!r}")
        output = body.get("output")
        counts, moved = body.get("datums", {}), body.get("bytes", {})
        canonical(body.get("statement", {}))  # it is written again, into notes
        return RunRecord(
            **{key: _text(body[key]) for key in ("run_key", "execution_key", "job", "stage", "commit", "branch")},
            kind=body["kind"],
            attempt=_number(body["attempt"]),
            time=_number(body["time"]),
            **{key: _text(body.get(key, "")) for key in ("plan", "executor", "cause", "message", "state")},
            output=output
            and Output(body["stage"], _text(output["oid"]), _number(output["size"]), _number(output["nfiles"])),
            counts=Counts(**{key: _number(counts.get(key, 0)) for key in Counts.__slots__}),
            bytes_down=_number(moved.get("down", 0)),
            bytes_up=_number(moved.get("up", 0)),
            restarts=_number(body.get("restarts", 0)),
            started=_number(body.get("started", 0)),
            finished=_number(body.get("finished", 0)),
            statement=dict(body.get("statement", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise InvalidInputError(f"{name}: not a run record") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    value.encode()  # half of a surrogate pair could not be written again
    return value


def _number(value: Any) -> int:
    # Less than canonical JSON can hold: the next record may add to it.
    if type(value) is not int or abs(value) >= 1 << 52:
        raise ValueError(f"{value!r:.40} is not a count")
    return value


@dataclass(frozen=True, slots=True)
class History:
    """The fold of a run's records. What was cancelled because nobody wanted it any more is no part of it.

    results: name -> record of every result that succeeded. failures: every failed record or failed result.
    """

    results: Mapping[str, RunRecord] = field(default_factory=dict)
    failures: tuple[tuple[str, RunRecord], ...] = ()
    started: tuple[RunRecord, ...] = ()

    @property
    def next_attempt(self) -> int:
        """The highest failed attempt + 1: every controller gets the same number."""
        return max((record.attempt for _, record in self.failures), default=0) + 1

    @property
    def last_failure(self) -> tuple[str, RunRecord] | None:
        """The failure of the highest attempt; of several, one of the user's first, then that with the smallest name."""
        order = lambda item: (-item[1].attempt, item[1].cause == "infrastructure", item[0])  # noqa: E731
        return min(self.failures, key=order, default=None)


def standing(records: Mapping[str, RunRecord]) -> tuple[str, RunRecord]:
    """Of all records of one attempt that which says how it stands: of its end, else of its last start or cancel."""
    ended = sorted(name for name, record in records.items() if record.kind in ("failed", "result"))
    if ended:
        return ended[0], records[ended[0]]
    return max(records.items(), key=lambda item: (item[1].time, item[1].kind == "cancelled", item[0]))


def fold(records: Iterable[tuple[str, RunRecord]]) -> History:
    """The history that the named records tell, whatever their order."""
    found = sorted(records, key=lambda item: item[0])
    return History(
        results={name: r for name, r in found if r.kind == "result" and r.state == "success"},
        failures=tuple((n, r) for n, r in found if r.kind == "failed" or (r.kind == "result" and r.state != "success")),
        started=tuple(r for _, r in found if r.kind == "started"),
    )
