"""Outbox entries and message files: bytes both ways, legal moves only, no headers from users."""

from __future__ import annotations

import dataclasses
import json

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gitdata.errors import ConflictError, InvalidInputError
from gitdata.formats import outbox
from gitdata.formats.outbox import Message, dump_message, message_path, new_message, parse_message, parse_message_file

NOW = 1_700_000_000_000
GOOD = {"from": "a@example.org", "to": "b@example.org", "subject": "Hi", "text": "two\nlines"}


def file(**change: object) -> bytes:
    return json.dumps({k: v for k, v in {**GOOD, **change}.items() if v is not None}).encode()


def message(**change: object) -> Message:
    body = parse_message_file(file(), "m.json")
    made = new_message("sendgrid", body, stage="s", commit="c" * 40, time=NOW)
    return dataclasses.replace(made, **change)  # type: ignore[arg-type]


CLAIMED = {"state": "claimed", "nonce": "n", "since": NOW}


def test_a_new_message() -> None:
    one = message()
    assert one.state == "pending"
    assert message_path(one.id) == f"{one.id[:2]}/{one.id[2:]}"
    assert dump_message(one) == rfc8785.dumps(json.loads(dump_message(one))) + b"\n"


def test_the_id_is_of_target_and_words_alone() -> None:
    body = parse_message_file(file(), "m.json")
    other = new_message("sendgrid", body, stage="other", commit="d" * 40, time=5)
    assert other.id == message().id
    assert new_message("pigeon", body, stage="s", commit="c" * 40, time=NOW).id != message().id
    listed = parse_message_file(file(to=["b@example.org", "b@example.org"]), "m.json")
    assert listed == body


numbers = st.integers(0, 2**52 - 1)


@settings(deadline=None)  # other tests may have the processor
@given(
    state=st.sampled_from(["pending", "held", "claimed", "sent", "refused"]),
    texts=st.tuples(*[st.text(max_size=20)] * 5),
    times=st.tuples(numbers, numbers, numbers),
    final=st.booleans(),
)
def test_every_message_survives_its_file(
    state: outbox.State, texts: tuple[str, ...], times: tuple[int, ...], final: bool
) -> None:
    stage, commit, nonce, provider, reason = texts
    time, since, tries = times
    one = message(
        state=state, stage=stage, commit=commit, nonce=nonce, provider=provider, reason=reason,
        time=time, since=since, tries=tries, final=final,
    )  # fmt: skip
    assert parse_message(dump_message(one), "x") == one


@pytest.mark.parametrize(
    "data",
    [b"", b"[]", b'{"v":2}', b"[" * 9000, b'{"v":1,"state":"lost","message":{}}',
     b'{"v":1,"state":"sent","message":[]}',
     b'{"v":1,"state":"sent","message":{},"time":"x"}', b'{"v":1,"state":"sent","message":{"a":1.5}}',
     b'{"v":1,"state":"sent","message":{},"since":true}',
     b'{"v":1,"state":"sent","message":{},"time":9007199254740992}',
     b'{"v":1,"state":"sent","message":{},"stage":"\\ud800"}',
     b'{"v":1,"state":"sent","message":{"a":{"a":"b"}}}'],
)  # fmt: skip
def test_what_is_no_entry_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError, match="ab/cd"):
        parse_message(data, "ab/cd")


# ----------------------------------------------------------------------------------------------------------- moves


def test_the_way_of_a_message() -> None:
    one = outbox.claim(message(), "n", NOW)
    assert (one.state, one.nonce) == ("claimed", "n")
    gone = outbox.sent(one, "n", "id-7", NOW + 1)
    assert (gone.state, gone.provider, gone.nonce) == ("sent", "id-7", "")
    back = outbox.refused(one, "n", "503", NOW + 1)
    assert not outbox.claimable(back, NOW + 2)
    assert outbox.claimable(back, outbox.due(back))
    assert outbox.claim(back, "m", outbox.due(back)).reason == ""
    assert outbox.unclaim(one, "n", NOW).state == "pending"
    assert outbox.released(message(state="held"), NOW).state == "pending"
    again = outbox.resend(gone, NOW + 2)
    assert (again.state, again.provider) == ("pending", "")


def test_illegal_moves_raise() -> None:
    claimed = message(**CLAIMED)
    for state in ("held", "claimed", "sent"):
        with pytest.raises(ConflictError, match=f"is {state}"):
            outbox.claim(message(state=state, nonce="n"), "m", NOW)
    with pytest.raises(ConflictError):
        outbox.claim(message(), "", NOW)
    for foreign in (claimed, message(), message(state="sent")):
        for move in (
            lambda m: outbox.sent(m, "other", "id", NOW),
            lambda m: outbox.refused(m, "other", "why", NOW),
            lambda m: outbox.unclaim(m, "other", NOW),
            lambda m: outbox.unanswered(m, "other", "why", NOW),
        ):
            with pytest.raises(ConflictError):
                move(foreign)
    for state in ("pending", "claimed", "sent", "refused"):
        with pytest.raises(ConflictError):
            outbox.released(message(state=state), NOW)
    for state in ("pending", "held"):
        with pytest.raises(ConflictError):
            outbox.resend(message(state=state), NOW)


