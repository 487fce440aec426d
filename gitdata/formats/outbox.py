"""The outbox: one file per message and what may happen to it. Pure.

``controller/notify`` enters messages in the publishing push and moves them with the functions below; every
move is a new value, and a move that is not allowed raises. A message's id is the sha256 of its target and
words: never of where it came from, so that a new image does not mail old news.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

from gitdata.errors import ConflictError, InvalidInputError
from gitdata.identity import canonical, message_id

State: TypeAlias = Literal["pending", "held", "claimed", "sent", "refused"]

SIZE_LIMIT = 262_144  # bytes of a text of a message; a file holds two at most
RECIPIENTS = 100
IN_FLIGHT_MS = 120_000  # a claim that is younger may still be under way: no resend
_UNKNOWN_PAUSE_MS = 300_000
_BACKOFF_MS = (30_000, 60_000, 300_000, 900_000)


@dataclass(frozen=True, slots=True)
class Message:
    """One message. target: how it is sent (``sendgrid``). message: what ``parse_message_file`` returned.

    stage, commit, time: where it first came from; time and since in milliseconds. nonce: whose claim it is.
    provider: the provider's id. reason: why it was refused; tries: how often; final: sent again only by
    request.
    """

    id: str
    state: State
    target: str
    message: Mapping[str, Any]
    stage: str
    commit: str
    time: int
    since: int
    nonce: str = ""
    provider: str = ""
    reason: str = ""
    tries: int = 0
    final: bool = False


def new_message(target: str, message: Mapping[str, Any], *, stage: str, commit: str, time: int) -> Message:
    """A pending message; ``time`` is the source commit's, so that two controllers write the same bytes."""
    return Message(message_id(target, message), "pending", target, message, stage, commit, time, time)


def message_path(id: str) -> str:
    """Where a message lies in the outbox tree."""
    return f"{id[:2]}/{id[2:]}"


def dump_message(message: Message) -> bytes:
    """The canonical bytes of a message's file; fields that say nothing are left out."""
    body: dict[str, Any] = {
        "v": 1,
        "state": message.state,
        "target": message.target,
        "message": dict(message.message),
        "stage": message.stage,
        "commit": message.commit,
        "time": message.time,
        "since": message.since,
    }
    optional = {name: getattr(message, name) for name in ("nonce", "provider", "reason", "tries", "final")}
    return canonical(body | {name: value for name, value in optional.items() if value}) + b"\n"


def parse_message(data: bytes, name: str) -> Message:
    """A message from its file. Raises InvalidInputError: not ours, a newer version, damaged."""
    value = _load(data, name)
    if value.get("v") != 1:
        raise InvalidInputError(f"{name}: version {value.get('v')!r} of an outbox entry", hint="update gitdata")
    body = value.get("message")
    texts = {key: value.get(key, "") for key in ("target", "stage", "commit", "nonce", "provider", "reason")}
    numbers = {key: value.get(key, 0) for key in ("time", "since", "tries")}
    if (
        value.get("state") not in get_args(State)
        or not isinstance(body, dict)
        or not all(isinstance(text, str) for v in body.values() for text in (v if isinstance(v, list) else [v]))
        or not all(isinstance(text, str) for text in texts.values())
        # Less than canonical JSON can hold: moves add to them.
        or not all(type(number) is int and 0 <= number < 1 << 52 for number in numbers.values())
    ):
        raise InvalidInputError(f"{name}: not an outbox entry")
    try:
        "".join(texts.values()).encode()  # half of a surrogate pair could not be written again
        id = message_id(texts["target"], body)
    except ValueError as error:
        raise InvalidInputError(f"{name}: {error}") from error
    return Message(id=id, state=value["state"], message=body, final=value.get("final") is True, **texts, **numbers)


# ------------------------------------------------------------------------------------------------------ moves


def claimable(message: Message, now: int) -> bool:
    """Whether it may be sent now: pending, or refused long enough ago."""
    if message.state == "refused":
        return not message.final and not _waits(message, due(message) - message.since, now)
    return message.state == "pending"


def due(message: Message) -> int:
    """When a refused message is tried again."""
    return message.since + _BACKOFF_MS[min(max(message.tries, 1), len(_BACKOFF_MS)) - 1]


def paused(message: Message, now: int) -> bool:
    """Whether this one shows that the mail server is in trouble, so that others had better wait a little."""
    if message.state == "refused":
        return not message.final and _waits(message, _BACKOFF_MS[0], now)
    return message.state == "claimed" and bool(message.reason) and _waits(message, _UNKNOWN_PAUSE_MS, now)


def _waits(message: Message, pause: int, now: int) -> bool:
    """Whether a pause goes on. A time that is still to come is of a clock that was ahead: it delays nothing."""
    return 0 <= now - message.since < pause


def shown_state(message: Message, now: int) -> str:
    """The state for people: a claim without an outcome is ``unconfirmed``."""
    lost = message.state == "claimed" and (message.reason or abs(now - message.since) >= IN_FLIGHT_MS)
    return "unconfirmed" if lost else message.state


def claim(message: Message, nonce: str, now: int) -> Message:
    """About to be sent by the process with this nonce; to be pushed before the call."""
    if not claimable(message, now) or not nonce:
        raise _illegal(message, "claimed")
    return replace(message, state="claimed", nonce=nonce, provider="", reason="", since=now)


def unclaim(message: Message, nonce: str, now: int) -> Message:
    """Given back by the process that claimed it and knows that it never made the call."""
    _owned(message, nonce, "given back")
    return replace(message, state="pending", nonce="", since=now)


