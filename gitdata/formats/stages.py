"""A normalised stage as JSON and back, for plans and for programs that want to read it. Strict, and light to
import.

Not a spec file: those are people's and are read by ``gitdata.formats.spec``. Everything is an integer, a
text, an array of pairs or an object with fixed keys, so that it can stand in canonical JSON.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gitdata.errors import InvalidInputError
from gitdata.formats.lines import Fields
from gitdata.model import (
    CrossInput,
    Input,
    Notify,
    Parallelism,
    PfsInput,
    Scheduling,
    Secret,
    Stage,
    Toleration,
    Transform,
    UnionInput,
)

_MAX_DEPTH = 50


def stage_json(stage: Stage) -> dict[str, Any]:
    """The stage as a JSON object; ``stage_from_json`` gives an equal stage back."""
    t = stage.transform
    # Where a stage says nothing of it, a plan has the bytes that it had before there was such a field.
    scheduling = {} if stage.scheduling == Scheduling() else {"scheduling": asdict(stage.scheduling)}
    return scheduling | {
        "name": stage.name,
        "transform": {
            "image": t.image,
            "cmd": list(t.cmd),
            "stdin": None if t.stdin is None else list(t.stdin),
            "err_cmd": list(t.err_cmd),
            "err_stdin": None if t.err_stdin is None else list(t.err_stdin),
            "env": [list(pair) for pair in t.env],
            "secrets": [
                {"name": s.name, "key": s.key, "env_var": s.env_var, "mount_path": s.mount_path} for s in t.secrets
            ],
            "accept_return_code": list(t.accept_return_code),
            "working_dir": t.working_dir,
            "user": t.user,
        },
        "input": _input_json(stage.input),
        "parallelism": {
            "constant": stage.parallelism.constant,
            "coefficient_milli": stage.parallelism.coefficient_milli,
        },
        "datum_tries": stage.datum_tries,
        "datum_timeout_ms": stage.datum_timeout_ms,
        "job_timeout_ms": stage.job_timeout_ms,
        "salt": stage.salt,
        "description": stage.description,
        "resources": [list(pair) for pair in stage.resources],
        "notify": None
        if stage.notify is None
        else {"glob": stage.notify.glob, "via": stage.notify.via, "hold_over": stage.notify.hold_over},
        "file": stage.file,
        "warnings": list(stage.warnings),
    }


def _input_json(expression: Input) -> dict[str, Any]:
    if isinstance(expression, PfsInput):
        e = expression
        return {"pfs": {"repo": e.repo, "glob": e.glob, "name": e.name, "branch": e.branch}}
    kind = "cross" if isinstance(expression, CrossInput) else "union"
    return {kind: [_input_json(inner) for inner in expression.inputs]}


def stage_from_json(raw: Any, where: str = "stage") -> Stage:
    """The stage that ``stage_json`` wrote. Raises InvalidInputError."""
    f = Fields(raw, where)
    parallelism = f.object("parallelism")
    coefficient = parallelism.value("coefficient_milli")
    return Stage(
        name=f.text("name"),
        transform=_transform(f.object("transform")),
        input=_input(f.object("input"), 0),
        parallelism=Parallelism(
            parallelism.number("constant"),
            None if coefficient is None else parallelism.number("coefficient_milli"),
        ),
        datum_tries=f.number("datum_tries"),
        datum_timeout_ms=f.number("datum_timeout_ms"),
        job_timeout_ms=f.number("job_timeout_ms"),
        salt=f.text("salt"),
        description=f.text("description"),
        resources=f.pairs("resources"),
        notify=None if f.value("notify") is None else _notify(f.object("notify")),
        file=f.text("file"),
        warnings=f.texts("warnings"),
        scheduling=_scheduling(f.object("scheduling")) if f.has("scheduling") else Scheduling(),
    )


def _scheduling(f: Fields) -> Scheduling:
    return Scheduling(
        node_selector=f.pairs("node_selector"),
        tolerations=tuple(
            Toleration(
                t.text("key"),
                t.text("operator"),
                t.text("value"),
                t.text("effect"),
                None if t.value("seconds") is None else t.number("seconds"),
            )
            for t in f.objects("tolerations")
        ),
        priority_class=f.text("priority_class"),
        pull_secrets=f.texts("pull_secrets"),
        service_account=f.text("service_account"),
        network=f.text("network"),
    )


def _transform(f: Fields) -> Transform:
    codes = f.array("accept_return_code")
    if not all(type(code) is int for code in codes):
        raise f.bad("accept_return_code is not an array of integers")
    return Transform(
        image=f.text("image"),
        cmd=f.texts("cmd"),
        stdin=None if f.value("stdin") is None else f.texts("stdin"),
        err_cmd=f.texts("err_cmd"),
        err_stdin=None if f.value("err_stdin") is None else f.texts("err_stdin"),
        env=f.pairs("env"),
        secrets=tuple(
            Secret(s.text("name"), s.text("key"), s.text("env_var"), s.text("mount_path")) for s in f.objects("secrets")
        ),
        accept_return_code=tuple(codes),
        working_dir=f.text("working_dir"),
        user=f.text("user"),
    )


def _input(f: Fields, depth: int) -> Input:
    if depth > _MAX_DEPTH:
        raise InvalidInputError(f"inputs are nested more than {_MAX_DEPTH} deep")
    if f.has("pfs"):
        pfs = f.object("pfs")
        return PfsInput(pfs.text("repo"), pfs.text("glob"), pfs.text("name"), pfs.text("branch"))
    kind = "cross" if f.has("cross") else "union"
    inner = tuple(_input(item, depth + 1) for item in f.objects(kind))
    return CrossInput(inner) if kind == "cross" else UnionInput(inner)


def _notify(f: Fields) -> Notify:
    return Notify(f.text("glob"), f.text("via"), f.number("hold_over"))
