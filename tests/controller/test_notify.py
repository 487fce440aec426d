"""The outbox: entered with the outputs, sent once, whatever dies, races or refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from gitdata.backends.git import Git
from gitdata.backends.mail import MailRefused, MailUnknown, SendGridMailer
from gitdata.controller.notify import OUTBOX_REF, deliver, enter, fetch_outbox, fulfil, read_outbox
from gitdata.controller.requests import push_request
from gitdata.errors import GitdataError
from gitdata.formats.outbox import IN_FLIGHT_MS, Message, message_path, new_message, parse_message_file
from gitdata.formats.requests import Request
from helpers.machine import Repo
from helpers.mail import running_sink

IDENT = "gitdata <gitdata@noreply.invalid> 1700000000 +0000"
NOW = 1_700_000_000_000
COMMIT = "c0" * 20


def message(subject: str) -> Message:
    text = f'{{"from":"a@example.org","to":"b@example.org","subject":"{subject}","text":"t"}}'
    body = parse_message_file(text.encode(), "mail/1.json")
    return new_message("sendgrid", body, stage="threat-detect", commit=COMMIT, time=NOW)


@pytest.fixture
def origin(tmp_path: Path) -> Git:
    return Git(Repo.create(tmp_path / "origin.git", bare=True).path, sealed=True)


@pytest.fixture
def git(tmp_path: Path) -> Git:
    return clone(tmp_path, "clone")


def clone(tmp_path: Path, name: str) -> Git:
    return Git(Repo.create(tmp_path / f"{name}.git", bare=True).path, sealed=True)


def publish(git: Git, origin: Git, *subjects: str, hold_over: int = 100) -> list[str]:
    """What the publishing push does; the ids."""
    messages = [message(subject) for subject in subjects]
    tip = fetch_outbox(git, str(origin.path))
    new = enter(git, tip, messages, hold_over=hold_over, ident=IDENT)
    if new != tip:
        assert git.push(str(origin.path), {OUTBOX_REF: new}).accepted
    return [m.id for m in messages]


def states(git: Git, origin: Git) -> dict[str, str]:
    held = read_outbox(git, fetch_outbox(git, str(origin.path)))
    return {str(m.message["subject"]): m.state for m in held.values()}


class Post:
    """A mailer that keeps what it is told to send; ``fail`` maps a subject to what happens instead."""

    target = "sendgrid"

    def __init__(self, fail: Mapping[str, GitdataError] | None = None) -> None:
        self.fail = dict(fail or {})
        self.calls: list[str] = []

    def send(self, message: Mapping[str, Any]) -> str:
        self.calls.append(message["subject"])
        if message["subject"] in self.fail:
            raise self.fail[message["subject"]]
        return f"id of {message['subject']}"


# ---------------------------------------------------------------------------------------------------------- entering


def test_enter_adds_only_what_is_not_there(git: Git, origin: Git) -> None:
    publish(git, origin, "one")
    deliver(git, str(origin.path), Post(), now=NOW, nonce="n")
    publish(git, origin, "one", "two", "two")
    assert states(git, origin) == {"one": "sent", "two": "pending"}
    tip = fetch_outbox(git, str(origin.path))
    assert enter(git, tip, [message("one"), message("two")], hold_over=0, ident=IDENT) == tip
    assert enter(git, None, [], hold_over=0, ident=IDENT) is None


def test_enter_is_deterministic(git: Git, tmp_path: Path) -> None:
    other = clone(tmp_path, "other")
    one, two = message("one"), message("two")
    assert enter(git, None, [one, two], hold_over=9, ident=IDENT) == enter(
        other, None, [two, one, two], hold_over=9, ident=IDENT
    )


def test_too_many_at_once_are_held(git: Git, origin: Git) -> None:
    publish(git, origin, "a", "b", hold_over=2)
    publish(git, origin, "a", "b", "c", "d", "e", hold_over=2)
    assert states(git, origin) == {"a": "pending", "b": "pending", "c": "held", "d": "held", "e": "held"}
    post = Post()
    report = deliver(git, str(origin.path), post, now=NOW, nonce="n")
    assert sorted(post.calls) == ["a", "b"]
    assert len(report.held) == 3


def test_foreign_files_in_the_outbox_are_reported_not_fatal(git: Git, origin: Git) -> None:
    [id] = publish(git, origin, "one")
    tip = fetch_outbox(git, str(origin.path))
    assert tip is not None
    copy = git.ls_tree(tip, message_path(id))[0].sha
    newer = git.write_blob(b'{"v":2}')
    tree = git.change_tree(tip, {"ab/cd": ("100644", newer), "ab/" + "c" * 62: ("100644", copy)})
    new = git.write_commit(tree, [tip], "x\n", author=IDENT, committer=IDENT)
    assert git.push(str(origin.path), {OUTBOX_REF: new}).accepted
    post = Post()
    report = deliver(git, str(origin.path), post, now=NOW, nonce="n")
    assert post.calls == ["one"]
    assert len(report.problems) == 2
    assert "update gitdata" not in report.problems[0]


def test_a_fetch_that_was_killed_half_way_is_done_again(git: Git, origin: Git, tmp_path: Path) -> None:
    """The commit is there and its tree is not: what a killed fetch leaves."""
    publish(git, origin, "one")
    tip = fetch_outbox(git, str(origin.path))
    assert tip is not None
    other = clone(tmp_path, "other")
    written = other.text("hash-object", "-t", "commit", "-w", "--stdin", input=origin.run("cat-file", "commit", tip))
    assert written == tip
    assert states(other, origin) == {"one": "pending"}


# ----------------------------------------------------------------------------------------------------------- sending


def test_every_message_is_sent_once_with_the_providers_id(git: Git, origin: Git) -> None:
    publish(git, origin, *(f"s{n}" for n in range(7)))
    post = Post()
    report = deliver(git, str(origin.path), post, now=NOW, nonce="n", limit=3)
    assert sorted(post.calls) == [f"s{n}" for n in range(7)]
    assert len(report.sent) == 7
    again = deliver(git, str(origin.path), post, now=NOW + 10**9, nonce="m")
    assert again.sent == ()
    assert len(post.calls) == 7
    held = read_outbox(git, fetch_outbox(git, str(origin.path)))
    assert {m.provider for m in held.values()} == {f"id of s{n}" for n in range(7)}
    assert not list(Path(git.path, "gitdata", "deliveries").iterdir())


def test_a_call_sends_a_bounded_number_and_says_that_more_is_due(git: Git, origin: Git) -> None:
    publish(git, origin, *(f"s{n}" for n in range(7)))
    post = Post()
    reports = [deliver(git, str(origin.path), post, now=NOW, nonce="n", limit=2, batches=2) for _ in range(2)]
    assert [(len(report.sent), report.more) for report in reports] == [(4, True), (3, False)]


def test_who_is_told_to_stop_gives_back_what_it_has_not_sent(git: Git, origin: Git) -> None:
    publish(git, origin, "a", "b", "c", "d")
    post = Post()
    report = deliver(git, str(origin.path), post, now=NOW, nonce="n", limit=3, stopping=lambda: len(post.calls) == 2)
    assert len(post.calls) == 2
    assert sorted(states(git, origin).values()) == ["pending", "pending", "sent", "sent"]
    assert not report.more
    deliver(git, str(origin.path), post, now=NOW, nonce="n")
    assert sorted(post.calls) == ["a", "b", "c", "d"]


def test_without_a_key_messages_stay_pending(git: Git, origin: Git) -> None:
    publish(git, origin, "one")
    before = fetch_outbox(git, str(origin.path))
    report = deliver(git, str(origin.path), None, now=NOW, nonce="n")
    assert [m.state for m in report.pending] == ["pending"]
    assert fetch_outbox(git, str(origin.path)) == before


def test_an_empty_remote_is_fine(git: Git, origin: Git) -> None:
    assert deliver(git, str(origin.path), Post(), now=NOW, nonce="n").problems == ()


def test_a_server_that_is_down_delays_and_loses_nothing(git: Git, origin: Git, tmp_path: Path) -> None:
    publish(git, origin, "one", "two")
    with running_sink(tmp_path / "mails") as sink:
        url, port = sink.url, sink.server.server_address[1]
    mailer = SendGridMailer("SG.key", url, timeout=5)
    report = deliver(git, str(origin.path), mailer, now=NOW, nonce="n")
    assert sorted(states(git, origin).values()) == ["pending", "refused"], "one was tried, the other given back"
    assert "cannot reach" in report.problems[0]
    tip = fetch_outbox(git, str(origin.path))
    deliver(git, str(origin.path), mailer, now=NOW + 5_000, nonce="n")
    assert fetch_outbox(git, str(origin.path)) == tip, "while it is down, not every turn of the loop tries"
    with running_sink(tmp_path / "mails", port=port, fail_first=1) as sink:
        report = deliver(git, str(origin.path), mailer, now=NOW + 60_000, nonce="n")
        assert "503" in report.problems[0]
        deliver(git, str(origin.path), mailer, now=NOW + 600_000, nonce="n")
        assert sink.subjects() == ["one", "two"]
    assert set(states(git, origin).values()) == {"sent"}


def test_a_message_that_is_refused_for_good_stops_no_other(git: Git, origin: Git) -> None:
    publish(git, origin, "bad", "good", "fine")
    post = Post({"bad": MailRefused("400: the from address does not match")})
    report = deliver(git, str(origin.path), post, now=NOW, nonce="n")
    assert states(git, origin) == {"bad": "refused", "good": "sent", "fine": "sent"}
    assert report.refused[0].reason == "400: the from address does not match"
    deliver(git, str(origin.path), post, now=NOW + 10**9, nonce="n")
    assert post.calls.count("bad") == 1


def test_an_answer_that_never_came_is_unconfirmed_and_not_sent_again(git: Git, origin: Git, tmp_path: Path) -> None:
    publish(git, origin, "one", "two")
    with running_sink(tmp_path / "mails", hang_first=1) as sink:
        mailer = SendGridMailer("SG.key", sink.url, timeout=5)
        report = deliver(git, str(origin.path), mailer, now=NOW, nonce="n")
        assert len(sink.mails()) == 1
        assert [m.state for m in report.unconfirmed] == ["claimed"]
        assert "no answer" in report.unconfirmed[0].reason
        deliver(git, str(origin.path), mailer, now=NOW + 10**7, nonce="n")
        assert sink.subjects() == ["one", "two"], "the other one goes, the unconfirmed one does not"
        unconfirmed = report.unconfirmed[0]
        push_request(git, str(origin.path), Request("resend", unconfirmed.id, "", "me", NOW))
        assert len(fulfil(git, str(origin.path), now=NOW + 10**7)) == 1
        deliver(git, str(origin.path), mailer, now=NOW + 10**7, nonce="n")
        assert len(sink.mails()) == 3, "a person asked for it"
    assert set(states(git, origin).values()) == {"sent"}


def test_other_targets_are_left_alone(git: Git, origin: Git) -> None:
    other = new_message("pigeon", {"subject": "coo"}, stage="s", commit=COMMIT, time=NOW)
    tip = enter(git, None, [other, message("one")], hold_over=9, ident=IDENT)
    assert git.push(str(origin.path), {OUTBOX_REF: tip}).accepted
    post = Post()
    deliver(git, str(origin.path), post, now=NOW, nonce="n")
    assert post.calls == ["one"]


# ----------------------------------------------------------------------------------------------------- death and races

SENDER = """
import os, signal, sys, time
from pathlib import Path
from gitdata.backends.git import Git
from gitdata.backends.mail import SendGridMailer
from gitdata.controller.notify import deliver
git, url, host, when = Git(Path(sys.argv[1]), sealed=True), sys.argv[2], sys.argv[3], sys.argv[4]

