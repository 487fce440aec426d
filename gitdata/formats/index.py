"""The datum index, ``docs/formats.md`` section 5: segments that workers flush, packs that the controller makes.

Workers write segments, ``collect`` writes packs, ``facts`` reads both before planning. An object is only ever
added; ``fold_index`` says what all of them together mean, in whatever order they were read. Nothing here
knows whether the bytes of an output still exist: the caller proves that and may refuse a result (``usable``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from gitdata.formats.lines import OID, SHA256, Fields, header, join_lines, split_lines
from gitdata.identity import sha256
from gitdata.model import DatumResult, Failure, FailureClass

NAME = re.compile(r"(?:seg|pack)-[0-9a-f]{64}")
MAX_MESSAGE = 4000

_FAILURES = ("user", "timeout", "output", "infrastructure")


@dataclass(frozen=True, slots=True)
class IndexObject:
    """One segment or pack. replaces: names whose results a pack took over (empty for a segment)."""

    kind: Literal["segment", "pack"]
    stage_key: str
    replaces: tuple[str, ...]
    results: tuple[DatumResult, ...]


def object_name(data: bytes) -> str:
    """The name under which a dumped segment or pack is stored: ``seg-<sha256>`` or ``pack-<sha256>``."""
    kind = "pack" if b'"kind":"pack"' in data.split(b"\n", 1)[0] else "seg"
    return f"{kind}-{sha256(data)}"


def dump_segment(stage_key: str, results: Iterable[DatumResult]) -> bytes:
    """What a worker flushes: results in the order of their datum ids."""
    return _dump({"v": 1, "kind": "segment", "stage_key": stage_key}, results)


def dump_pack(stage_key: str, results: Iterable[DatumResult], replaces: Iterable[str]) -> bytes:
    """What replaces the objects named in ``replaces``, whose results it must contain."""
    return _dump({"v": 1, "kind": "pack", "stage_key": stage_key, "replaces": sorted(set(replaces))}, results)


def _dump(head: dict[str, Any], results: Iterable[DatumResult]) -> bytes:
    lines = (_result_json(r) for r in sorted(results, key=lambda r: r.datum))
    return join_lines(_chain(head, lines))


def _chain(head: dict[str, Any], rest: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    yield head
    yield from rest


def _result_json(r: DatumResult) -> dict[str, Any]:
    line: dict[str, Any] = {
        "datum": r.datum,
        "fetched": sorted(r.fetched),
        "tries": r.tries,
        "started": r.started,
        "finished": r.finished,
        "log": r.log,
        "job": r.job,
        "recovered": r.recovered,
    }
    if r.failure is None:
        line["out"] = [(e.path, e.oid, e.sha256, e.size, e.exec) for e in sorted(r.outputs, key=lambda e: e.path)]
    else:
        line["failure"] = {
            "kind": r.failure.kind,
            "message": _printable(r.failure.message),
            "exit_code": r.failure.exit_code,
        }
    return line


def _printable(message: str) -> str:
    # A command's last words may hold bytes that are no text, and no limit binds them.
    return message[:MAX_MESSAGE].encode(errors="replace").decode()


def parse_index(data: bytes, name: str = "datum index") -> IndexObject:
    """The segment or pack in ``data``. name: the object, for messages. Raises InvalidInputError."""
    values = split_lines(data, name)
    head = header(values, name, ("segment", "pack"))
    kind = cast(Literal["segment", "pack"], head.text("kind"))
    replaces = head.texts("replaces") if kind == "pack" else ()
    if not all(NAME.fullmatch(replaced) for replaced in replaces):
        raise head.bad("replaces names something that is neither a segment nor a pack")
    results = tuple(_result(Fields(v, f"{name}: line {i}")) for i, v in enumerate(values, 2))
    return IndexObject(kind, head.text("stage_key", SHA256), replaces, results)


def _result(f: Fields) -> DatumResult:
    failure = _failure(f.object("failure")) if f.has("failure") else None
    rows = f.rows("out", 5) if failure is None else iter(())
    outputs = tuple(f.entry("out", path, oid, size, exec, digest) for path, oid, digest, size, exec in rows)
    return DatumResult(
        datum=f.text("datum", SHA256),
        outputs=outputs,
        failure=failure,
        recovered=f.flag("recovered"),
        tries=f.number("tries"),
        started=f.number("started"),
        finished=f.number("finished"),
        fetched=tuple(
            (
                f.check_text("fetched", oid, OID),
                f.check_text("fetched", digest, SHA256),
                f.check_number("fetched", size),
            )
            for oid, digest, size in f.rows("fetched", 3)
        ),
        log=f.text("log", SHA256, empty=True),
        job=f.text("job"),
    )


def _failure(f: Fields) -> Failure:
    kind = f.text("kind")
    if kind not in _FAILURES:
        raise f.bad(f"unknown class of failure {kind!r:.40}")
    code = f.value("exit_code")
    if code is not None and type(code) is not int:
        raise f.bad("exit_code is not an integer")
    return Failure(cast(FailureClass, kind), f.text("message"), code)


def fold_index(
    objects: Mapping[str, IndexObject], usable: Callable[[DatumResult], bool] | None = None
) -> dict[str, DatumResult]:
    """What the objects, by name, say of each datum together: the first of its ``ranked`` results."""
    return {datum: results[0] for datum, results in ranked(objects, usable).items()}


def ranked(
    objects: Mapping[str, IndexObject], usable: Callable[[DatumResult], bool] | None = None
) -> dict[str, list[DatumResult]]:
    """Every result of each datum, the one that counts first; the next counts where its bytes are gone.

    A success, then a recovered datum, then a failure; of equals the one in a pack, then the one in the object with the
    smaller name. ``usable`` refuses results: failures of another attempt (``job``), say.
    """
    replaced = {name for o in objects.values() for name in o.replaces}
    found: dict[str, list[DatumResult]] = {}
    ordered = sorted((n for n in objects if n not in replaced), key=lambda n: (objects[n].kind != "pack", n))
    for name in ordered:
        for result in objects[name].results:
            if usable is None or usable(result):
                found.setdefault(result.datum, []).append(result)
    for results in found.values():
        if len(results) > 1:
            results.sort(key=_rank)
    return found


def _rank(result: DatumResult) -> int:
    return 2 if result.failure else 1 if result.recovered else 0


def choose_merge(sizes: Sequence[int]) -> int:
    """How many of the packs, whose sizes are given newest first, become one; 1: the newest stays alone.

    While the newest is at least half as big as the one before, the two become one. So the number of packs stays
    logarithmic, and a byte is seldom written again.
    """
    if not sizes:
        return 0
    count, size = 1, sizes[0]
    while count < len(sizes) and 2 * size >= sizes[count]:
        size += sizes[count]
        count += 1
    return count
