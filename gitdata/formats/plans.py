"""The body of a ``plans/<sha256>`` object: what one job works through (``docs/formats.md`` section 4).

Written by the controller before a job starts, read by every worker of that job. A plan names secrets, never
their values. The reader takes nothing on trust but that the bytes have the digest they were asked for by.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import SEEK_END, BytesIO
from json.encoder import encode_basestring as _text  # what ``join_lines`` escapes, and no more

from gitdata.formats.lines import COMMIT, SHA256, Fields, header, join_lines, split_lines
from gitdata.formats.stages import stage_from_json, stage_json
from gitdata.model import Datum, DatumInput, Entry, Environment, RunPlan


def dump_plan(plan: RunPlan) -> bytes:
    """The plan as canonical JSON lines: a header, then a line a datum, in order."""
    head = {
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
    body = BytesIO(join_lines([head]))
    body.seek(0, SEEK_END)
    body.writelines(line.encode() for line in _lines(plan.datums))  # a plan may have hundreds of MB: never twice
    return body.getvalue()


def _lines(datums: Iterable[Datum]) -> Iterator[str]:
    """The datums, written by hand: there may be a hundred thousand, and one input may stand in all of them."""
    pieces: dict[int, str] = {}
    for datum in datums:
        for one in datum.inputs:
            if id(one) not in pieces:
                entries = ",".join(_entry(e) for e in one.entries)
                pieces[id(one)] = (
                    f'{{"entries":[{entries}],"key":{_text(one.key)},"match":{_text(one.match)},'
                    f'"name":{_text(one.name)}}}'
                )
        yield f'{{"id":"{datum.id}","inputs":[{",".join([pieces[id(one)] for one in datum.inputs])}]}}\n'


def _entry(e: Entry) -> str:
    size = "null" if e.size is None else e.size
    return f'[{_text(e.path)},"{e.oid}",{"true" if e.exec else "false"},{size}]'


def parse_plan(data: bytes, name: str = "plan") -> RunPlan:
    """The plan in ``data``. name: the object, for messages. Raises InvalidInputError."""
    values = split_lines(data, name)
    head = header(values, name, ("plan",))
    environment = head.object("environment")
    shared: dict[DatumInput, DatumInput] = {}  # one that stands in every datum is kept once
    return RunPlan(
        stage=stage_from_json(head.value("stage"), f"{name}: line 1: stage"),
        stage_key=head.text("stage_key", SHA256),
        run_key=head.text("run_key", SHA256),
        execution_key=head.text("execution_key", SHA256),
        environment=Environment(environment.text("id"), environment.text("image")),
        commit=head.text("commit", COMMIT, empty=True),
        commits=head.pairs("commits"),
        datums=tuple(_datum(Fields(v, f"{name}: line {i}"), shared) for i, v in enumerate(values, 2)),
        job=head.text("job"),
    )


def _datum(f: Fields, shared: dict[DatumInput, DatumInput]) -> Datum:
    inputs = (_input(i) for i in f.objects("inputs"))
    return Datum(f.text("id", SHA256), tuple(shared.setdefault(one, one) for one in inputs))


def _input(f: Fields) -> DatumInput:
    entries = tuple(f.entry("entries", path, oid, size, exec) for path, oid, exec, size in f.rows("entries", 4))
    match = f.text("match")
    if not match.startswith("/"):
        raise f.bad("match does not begin with /")
    return DatumInput(f.text("name"), match, entries, f.text("key"))
