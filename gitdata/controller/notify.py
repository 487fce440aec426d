"""Notify, the last step: messages enter the outbox with the publishing push, and leave it once.

``publish`` calls ``enter`` and pushes the commit together with the outputs; the loop calls ``deliver`` after
it, and ``fulfil`` where requests are open. Every move of a message is a fast-forward push of the outbox, so
of two controllers one wins. A call is made only for a claim that is on the remote under our own nonce; where
nobody can tell what became of a call, the message is never sent again unless a person asks for it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from uuid import uuid4

from gitdata.backends.git import Git
from gitdata.backends.mail import Mailer, MailRefused, MailUnknown
from gitdata.controller.journal import Journal, abandoned, new_journal
from gitdata.controller.published import check_side
from gitdata.controller.requests import open_requests
from gitdata.controller.side_commits import commit_files, gitdata_ident
from gitdata.errors import ConflictError, InvalidInputError, RemoteError
from gitdata.formats import outbox
from gitdata.formats.outbox import Message, State, dump_message, message_path, parse_message
from gitdata.formats.requests import OF_A_MESSAGE, Request

OUTBOX_REF = "refs/gitdata/outbox"
_FETCHED = "refs/gitdata/fetched/outbox"
_TRIES = 30  # pushes until we say that the outbox is too busy
_CHUNK = 1000


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """sent: by this call. The rest: what the outbox holds now. problems: lines for a person.

    tip: the outbox that was looked at last. quiet: nothing in it waits for this process, nor is being sent.
    more: the next call has something to send at once.
    """

    sent: tuple[Message, ...] = ()
    pending: tuple[Message, ...] = ()
    held: tuple[Message, ...] = ()
    unconfirmed: tuple[Message, ...] = ()
    refused: tuple[Message, ...] = ()
    claimed: tuple[Message, ...] = ()
    problems: tuple[str, ...] = ()
    tip: str | None = None
    quiet: bool = False
    more: bool = False


@dataclass(slots=True)
class _Change:
    """What one push shall do: messages in their new state, request refs to delete."""

    messages: list[Message] = field(default_factory=list)
    fulfilled: list[Request] = field(default_factory=list)


# ------------------------------------------------------------------------------------------------- the outbox


def enter(git: Git, tip: str | None, messages: Sequence[Message], *, hold_over: int, ident: str) -> str | None:
    """The outbox commit with those of ``messages`` (``outbox.new_message``) that it does not hold yet.

    tip: the fetched tip, returned unchanged if nothing is new. More than ``hold_over`` new ones at once are
    entered as held. The same arguments give the same sha. ident: a raw ``name <email> seconds zone`` line.
    """
    wanted = {message_path(m.id): m for m in reversed(messages)}
    paths = list(wanted) if tip else []
    present = {
        entry.path for at in range(0, len(paths), _CHUNK) for entry in git.ls_tree(tip or "", *paths[at : at + _CHUNK])
    }
    new = {path: m for path, m in wanted.items() if path not in present}
    if not new:
        return tip
    state: State = "held" if len(new) > hold_over else "pending"
    files = {path: dump_message(replace(m, state=state)) for path, m in new.items()}
    return commit_files(git, tip, files, ident=ident, message="gitdata: outbox\n")


def fetch_outbox(git: Git, url: str) -> str | None:
    """The outbox's tip on the remote, all its objects here. Raises RemoteError, ConflictError (it is no outbox)."""
    for attempt in range(_TRIES):
        tip = git.ls_remote(url, OUTBOX_REF).get(OUTBOX_REF)
        # Only the ref says that everything is here: a fetch under way, or killed, leaves a commit without its tree.
        if tip is None or git.refs(_FETCHED).get(_FETCHED) == tip:
            check_side(git, OUTBOX_REF, tip)
            return tip
        try:
            git.fetch(url, f"+{OUTBOX_REF}:{_FETCHED}")
        except RemoteError:
            if attempt == 5:  # until then another process of this clone may have held the ref's lock
                raise
            time.sleep(random.uniform(0, 0.05 * 2**attempt))
    raise _too_busy()


def read_outbox(git: Git, tip: str | None, problems: list[str] | None = None) -> dict[str, Message]:
    """All messages of the outbox by id.

    What cannot be read is left out, with a line for each in ``problems``.
    """
    messages, unreadable = _parsed(git, tip) if tip else ((), ())
    if problems is not None:
        problems.extend(unreadable)
    return {m.id: m for m in messages}


