"""Requests: what a person asks of the controller, one small blob under ``refs/gitdata/requests/<its
sha256>``. Pure.

Written by ``job retry``, ``job cancel``, ``images refresh``, ``notify resend`` and ``notify release``, read by the
controller, which deletes the ref when it has done what was asked. Anybody who may push can write one: nothing in it
is trusted beyond its meaning.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias, get_args

from gitdata.errors import InvalidInputError
from gitdata.identity import canonical, sha256

Kind: TypeAlias = Literal["retry", "resend", "release", "cancel", "refresh"]

OF_A_COMMIT = ("retry", "refresh", "cancel")  # fulfilled by the publication of the branch's outputs
OF_A_MESSAGE = ("resend", "release")  # fulfilled with a move of the outbox

PREFIX = "refs/gitdata/requests/"
SIZE_LIMIT = 4096


@dataclass(frozen=True, slots=True)
class Request:
    """target: a job, a stage ("" for all) or a message id.

    branch: "" where it does not matter. by: who asks. time: milliseconds.
    """

    kind: Kind
    target: str
    branch: str
    by: str
    time: int

    @property
    def id(self) -> str:
        return sha256(dump_request(self))

    @property
    def ref(self) -> str:
        return PREFIX + self.id


def dump_request(request: Request) -> bytes:
    """The canonical bytes of the blob; their sha256 is the request's id."""
    return canonical({"v": 1, **asdict(request)})


def parse_request(data: bytes, name: str) -> Request:
    """A request from its blob. Raises InvalidInputError."""
    if len(data) > SIZE_LIMIT:
        raise InvalidInputError(f"{name}: {len(data)} bytes are too much for a request")
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name}: not JSON") from error
    if not isinstance(value, dict) or value.get("v") != 1:
        raise InvalidInputError(f"{name}: not a request of a known version", hint="update gitdata")
    texts = {key: value.get(key) for key in ("target", "branch", "by")}
    fits = all(isinstance(text, str) and text.isprintable() for text in texts.values())
    time = value.get("time")
    fits &= type(time) is int and 0 <= time < 1 << 53  # what canonical JSON can hold: the id is made of it
    if value.get("kind") not in get_args(Kind) or not fits:
        raise InvalidInputError(f"{name}: not a request", hint=f"kinds: {', '.join(get_args(Kind))}")
    return Request(
        kind=value["kind"],
        target=value["target"],
        branch=value["branch"],
        by=value["by"],
        time=value["time"],
    )
