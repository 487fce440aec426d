"""notify list, resend and release against a controller that sends to a real HTTP server."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.backends.mail import SendGridMailer
from helpers.lab import Lab
from helpers.machine import Program
from helpers.mail import running_sink

WRITE = """
for f in /pfs/in/*; do
  n=$(basename "$f"); mkdir -p /pfs/out/mail
  printf '{"from":"a@example.org","to":"b@example.org","subject":"threat %s","text":"t"}' "$n" > /pfs/out/mail/$n.json
done
"""


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    return Lab.create(tmp_path)


@pytest.fixture
def gitdata(lab: Lab, gitdata: Program) -> Program:
    gitdata.cwd = lab.work.path
    return gitdata


def push(lab: Lab, *names: str, hold_over: int = 100, salt: str = "") -> None:
    for name in names:
        lab.work.write(f"in/{name}", name)
    notify = {"glob": "/mail/*", "via": "sendgrid", "hold_over": hold_over}
    lab.stage("alarm", WRITE, notify=notify, salt=salt)
    lab.push(f"in: {names}{salt}")


def states(gitdata: Program) -> dict[str, str]:
    return {row["subject"].removeprefix("threat "): row["state"] for row in gitdata.json("notify", "list")}


def test_pending_without_a_key_sent_with_one_and_never_twice(lab: Lab, gitdata: Program, tmp_path: Path) -> None:
    assert "no messages" in gitdata("notify", "list").stderr
    assert gitdata.json("notify", "list") == []
    push(lab, "a", "b")
    said = lab.settle()
    assert any("no mail key" in line for line in said)
    assert lab.states() == {"alarm": "success"}, "everything else goes on"
    assert states(gitdata) == {"a": "pending", "b": "pending"}
    table = gitdata("notify", "list").stdout
    assert table.splitlines()[0].split()[:4] == ["ID", "STATE", "TO", "SUBJECT"]
    assert "b@example.org" in table
    with running_sink(tmp_path / "mails") as sink:
        mailer = SendGridMailer("SG.key", sink.url)
        lab.settle(mailer=mailer)
        assert sink.subjects() == ["threat a", "threat b"]
        assert states(gitdata) == {"a": "sent", "b": "sent"}
        push(lab, "c", salt="made again")  # new results of everything, the same words
        lab.settle(mailer=mailer)
        assert sink.subjects() == ["threat a", "threat b", "threat c"]

        # resend: by the beginning of the id; one request is one mail
        [row] = [r for r in gitdata.json("notify", "list") if r["subject"] == "threat a"]
        assert "send" in gitdata("notify", "resend", row["id"][:12]).stderr
        lab.settle(mailer=mailer)
        lab.settle(mailer=mailer)
        assert sink.subjects() == ["threat a", "threat a", "threat b", "threat c"]
    assert lab.origin.refs("refs/gitdata/requests") == {}
    assert "no message" in gitdata("notify", "resend", "ffff", code=6).stderr


def test_held_messages_go_when_a_person_says_so(lab: Lab, gitdata: Program, tmp_path: Path) -> None:
    push(lab, "a", "b", "c", hold_over=2)
    with running_sink(tmp_path / "mails") as sink:
        mailer = SendGridMailer("SG.key", sink.url)
        said = lab.settle(mailer=mailer)
        assert any("held" in line for line in said)
        assert states(gitdata) == {"a": "held", "b": "held", "c": "held"}
        ids = {row["subject"]: row["id"] for row in gitdata.json("notify", "list", "--state", "held")}
        assert "cannot be sent again" in gitdata("notify", "resend", ids["threat a"], code=5).stderr
        gitdata("notify", "release", ids["threat a"][:10])
        lab.settle(mailer=mailer)
        assert sink.subjects() == ["threat a"]
        gitdata("notify", "release", "--all")
        lab.settle(mailer=mailer)
        assert sink.subjects() == ["threat a", "threat b", "threat c"]
    assert "nothing to release" in gitdata("notify", "release", "--all", code=5).stderr
    assert "cannot be released" in gitdata("notify", "release", ids["threat a"], code=5).stderr