@lru_cache(maxsize=1)  # a commit never changes, and the loop asks for the same one at every turn
def _parsed(git: Git, tip: str) -> tuple[tuple[Message, ...], tuple[str, ...]]:
    entries = git.ls_tree(tip)
    bodies = git.blobs(entry.sha for entry in entries)
    messages, problems = [], []
    for entry in entries:
        try:
            message = parse_message(bodies.get(entry.sha, b""), f"outbox {entry.path}")
        except InvalidInputError as error:
            problems.append(error.message)
            continue
        if message_path(message.id) == entry.path:
            messages.append(message)
        else:
            problems.append(f"outbox {entry.path}: the name is not the message's id")
    return tuple(messages), tuple(problems)


def _push(git: Git, url: str, change: Callable[[Mapping[str, Message]], _Change], now: int) -> None:
    """Make ``change`` from the newest outbox and push it; when another was first, again from what is there then."""
    failure: RemoteError | None = None
    for attempt in range(_TRIES):
        tip = fetch_outbox(git, url)
        made = change(read_outbox(git, tip))
        updates: dict[str, str | None] = {request.ref: None for request in made.fulfilled}
        if made.messages:
            files = {message_path(m.id): dump_message(m) for m in made.messages}
            ident = gitdata_ident(now // 1000)
            updates[OUTBOX_REF] = commit_files(git, tip, files, ident=ident, message="gitdata: outbox\n")
        if not updates:
            return
        try:
            if git.push(url, updates).accepted:
                return
        except RemoteError as error:
            if failure is not None:
                raise
            failure = error  # it may have arrived all the same: look once more
        time.sleep(random.uniform(0, min(2.0, 0.05 * 2**attempt)))
    raise _too_busy()


def _too_busy() -> RemoteError:
    return RemoteError("the outbox is too busy: others are quicker every time", transient=True)


# ---------------------------------------------------------------------------------------------------- sending


def deliver(
    git: Git,
    url: str,
    mailer: Mailer | None,
    *,
    now: int,
    nonce: str,
    limit: int = 20,
    batches: int = 4,
    stopping: Callable[[], bool] = lambda: False,
) -> DeliveryReport:
    """Send what is due and say what the outbox holds.

    mailer: None where nothing can be sent (no key). now: milliseconds. nonce: random, of this process. limit:
    messages in one claim: so many may be left unconfirmed when this machine dies. batches: claims in one call; with
    ten seconds for each message, a probe's patience must outlast them. stopping: whether to send no more; what was
    claimed goes back. Raises RemoteError where git cannot be reached; nothing is lost by that, the next call goes on.
    """
    sent: list[Message] = []
    problems: list[str] = []
    for journal in abandoned(git):
        _settle(git, url, journal, now)
    fulfil(git, url, now=now, problems=problems)
    more = False
    while mailer and not stopping() and _due(read_outbox(git, fetch_outbox(git, url)), mailer.target, now):
        if batches == 0:
            more = True
            break
        batches -= 1
        won, batch, problem = _batch(git, url, mailer, now, f"{nonce}-{uuid4().hex[:8]}", limit, stopping)
        sent.extend(batch)
        if problem:
            problems.append(problem)
        if problem or not won:  # or others are quicker: what they leave is for the next call
            break
    tip = fetch_outbox(git, url)
    report = _report(read_outbox(git, tip, problems), sent, problems, now)
    later = [*report.pending, *(message for message in report.refused if not message.final)]
    waits = any(abandoned(git)) or report.claimed or (mailer is not None and later)
    return replace(report, tip=tip, quiet=not waits, more=more)


def _due(messages: Mapping[str, Message], target: str, now: int) -> list[Message]:
    """What may be sent now, in order: fresh messages before refused ones, so that one bad message stops no other."""
    mine = [m for m in messages.values() if m.target == target]
    if any(outbox.paused(m, now) for m in mine):
        return []
    return sorted((m for m in mine if outbox.claimable(m, now)), key=lambda m: (m.tries, m.time, m.id))


def _batch(
    git: Git, url: str, mailer: Mailer, now: int, nonce: str, limit: int, stopping: Callable[[], bool]
) -> tuple[int, list[Message], str]:
    """Claim, send, record. Returns how many were ours, what was sent, and why the rest had better wait."""

    def claims(messages: Mapping[str, Message]) -> _Change:
        chosen = _due(messages, mailer.target, now)[:limit]
        if any(m.nonce == nonce for m in messages.values()):
            chosen = []  # our first push had arrived after all
        journal.claims([m.id for m in chosen])
        return _Change([outbox.claim(m, nonce, now) for m in chosen])

    with new_journal(git, nonce) as journal:
        _push(git, url, claims, now)
        held = read_outbox(git, fetch_outbox(git, url))
        won = [m for m in held.values() if m.state == "claimed" and m.nonce == nonce]
        problem = _send(mailer, sorted(won, key=lambda m: (m.tries, m.time, m.id)), journal, stopping)
        _settle(git, url, journal, now)
        journal.finish(journal.claimed)
        return len(won), [m for m in won if journal.outcomes.get(m.id, ("", ""))[0] == "sent"], problem


def _send(mailer: Mailer, won: Iterable[Message], journal: Journal, stopping: Callable[[], bool]) -> str:
    """One call for each. Stops at the first failure that is not the message's own, and returns it."""
    for message in won:
        if stopping():
            return "sending was stopped: the rest is for the next time"
        journal.calls(message.id)
        try:
            provider = mailer.send(message.message)
        except MailRefused as error:
            journal.answered(message.id, "refused" if error.transient else "final", error.message)
            if error.transient:
                return error.message
        except MailUnknown as error:
            journal.answered(message.id, "unknown", error.message)
            return error.message
        else:
            journal.answered(message.id, "sent", provider)
    return ""


def _settle(git: Git, url: str, journal: Journal, now: int) -> None:
    """Record what a journal knows of its claims: our own after sending, or those of a process that died."""
    settled: set[str] = set()

    def outcomes(messages: Mapping[str, Message]) -> _Change:
        made = _Change()
        for id in journal.claimed & messages.keys():
            message = messages[id]
            if message.state != "claimed" or message.nonce != journal.nonce:
                continue
            settled.add(id)
            moved = _outcome(message, journal, now)
            if moved is not None:
                made.messages.append(moved)
        return made

    _push(git, url, outcomes, now)
    journal.finish(settled)


def _outcome(message: Message, journal: Journal, now: int) -> Message | None:
    what, text = journal.outcomes.get(message.id, ("", ""))
    if what == "sent":
        return outbox.sent(message, journal.nonce, text, now)
    if what in ("refused", "final"):
        return outbox.refused(message, journal.nonce, text, now, final=what == "final")
    if what == "unknown":
        return None if message.reason else outbox.unanswered(message, journal.nonce, text, now)
    return outbox.unclaim(message, journal.nonce, now) if journal.unsent(message.id) else None


def _report(
    messages: Mapping[str, Message], sent: Sequence[Message], problems: Sequence[str], now: int
) -> DeliveryReport:
    states: dict[str, list[Message]] = {}
    for message in sorted(messages.values(), key=lambda m: (m.time, m.id)):
        states.setdefault(outbox.shown_state(message, now), []).append(message)
    return DeliveryReport(
        sent=tuple(sent),
        pending=tuple(states.get("pending", ())),
        held=tuple(states.get("held", ())),
        unconfirmed=tuple(states.get("unconfirmed", ())),
        refused=tuple(states.get("refused", ())),
        claimed=tuple(states.get("claimed", ())),
        problems=tuple(problems),
    )


# --------------------------------------------------------------------------------------------------- requests


def fulfil(git: Git, url: str, *, now: int, problems: list[str] | None = None) -> list[str]:
    """Do what open resend and release requests ask, each in one push with the end of its request. Returns
    their ids.

    A request that asks for nothing that is there is deleted too, with a line in ``problems``; one for a
    message that is being sent at this moment stays open.
    """
    notes: list[str] = []
    done: list[str] = []

    def moves(messages: Mapping[str, Message]) -> _Change:
        # Read after the outbox: a request that another controller fulfilled since then makes our push fail.
        notes.clear()
        done.clear()
        made: dict[str, Message] = {}
        change = _Change()
        for request in open_requests(git, url).values():
            if request.kind not in OF_A_MESSAGE:
                continue
            try:
                moved = _moved(request, {**messages, **made}, now)
            except ConflictError as error:
                if error.transient:
                    continue
                notes.append(error.message)
                moved = []
            made.update({m.id: m for m in moved})
            change.fulfilled.append(request)
            done.append(request.id)
        change.messages = list(made.values())
        return change

    _push(git, url, moves, now)
    if problems is not None:
        problems.extend(notes)
    return list(done)


def _moved(request: Request, messages: Mapping[str, Message], now: int) -> list[Message]:
    """The messages that a request moves: one by its id, or all held ones of a stage."""
    if request.kind == "resend" or request.target in messages:
        if request.target not in messages:
            raise ConflictError(f"no message {request.target[:12]} to send again")
        move = outbox.resend if request.kind == "resend" else outbox.released
        return [move(messages[request.target], now)]
    held = [m for m in messages.values() if m.state == "held" and m.stage == request.target]
    if not held:
        raise ConflictError(f"no held message {request.target[:40]!r} to release")
    return [outbox.released(m, now) for m in held]
