"""The body of a ``plans/<sha256>`` object: what one job works through (``docs/formats.md`` section 4).

Written by the controller before a job starts, read by every worker of that job. A plan names secrets, never
their values. The reader takes nothing on trust but that the bytes have the digest they were asked for by.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitdata.formats.lines import COMMIT, SHA256, Fields, header, join_lines, split_lines
from gitdata.formats.stages import stage_from_json, stage_json
from gitdata.model import Datum, DatumInput, Environment, RunPlan


def dump_plan(plan: RunPlan) -> bytes:
    """The plan as canonical JSON lines: a header, then a line a datum, in order."""
    return join_lines(_objects(plan))


def _objects(plan: RunPlan) -> Iterator[dict[str, Any]]:
    yield {
        "v": 1,
        "kind": "plan",
        "stage": stage_json(plan.stage),
        "stage_key": plan.stage_key,
        "run_key": plan.run_key,
        "execution_key": plan.execution_key,
        "environment": {"id": plan.environment.id, "image": plan.environment.image},
        "commit": plan.commit,
        "commits": plan.commits,
        "job": plan.job,
    }
    for datum in plan.datums:
        yield {
            "id": datum.id,
            "inputs": [
                {
                    "name": i.name,
                    "match": i.match,
                    "key": i.key,
                    "entries": [(e.path, e.oid, e.exec, e.size) for e in i.entries],
                }
                for i in datum.inputs
            ],
        }


def parse_plan(data: bytes, name: str = "plan") -> RunPlan:
    """The plan in ``data``. name: the object, for messages. Raises InvalidInputError."""
    values = split_lines(data, name)
    head = header(values, name, ("plan",))
    environment = head.object("environment")
    return RunPlan(
        stage=stage_from_json(head.value("stage"), f"{name}: line 1: stage"),
        stage_key=head.text("stage_key", SHA256),
        run_key=head.text("run_key", SHA256),
        execution_key=head.text("execution_key", SHA256),
        environment=Environment(environment.text("id"), environment.text("image")),
        commit=head.text("commit", COMMIT, empty=True),
        commits=head.pairs("commits"),
        datums=tuple(_datum(Fields(v, f"{name}: line {i}")) for i, v in enumerate(values[1:], 2)),
        job=head.text("job"),
    )


def _datum(f: Fields) -> Datum:
    return Datum(f.text("id", SHA256), tuple(_input(i) for i in f.objects("inputs")))


def _input(f: Fields) -> DatumInput:
    entries = tuple(f.entry("entries", path, oid, size, exec) for path, oid, exec, size in f.rows("entries", 4))
    match = f.text("match")
    if not match.startswith("/"):
        raise f.bad("match does not begin with /")
    return DatumInput(f.text("name"), match, entries, f.text("key"))