def test_final_refusals_wait_for_a_person() -> None:
    final = outbox.refused(message(**CLAIMED), "n", "400", NOW, final=True)
    assert not outbox.claimable(final, NOW + 10**12)
    assert outbox.claimable(outbox.resend(final, NOW), NOW)


def test_backoff_grows() -> None:
    waits = [outbox.due(message(state="refused", tries=tries, since=0)) for tries in range(1, 7)]
    assert waits == sorted(waits)
    assert waits[0] < waits[3] == waits[5]


def test_a_claim_is_unconfirmed_once_it_must_have_ended() -> None:
    claimed = message(**CLAIMED)
    assert outbox.shown_state(claimed, NOW + 1000) == "claimed"
    assert outbox.shown_state(claimed, NOW + outbox.IN_FLIGHT_MS) == "unconfirmed"
    assert outbox.shown_state(outbox.unanswered(claimed, "n", "silence", NOW), NOW) == "unconfirmed"
    with pytest.raises(ConflictError) as caught:
        outbox.resend(claimed, NOW + 1000)
    assert caught.value.transient


# --------------------------------------------------------------------------------------------------- message files


def test_a_message_file() -> None:
    made = parse_message_file(file(to=["b@example.org", "C <c@example.org>"], html="<p>x"), "mail/1.json")
    assert made == {**GOOD, "to": ["b@example.org", "C <c@example.org>"], "html": "<p>x"}
    assert outbox.split_address("C <c@example.org>") == ("C", "c@example.org")
    assert outbox.split_address("c@example.org") == ("", "c@example.org")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"subject": "Hi\nBcc: all@example.org"}, "one line"),
        ({"subject": "Hi\r\nX: y"}, "one line"),
        ({"subject": "Hi\u2028X"}, "one line"),
        ({"subject": " "}, "one line"),
        ({"subject": "x" * 901}, "one line"),
        ({"subject": 5}, "not text"),
        ({"subject": None}, "subject"),
        ({"from": "a@example.org\nBcc: x@y.z"}, "one line"),
        ({"from": None}, "from"),
        ({"from": "a@b@c"}, "address"),
        ({"from": "nobody"}, "address"),
        ({"from": "a@example.org,b@example.org"}, "address"),
        ({"to": "X\r\n <a@example.org>"}, "one line"),
        ({"to": "a@example.org; b@example.org"}, "address"),
        ({"to": []}, "to"),
        ({"to": [["a@example.org"]]}, "to"),
        ({"to": {"a": 1}}, "to"),
        ({"to": ["a@example.org"] * 101}, "at most 100"),
        ({"text": None}, "text"),
        ({"text": "x" * 300_000}, "too long"),
        ({"text": "nul\0"}, "binary"),
        ({"text": "\ud800"}, "Unicode"),
        ({"html": 1}, "html"),
        ({"bcc": "a@example.org"}, "bcc"),
        ({"headers": {}}, "headers"),
    ],
)
def test_bad_message_files_are_refused_by_name(change: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInputError, match=r"mail/1\.json") as caught:
        parse_message_file(file(**change), "mail/1.json")
    assert said in caught.value.message


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b" " * 600_000])
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError, match=r"mail/1\.json"):
        parse_message_file(data, "mail/1.json")


@settings(deadline=None)  # other tests may have the processor
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(lambda t: file(subject=t)) | st.text().map(lambda t: file(to=t))
)
def test_whatever_a_stage_writes_is_a_message_or_an_error(data: bytes) -> None:
    try:
        made = parse_message_file(data, "m")
    except InvalidInputError:
        return
    for line in (made["from"], made["subject"], *made["to"]):
        assert len(line.splitlines()) == 1


def test_a_time_of_a_clock_that_was_ahead_delays_nothing() -> None:
    for ahead in (1, 60_000, 365 * 86_400_000):
        refused = message(state="refused", reason="503", tries=1, since=NOW + ahead)
        unanswered = message(state="claimed", nonce="n", reason="no answer", since=NOW + ahead)
        assert outbox.claimable(refused, NOW)
        assert not outbox.paused(refused, NOW)
        assert not outbox.paused(unanswered, NOW)
    lost = message(state="claimed", nonce="n", since=NOW + outbox.IN_FLIGHT_MS)
    assert outbox.shown_state(lost, NOW) == "unconfirmed"
    assert outbox.resend(lost, NOW).state == "pending"
    assert outbox.shown_state(message(state="claimed", nonce="n", since=NOW + 1000), NOW) == "claimed"
