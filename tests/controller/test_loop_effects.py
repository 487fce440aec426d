"""What a publication does beside outputs: provenance, messages, requests; and that it does each once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from gitdata.backends.mail import MailRefused, SendGridMailer
from gitdata.controller.loop import now_ms
from gitdata.controller.notes import NOTES_REF, read_notes
from gitdata.controller.notify import fetch_outbox, read_outbox
from gitdata.controller.requests import push_request
from gitdata.controller.serve import serve
from gitdata.formats.provenance import parse_note
from gitdata.formats.requests import Request
from gitdata.identity import sha256
from helpers.lab import Lab, faster
from helpers.mail import RunningSink, running_sink

MESSAGE = '{"from":"cam@example.com","to":"me@example.com","subject":"saw %s","text":"look"}'
MAILS = (
    f"for f in /pfs/in/*; do n=$(basename $f); mkdir -p /pfs/out/mail; printf '{MESSAGE}' $n > /pfs/out/mail/$n; done"
)


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    return lab


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[RunningSink]:
    with running_sink(tmp_path / "mails") as running:
        yield running


def mailing(lab: Lab, **more: object) -> None:
    lab.stage("threats", MAILS, notify={"glob": "/mail/*", **more})


def provenance(lab: Lab, commit: str) -> list[dict[str, Any]]:
    tip = lab.origin.refs(NOTES_REF)[NOTES_REF]
    return [dict(record.statement) for record in parse_note(read_notes(lab.origin, tip, [commit])[commit])]


def test_every_run_has_one_record_in_the_notes_of_its_commit(lab: Lab) -> None:
    lab.stage("upper", "cat /pfs/in/* > /pfs/out/all")
    source = lab.push("stage")
    lab.settle()
    (statement,) = provenance(lab, source)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    (subject,) = statement["subject"]
    digest = sha256(b"one")
    assert subject["digest"]["sha256"] == sha256(f"{digest}  all\n".encode())
    inputs = {d["name"]: d for d in statement["predicate"]["buildDefinition"]["resolvedDependencies"]}
    assert inputs["in"]["digest"]["sha256"] == sha256(f"{digest}  a\n".encode())


def test_a_reused_run_is_the_same_record_under_the_next_commit(lab: Lab) -> None:
    lab.stage("upper", "cat /pfs/in/* > /pfs/out/all")
    first = lab.push("stage")
    lab.settle()
    lab.work.write("README", "words")
    second = lab.push("readme")
    lab.settle()
    assert provenance(lab, first) == provenance(lab, second)


def test_a_failed_run_has_a_record_too(lab: Lab) -> None:
    lab.stage("upper", "exit 4", datum_tries=1)
    source = lab.push("stage")
    lab.settle()
    (statement,) = provenance(lab, source)
    assert statement["subject"][0]["name"] == "run"


def test_a_message_is_sent_once_whatever_is_pushed_after_it(lab: Lab, sink: RunningSink) -> None:
    mailer = SendGridMailer("key", sink.url)
    mailing(lab)
    lab.push("stage")
    lab.settle(mailer=mailer)
    lab.work.write("README", "words")
    lab.push("readme")
    lab.settle(mailer=mailer)
    lab.work.write("image/other", "a new image makes the same message again")
    lab.push("image")
    assert lab.started(lab.settle(mailer=mailer)) == ["threats"]
    lab.work.write("in/b", "two")
    lab.push("one more")
    lab.settle(mailer=mailer)
    assert sink.subjects() == ["saw a", "saw b"]


def test_without_a_key_the_message_waits_and_all_else_goes_on(lab: Lab, sink: RunningSink) -> None:
    mailing(lab)
    lab.push("stage")
    said = lab.settle()
    assert lab.states() == {"threats": "success"}
    assert any("pending: there is no mail key" in line for line in said)
    lab.settle(mailer=SendGridMailer("key", sink.url))
    assert sink.subjects() == ["saw a"]


def test_a_message_that_was_refused_is_sent_later_by_the_same_controller(lab: Lab) -> None:
    class Busy:
        target = "sendgrid"
        asked = 0

        def send(self, message: Mapping[str, Any]) -> str:
            self.asked += 1
            if self.asked == 1:
                raise MailRefused("too many requests", transient=True)
            return "id"

    mailing(lab)
    lab.push("stage")
    mailer = Busy()
    with lab.controller(mailer=mailer) as controller:
        while controller.turn():
            time.sleep(0.05)
        for later in (0, 1_000, 10**8, 2 * 10**8):
            controller.clock = lambda later=later: now_ms() + later
            controller.turn(fresh=False)
            controller.notify()
    assert mailer.asked == 2
    assert [line for line in lab.log if line.startswith("sent ")] != []


class Post:
    target = "sendgrid"

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.stop, self.sent = stop, 0

    def send(self, message: Mapping[str, Any]) -> str:
        self.sent += 1
        if self.stop:
            self.stop.set()
        return "id"


def test_more_messages_than_one_turn_sends_are_all_sent(lab: Lab) -> None:
    write = f"for n in $(seq 250); do printf '{MESSAGE}' $n > /pfs/out/$n; done"
    lab.stage("many", write, notify={"glob": "/*", "hold_over": 1000})
    lab.push("stage")
    post = Post()
    lab.settle(mailer=post)
    assert post.sent == 250


def test_a_controller_that_is_told_to_stop_sends_no_more(lab: Lab) -> None:
    lab.work.write("in/b", "two")
    mailing(lab)
    lab.push("stage")
    stop = threading.Event()
    post = Post(stop)
    with lab.controller(mailer=post) as controller:
        serve(controller, once=False, stop=stop)
    assert post.sent == 1
    held = read_outbox(lab.origin, fetch_outbox(lab.origin, str(lab.origin.path))).values()
    assert sorted(message.state for message in held) == ["pending", "sent"]


def test_many_messages_at_once_are_held(lab: Lab, sink: RunningSink) -> None:
    lab.work.write("in/b", "two")
    mailing(lab, hold_over=1)
    lab.push("stage")
    lab.settle(mailer=SendGridMailer("key", sink.url))
    assert sink.subjects() == []
    held = read_outbox(lab.origin, fetch_outbox(lab.origin, str(lab.origin.path))).values()
    assert [message.state for message in held] == ["held", "held"]


def test_a_file_that_is_no_message_is_reported_and_the_others_are_sent(lab: Lab, sink: RunningSink) -> None:
    lab.stage("threats", MAILS + "\necho nonsense > /pfs/out/mail/zz", notify={"glob": "/mail/*"})
    lab.push("stage")
    said = lab.settle(mailer=SendGridMailer("key", sink.url))
    assert sink.subjects() == ["saw a"]
    assert any(line.startswith("not sent: threats/mail/zz") for line in said)


def test_other_branches_do_not_send(lab: Lab, sink: RunningSink) -> None:
    mailing(lab)
    lab.push("stage", "side")
    lab.settle(faster(branches=("*",)), mailer=SendGridMailer("key", sink.url))
    assert lab.states("side") == {"threats": "success"}
    assert sink.subjects() == []


def test_a_retry_request_runs_a_failed_stage_again_and_is_deleted(lab: Lab) -> None:
    lab.stage("odd", "exit 1", datum_tries=1)
    source = lab.push("stage")
    said = lab.settle()
    job = next(line for line in said if ": start " in line).split()[2].rstrip(":")
    assert lab.started(lab.settle()) == []
    push_request(lab.origin, str(lab.origin.path), Request("retry", job, "main", "me", 1))
    again = lab.settle()
    assert lab.started(again) == ["odd"]
    assert lab.origin.refs("refs/gitdata/requests") == {}
    assert lab.output().source == source
    assert "Gitdata-Request: " in lab.origin.commit(lab.tip() or "").message


def test_a_run_that_is_cancelled_has_failed_until_a_retry_is_asked_for(lab: Lab) -> None:
    both = {"datum_tries": 1, "parallelism_spec": {"constant": 2}}
    lab.stage("slow", "case $in in *a) sleep 600;; esac; cp /pfs/in/* /pfs/out/", **both)
    lab.stage("after", "true", {"pfs": {"repo": "slow", "glob": "/"}})
    lab.work.write("in/b", "two")
    source = lab.push("stages")
    with lab.controller() as controller:
        while not lab.started(lab.log):
            controller.turn()
        job = next(line for line in lab.log if ": start " in line).split()[2].rstrip(":")
        while controller.site.executor.progress(job).processed < 1:
            time.sleep(0.05)
        time.sleep(0.5)  # what is done is recorded from time to time
        push_request(lab.origin, str(lab.origin.path), Request("cancel", job, "main", "me", 1))
        while controller.turn():
            pass
        assert controller.site.executor.jobs() == {}, "it has ended and is forgotten"
    assert lab.states() == {"slow": "failed", "after": "unrunnable"}
    assert lab.origin.refs("refs/gitdata/requests") == {}
    assert lab.started(lab.settle()) == [], "nobody asked for more"
    lab.stage("slow", "cp /pfs/in/* /pfs/out/", datum_tries=1)
    assert lab.push("mended") != source
    lab.settle()
    assert lab.states() == {"slow": "success", "after": "success"}


def test_a_request_about_a_branch_that_is_gone_is_deleted(lab: Lab) -> None:
    lab.stage("upper", "cat /pfs/in/* > /pfs/out/all")
    lab.push("stage")
    push_request(lab.origin, str(lab.origin.path), Request("cancel", "nothing-1", "gone", "me", 1))
    push_request(lab.origin, str(lab.origin.path), Request("retry", "nothing-1", "unwatched", "me", 1))
    lab.origin.update_ref("refs/heads/unwatched", lab.work.head())
    lab.settle()
    assert len(lab.origin.refs("refs/gitdata/requests")) == 1, "another controller may watch that branch"


def test_a_request_that_nobody_can_fulfil_is_deleted_too(lab: Lab) -> None:
    lab.stage("upper", "cat /pfs/in/* > /pfs/out/all")
    lab.push("stage")
    lab.settle()
    push_request(lab.origin, str(lab.origin.path), Request("retry", "nothing-1", "main", "me", 1))
    assert lab.started(lab.settle()) == []
    assert lab.origin.refs("refs/gitdata/requests") == {}