class Mortal(SendGridMailer):
    def send(self, message):
        if when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        answer = super().send(message)
        if when == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

deliver(git, url, Mortal("SG.key", host), now=int(sys.argv[5]), nonce=os.urandom(8).hex(), limit=3, batches=16)
"""


def sender(git: Git, origin: Git, host: str, when: str = "never", now: int = NOW) -> subprocess.Popen[bytes]:
    words = [str(git.path), str(origin.path), host, when, str(now)]
    return subprocess.Popen([sys.executable, "-c", SENDER, *words])


def test_eight_at_once_never_send_one_twice(git: Git, origin: Git, tmp_path: Path) -> None:
    subjects = sorted(f"s{n:02d}" for n in range(16))
    publish(git, origin, *subjects)
    with running_sink(tmp_path / "mails") as sink:
        # Six machines, and two processes that share a clone with one of them.
        clones = [clone(tmp_path, f"m{n}") for n in range(6)]
        senders = [sender(one, origin, sink.url) for one in [*clones, clones[0], clones[0]]]
        assert [one.wait(120) for one in senders] == [0] * 8
        assert sink.subjects() == subjects
    assert set(states(git, origin).values()) == {"sent"}


@pytest.mark.parametrize(("when", "mails"), [("before", 0), ("after", 1)])
def test_killed_during_a_call_is_unconfirmed_for_ever(
    git: Git, origin: Git, tmp_path: Path, when: str, mails: int
) -> None:
    publish(git, origin, "one", "two")
    with running_sink(tmp_path / "mails") as sink:
        assert sender(git, origin, sink.url, when).wait(60) == -signal.SIGKILL
        assert len(sink.mails()) == mails
        assert set(states(git, origin).values()) == {"claimed"}
        assert sender(git, origin, sink.url, now=NOW + 10**7).wait(60) == 0
        assert len(sink.mails()) == mails + 1, "the one whose call was never begun is sent, the other is not"
    report = deliver(git, str(origin.path), None, now=NOW + 10**7, nonce="n")
    assert [m.state for m in report.unconfirmed] == ["claimed"]


def test_killed_between_claim_and_call_goes_on_from_the_journal(git: Git, origin: Git, tmp_path: Path) -> None:
    """The same clone can prove that nothing was sent; another machine cannot, and leaves it unconfirmed."""
    publish(git, origin, "one")
    with pytest.raises(KeyboardInterrupt):
        deliver(git, str(origin.path), Interrupted(), now=NOW, nonce="n")
    [journal] = Path(git.path, "gitdata", "deliveries").iterdir()
    text = journal.read_text()
    assert '["call"' in text
    # As if the process had died before it began the call:
    journal.write_text(text[: text.index('["call"') + 5])
    elsewhere = Post()
    report = deliver(clone(tmp_path, "else"), str(origin.path), elsewhere, now=NOW + IN_FLIGHT_MS, nonce="m")
    assert elsewhere.calls == []
    assert len(report.unconfirmed) == 1
    post = Post()
    deliver(git, str(origin.path), post, now=NOW + IN_FLIGHT_MS, nonce="n")
    assert post.calls == ["one"]


class Interrupted:
    target = "sendgrid"

    def send(self, message: Mapping[str, Any]) -> str:
        raise KeyboardInterrupt


def test_an_answer_that_could_not_be_recorded_is_recorded_later(git: Git, origin: Git, tmp_path: Path) -> None:
    publish(git, origin, "one", "two")
    away = origin.path.with_name("away.git")

    class Unplugged(Post):
        def send(self, message: Mapping[str, Any]) -> str:
            answer = super().send(message)
            if len(self.calls) == 2:
                origin.path.rename(away)
            return answer

    post = Unplugged()
    with pytest.raises(GitdataError, match="origin"):
        deliver(git, str(origin.path), post, now=NOW, nonce="n")
    away.rename(origin.path)
    assert set(states(git, origin).values()) == {"claimed"}
    deliver(git, str(origin.path), post, now=NOW + 1000, nonce="n")
    assert set(states(git, origin).values()) == {"sent"}
    assert len(post.calls) == 2


def test_a_living_batch_is_not_taken_over(git: Git, origin: Git) -> None:
    """Another process of the same clone sees the journal, but not as abandoned."""
    publish(git, origin, "one")
    inner: list[str] = []

    class Nosy(Post):
        def send(self, message: Mapping[str, Any]) -> str:
            post = Post()
            deliver(git, str(origin.path), post, now=NOW + 10**9, nonce="other")
            inner.extend(post.calls)
            return super().send(message)

    deliver(git, str(origin.path), Nosy(), now=NOW, nonce="n")
    assert inner == []
    assert states(git, origin) == {"one": "sent"}


def test_unknown_outcomes_pause_the_others(git: Git, origin: Git) -> None:
    publish(git, origin, "one", "two", "three")
    post = Post({name: MailUnknown("silence") for name in ("one", "two", "three")})
    for second in range(0, 200, 10):
        deliver(git, str(origin.path), post, now=NOW + second * 1000, nonce="n")
    assert len(post.calls) == 1


# ---------------------------------------------------------------------------------------------------------- requests


def test_release_by_stage_and_by_id(git: Git, origin: Git) -> None:
    ids = publish(git, origin, "a", "b", "c", hold_over=0)
    url = str(origin.path)
    push_request(git, url, Request("release", ids[0], "", "me", NOW))
    fulfil(git, url, now=NOW)
    assert states(git, origin) == {"a": "pending", "b": "held", "c": "held"}
    push_request(git, url, Request("release", "threat-detect", "", "me", NOW))
    fulfil(git, url, now=NOW)
    assert set(states(git, origin).values()) == {"pending"}
    assert git.ls_remote(url, "refs/gitdata/requests/*") == {}


def test_a_request_for_nothing_ends_with_a_word(git: Git, origin: Git) -> None:
    [id] = publish(git, origin, "a")
    url = str(origin.path)
    push_request(git, url, Request("resend", "f" * 64, "", "me", NOW))
    push_request(git, url, Request("release", id, "", "me", NOW))
    push_request(git, url, Request("retry", "plot", "main", "me", NOW))
    problems: list[str] = []
    assert len(fulfil(git, url, now=NOW, problems=problems)) == 2
    assert len(problems) == 2
    assert len(git.ls_remote(url, "refs/gitdata/requests/*")) == 1, "a retry is somebody else's business"


def test_a_resend_while_it_is_being_sent_waits(git: Git, origin: Git) -> None:
    [id] = publish(git, origin, "a")
    url = str(origin.path)
    with pytest.raises(KeyboardInterrupt):
        deliver(git, url, Interrupted(), now=NOW, nonce="n")
    push_request(git, url, Request("resend", id, "", "me", NOW))
    assert fulfil(git, url, now=NOW + 1000) == []
    assert len(fulfil(git, url, now=NOW + IN_FLIGHT_MS)) == 1
    assert states(git, origin) == {"a": "pending"}


RESENDER = """
import sys, os
from pathlib import Path
from gitdata.backends.git import Git
from gitdata.backends.mail import SendGridMailer
from gitdata.controller.notify import deliver, fulfil
git, url = Git(Path(sys.argv[1]), sealed=True), sys.argv[2]
mailer = SendGridMailer("SG.key", sys.argv[3])
for turn in range(3):
    fulfil(git, url, now=int(sys.argv[4]))
    deliver(git, url, mailer, now=int(sys.argv[4]), nonce=os.urandom(8).hex())