def sent(message: Message, nonce: str, provider: str, now: int) -> Message:
    """Accepted by the provider, under the provider's id."""
    _owned(message, nonce, "sent")
    return replace(message, state="sent", nonce="", provider=provider, since=now)


def unanswered(message: Message, nonce: str, reason: str, now: int) -> Message:
    """The call was made and nobody can tell its outcome: still claimed, and said so."""
    _owned(message, nonce, "left open")
    return replace(message, reason=reason[:500], since=now)


def refused(message: Message, nonce: str, reason: str, now: int, *, final: bool = False) -> Message:
    """Provably not accepted. final: trying again as it is would be refused again."""
    _owned(message, nonce, "refused")
    tries = message.tries + 1
    return replace(message, state="refused", nonce="", reason=reason[:500], tries=tries, final=final, since=now)


def released(message: Message, now: int) -> Message:
    """A person asked for a held message to go."""
    if message.state != "held":
        raise _illegal(message, "released")
    return replace(message, state="pending", since=now)


def resend(message: Message, now: int) -> Message:
    """A person asked for it to be sent (again): sent, refused, or claimed without an outcome."""
    if message.state not in ("sent", "refused", "claimed"):
        raise _illegal(message, "sent again")
    if shown_state(message, now) == "claimed":
        raise ConflictError(f"message {message.id[:12]} is being sent", transient=True)
    return replace(message, state="pending", nonce="", provider="", reason="", tries=0, final=False, since=now)


def _owned(message: Message, nonce: str, move: str) -> None:
    if message.state != "claimed" or message.nonce != nonce or not nonce:
        raise _illegal(message, move)


def _illegal(message: Message, move: str) -> ConflictError:
    return ConflictError(f"message {message.id[:12]} is {message.state} and cannot be {move}")


# ---------------------------------------------------------------------------------------------- message files

_ADDRESS = re.compile(r"[^\s@<>()\[\],;:\\\"]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
_NAMED = re.compile(r"(?P<name>[^<>\"@,;\\]{1,100}) <(?P<address>[^<>]+)>")


def parse_message_file(data: bytes, name: str) -> dict[str, Any]:
    """A message as a stage wrote it: ``from``, ``to`` (made a list), ``subject``, ``text``, perhaps ``html``.

    The bytes come from a user's command: anything that could put a header of its own into a mail is refused.
    Raises InvalidInputError naming the file and the field.
    """
    value = _load(data, name)
    unknown = sorted(set(value) - {"from", "to", "subject", "text", "html"})
    if unknown:
        raise InvalidInputError(f"{name}: a message has no field {unknown[0]!r}", hint=_FIELDS)
    to = value.get("to")
    recipients = [to] if isinstance(to, str) else to
    if not isinstance(recipients, list) or not 1 <= len(recipients) <= RECIPIENTS:
        raise InvalidInputError(f'{name}: "to" must be an address or a list of at most {RECIPIENTS}', hint=_FIELDS)
    made: dict[str, Any] = {
        "from": _address(value.get("from"), name, "from"),
        "to": list(dict.fromkeys(_address(one, name, "to") for one in recipients)),
        "subject": _line(value.get("subject"), name, "subject", 900),
        "text": _body(value.get("text"), name, "text"),
    }
    if "html" in value:
        made["html"] = _body(value["html"], name, "html")
    return made


def check_size(size: int, name: str) -> None:
    """Raises InvalidInputError if a file of so many bytes is more than a message: then nobody needs to read it."""
    if size > 2 * SIZE_LIMIT:
        raise InvalidInputError(f"{name}: {size} bytes are too much for a message", hint="send a link instead")


def split_address(text: str) -> tuple[str, str]:
    """(name or "", address) of a checked address."""
    named = _NAMED.fullmatch(text)
    return (named["name"].strip(), named["address"]) if named else ("", text)


_FIELDS = 'a message is JSON: {"from", "to", "subject", "text"} and perhaps "html", all text'


def _load(data: bytes, name: str) -> dict[str, Any]:
    check_size(len(data), name)
    try:
        value = json.loads(data)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InvalidInputError(f"{name}: not JSON: {error.msg} ({where})", hint=_FIELDS) from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name}: not UTF-8 (byte {error.start})", hint=_FIELDS) from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name}: not JSON: a number is too long, or it is nested too deeply") from error
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name}: not a JSON object", hint=_FIELDS)
    return value


def _address(value: Any, name: str, field: str) -> str:
    text = _line(value, name, field, 320)
    if not _ADDRESS.fullmatch(split_address(text)[1]):
        raise InvalidInputError(f'{name}: "{field}" is not an e-mail address: {text!r}', hint=_FIELDS)
    return text


def _line(value: Any, name: str, field: str, limit: int) -> str:
    text = _body(value, name, field)
    if not text.strip() or len(text) > limit or any(ord(c) < 32 or c in "\x7f\x85\u2028\u2029" for c in text):
        raise InvalidInputError(f'{name}: "{field}" must be one line of at most {limit} characters', hint=_FIELDS)
    return text


def _body(value: Any, name: str, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInputError(f'{name}: "{field}" is missing or not text', hint=_FIELDS)
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError(f'{name}: "{field}" is not valid Unicode') from error
    if size > SIZE_LIMIT or "\0" in value:
        raise InvalidInputError(f'{name}: "{field}" is too long or binary', hint="send a link instead")
    return value
