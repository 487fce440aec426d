"""The ids on which every reuse rests: sha256 over canonical JSON (RFC 8785) with a version field.

Pure. Written down with golden vectors in ``docs/formats.md``; a change here is a change of format. Everything
hashed is made of objects with ASCII keys, arrays, strings, integers and booleans: for those, ``json.dumps``
with sorted keys is RFC 8785 (a test holds it against the ``rfc8785`` package). Maps with a user's keys are
hashed as sorted pairs.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from json.encoder import encode_basestring as _text  # RFC 8785's escapes, nothing else escaped
from typing import Any

from gitdata.model import DatumInput, Scheduling, Stage


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of ``value``.

    Raises ValueError for what this way of writing would not write as RFC 8785 says, or not the same everywhere: floats,
    integers beyond 2**53, keys that are not ASCII, strings that are not valid Unicode.
    """
    _check(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _check(value: Any) -> None:
    if isinstance(value, float):
        raise ValueError(f"a float has no place in an id: {value!r}")
    if isinstance(value, int) and abs(value) >= 1 << 53:
        raise ValueError(f"{value} is too big for a JSON number")
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str) or not key.isascii():
                raise ValueError(f"a key in an id must be an ASCII string: {key!r}")
            _check(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            _check(inner)


IDENT = "gitdata <gitdata@noreply.invalid>"
"""The name under which gitdata commits: the same everywhere, so that two controllers make the same sha."""


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def stage_key(environment_id: str, stage: Stage) -> str:
    """The id of everything about a stage that decides what a datum's result is."""
    t = stage.transform
    return sha256(
        canonical(
            {
                "v": 1,
                "kind": "stage",
                "environment": environment_id,
                "cmd": t.cmd,
                "stdin": t.stdin,
                "err_cmd": t.err_cmd,
                "err_stdin": t.err_stdin,
                "env": t.env,
                "user": t.user,
                "working_dir": t.working_dir,
                "accept_return_code": sorted(t.accept_return_code),
                "salt": stage.salt,
            }
        )
    )


def datum_id(stage_key: str, inputs: Iterable[DatumInput]) -> str:
    """The id of one datum under one stage key."""
    return datum_id_of(stage_key, [datum_input_bytes(i) for i in inputs])


def datum_input_bytes(one: DatumInput) -> bytes:
    """The canonical JSON of one input of a datum, written by hand: a run may have a hundred thousand of them."""
    entries = ",".join(f'[{_text(e.path)},"{e.oid}",{"true" if e.exec else "false"}]' for e in one.entries)
    return (
        f'{{"entries":[{entries}],"key":{_text(one.key)},"match":{_text(one.match)},"name":{_text(one.name)}}}'
    ).encode()


def datum_id_of(stage_key: str, inputs: Iterable[bytes]) -> str:
    """The id of a datum from the ``datum_input_bytes`` of its inputs."""
    return sha256(b'{"inputs":[%b],"kind":"datum","stage_key":"%b","v":1}' % (b",".join(inputs), stage_key.encode()))


def run_key(stage_key: str, datum_ids: Iterable[str]) -> str:
    """The id of a stage over a set of datums: the same key anywhere is the same result."""
    # By hand, as the lines of datums: ids are hex.
    ids = '","'.join(sorted(datum_ids))
    datums = f'["{ids}"]' if ids else "[]"
    return sha256(f'{{"datums":{datums},"kind":"run","stage_key":"{stage_key}","v":1}}'.encode())


def execution_key(run_key: str, stage: Stage) -> str:
    """The run key and what a user can change to make a failed run worth another attempt."""
    body = {
        "v": 1,
        "kind": "execution",
        "run_key": run_key,
        "datum_tries": stage.datum_tries,
        "datum_timeout_ms": stage.datum_timeout_ms,
        "job_timeout_ms": stage.job_timeout_ms,
        "resources": stage.resources,
        "secrets": sorted([s.name, s.key, s.env_var, s.mount_path] for s in stage.transform.secrets),
    }
    if stage.scheduling != Scheduling():
        body["scheduling"] = asdict(stage.scheduling)
    return sha256(canonical(body))


def message_id(target: str, message: Any) -> str:
    """The id of one message to one target: the same words to the same place are sent once."""
    return sha256(canonical({"v": 1, "kind": "message", "target": target, "message": message}))


def job_name(stage: str, remote_url: str, zone: str, run_key: str, attempt: int) -> str:
    """The deterministic name of one attempt at a run, a DNS label of at most 63 characters."""
    safe = "".join(c if c.isascii() and c.isalnum() else "-" for c in stage.lower())[:30].strip("-") or "stage"
    owner = sha256(canonical({"v": 1, "kind": "job", "remote": remote_url, "zone": zone, "run_key": run_key}))
    return f"{safe}-{owner[:10]}-{attempt}"


def run_of_job(name: str) -> str:
    """What the names of all attempts at a run have in common: stages of several names may share it."""
    return name.rpartition("-")[0].rpartition("-")[2]