"""


def test_one_resend_request_is_one_mail_however_many_controllers(git: Git, origin: Git, tmp_path: Path) -> None:
    [id] = publish(git, origin, "a")
    url = str(origin.path)
    with running_sink(tmp_path / "mails") as sink:
        deliver(git, url, SendGridMailer("SG.key", sink.url), now=NOW, nonce="n")
        push_request(git, url, Request("resend", id, "", "me", NOW))
        words = [url, sink.url, str(NOW + 1000)]
        running = [
            subprocess.Popen([sys.executable, "-c", RESENDER, str(clone(tmp_path, f"r{n}").path), *words])
            for n in range(4)
        ]
        assert [one.wait(60) for one in running] == [0] * 4
        assert len(sink.mails()) == 2


def test_the_key_is_nowhere(git: Git, origin: Git, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    publish(git, origin, "one", "two")
    with running_sink(tmp_path / "mails", fail_first=1) as sink:
        mailer = SendGridMailer("SG.very-secret", sink.url)
        deliver(git, str(origin.path), mailer, now=NOW, nonce="n")
        deliver(git, str(origin.path), mailer, now=NOW + 10**6, nonce="n")
    assert "very-secret" not in caplog.text
    for folder, _, files in os.walk(tmp_path):
        for file in files:
            assert b"very-secret" not in Path(folder, file).read_bytes()
    objects = git.run("cat-file", "--batch-all-objects", "--batch")
    assert b"very-secret" not in objects
