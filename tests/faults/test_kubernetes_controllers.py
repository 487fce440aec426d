"""Controllers that are killed, doubled, or whose commits are taken away: effects come once, nothing is left running."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gitdata.backends.mail import SendGridMailer
from gitdata.controller.notify import fetch_outbox, read_outbox
from gitdata.executors.kubernetes_status import terminal
from helpers.cluster_lab import ClusterLab, endpoint_of
from helpers.lab import faster
from helpers.mail import RunningSink, running_sink
from helpers.proxy import Fault, Request, misbehaving

pytestmark = pytest.mark.cluster
Right = Callable[[], None]
MAIL = '{"from":"cam@example.com","to":"me@example.com","subject":"saw %s","text":"look"}'
MAILS = f"mkdir /pfs/out/mail; for f in /pfs/held/*; do n=$(basename $f); printf '{MAIL}' $n > /pfs/out/mail/$n; done"
# Kills the controller at its first push of each kind before the push is taken, at the second when it has been.
HOOK = """#!/bin/sh
kind=$(cut -d' ' -f3 | sort | tr -c 'a-z\\n' - | tr -d '\\n')
pid=$(cat kills/pid 2>/dev/null) || exit 0
for how in 1 0; do
  if [ ! -e "kills/$kind-$how" ]; then touch "kills/$kind-$how"; kill -9 $pid; exit $how; fi
done
"""


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[RunningSink]:
    with running_sink(tmp_path / "mails") as sink:
        yield sink


@pytest.fixture
def mailing(lab: ClusterLab, pushed: str) -> str:
    """A second stage writes a mail for each file."""
    lab.stage("mails", MAILS, {"pfs": {"repo": "held", "glob": "/"}}, notify={"glob": "/mail/*"})
    return lab.push("mails")


def mailed_once(lab: ClusterLab, sink: RunningSink) -> None:
    outbox = read_outbox(lab.origin, fetch_outbox(lab.origin, str(lab.origin.path))).values()
    assert sink.subjects() == ["saw a", "saw b"]
    assert [message.state for message in outbox] == ["sent", "sent"]


class Killer:
    """Kills the controller at the first write of each kind before the write is made, at the second one after it."""

    def __init__(self) -> None:
        self.victim: subprocess.Popen[bytes] | None = None
        self.kills: Counter[str] = Counter()

    def __call__(self, request: Request) -> Fault | None:
        kind = self.kind(request)
        if not kind or self.kills[kind] == 2 or self.victim is None or self.victim.poll() is not None:
            return None
        self.kills[kind] += 1
        self.victim.kill()
        self.victim.wait()
        return Fault(forward=self.kills[kind] == 2)

    def kind(self, request: Request) -> str:
        if request.method not in ("PUT", "POST", "PATCH", "DELETE"):
            return ""
        for part in ("/files/md5/", "/plans/", "/datums/", "/live/", "/jobs"):
            if part in request.path:
                return f"{request.method} {part}"
        if "/runs/" in request.path:
            return f"{json.loads(request.body)['kind']} record"
        return ""


@pytest.mark.slow
def test_a_controller_killed_at_every_step(
    lab: ClusterLab, mailing: str, sink: RunningSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before and after each kind of write: to the store, to the API server, to git."""
    monkeypatch.setenv("SENDGRID_API_KEY", "key")
    hook, kills = lab.origin.path / "hooks" / "pre-receive", lab.origin.path / "kills"
    hook.write_text(HOOK)
    hook.chmod(0o755)
    kills.mkdir()
    lab.gate.touch()
    killer = Killer()
    ca = lab.cluster.plane.credentials.folder / "ca.crt"
    with misbehaving(endpoint_of(lab.s3)) as store, misbehaving(lab.cluster.plane.url, ca) as api:
        store.rule = api.rule = killer
        lab.endpoint = store.url
        lab.through(api.url)
        for _ in range(40):
            killer.victim = controller = lab.process("--once", mail=sink.url)
            (kills / "pid").write_text(str(controller.pid))
            if controller.wait(120) == 0:
                break
    log = (lab.root / "controller.log").read_text()
    assert controller.returncode == 0, log
    to_store = {"PUT /files/md5/", "PUT /plans/", "PUT /datums/", "started record", "result record"}
    assert set(killer.kills) >= to_store | {"POST /jobs", "PATCH /jobs"}
    assert len(list(kills.glob("*-0"))) >= 2  # the publication, the outbox
    assert lab.states() == {"held": "success", "mails": "success"}
    lab.once(mailing)
    lab.tidy()
    assert len(lab.begun()) == 2  # pods are none of a dead controller's business
    assert set(lab.results().values()) == {1}
    mailed_once(lab, sink)
    lab.origin.run("fsck", "--strict")


def test_two_controllers_at_once(lab: ClusterLab, mailing: str, sink: RunningSink) -> None:
    first, second = (SendGridMailer("key", sink.url) for _ in range(2))
    with lab.serving(mailer=first), lab.serving(mailer=second):
        lab.holding(2)
        lab.gate.touch()
        lab.published(mailing)
        lab.wait("the mails", lambda: len(sink.mails()) == 2)
        lab.tidy()
        lab.work.write("in/c", "three")
        newer = lab.push("one more")
        lab.published(newer)
        lab.wait("the mail", lambda: len(sink.mails()) == 3)
        lab.tidy()
        time.sleep(1)
    for commit in (mailing, newer):
        lab.once(commit)
    assert sorted(Counter(lab.begun()).values()) == [1, 1, 1]
    assert sink.subjects() == ["saw a", "saw b", "saw c"]
    assert lab.records("failed") == []


def test_a_controller_that_begins_while_another_finishes_an_older_commit(lab: ClusterLab, pushed: str) -> None:
    """Each has another commit in progress: neither may end the other's Jobs, which would go on for ever."""
    with lab.serving():
        lab.holding(2)
        lab.work.write("in/c", "three")
        newer = lab.push("one more")
        with lab.serving():
            time.sleep(3)
            lab.gate.touch()
            lab.published(newer)
            lab.tidy()
    assert not [line for line in lab.log if line.startswith("cancel")], lab.log
    for commit in (pushed, newer):
        lab.once(commit)
    assert sorted(Counter(lab.begun()).values()) == [1, 1, 1]
    assert lab.records("failed") == []


def test_two_controllers_with_different_commits_in_progress(lab: ClusterLab) -> None:
    lab.work.write("in/a", "one")
    lab.stage("first", "cp /pfs/in/* /pfs/out/")
    lab.held(script="cp /pfs/first/* /pfs/out/", input={"pfs": {"repo": "first", "glob": "/"}})
    lab.push("stages")
    with lab.controller() as early:
        early.turn()
        lab.wait("the first job", lambda: all(map(terminal, lab.jobs())))
        lab.work.write("in/b", "two")
        newer = lab.push("one more")
        with lab.serving():
            lab.holding(1)
            for _ in range(20):
                early.turn()
                time.sleep(0.1)
            lab.holding(2)
            lab.gate.touch()
            lab.published(newer)
            lab.wait("the other's end", lambda: not early.turn())
            lab.tidy()
    assert not [line for line in lab.log if line.startswith("cancel")], lab.log
    lab.once(newer)
    assert sorted(Counter(lab.begun()).values()) == [1, 1]
    assert lab.records("failed") == []


def test_two_repositories_with_one_remote(lab: ClusterLab, pushed: str, launcher: Path) -> None:
    """A fork shares the Jobs that it wants too, and ends none of those that it does not."""
    (lab.root / "fork").mkdir()
    fork = ClusterLab.on(lab.cluster, lab.namespace, lab.root / "fork", lab.s3, launcher)
    with lab.serving():
        lab.holding(2)
        lab.work.git("push", "--quiet", str(fork.origin.path), "+HEAD:refs/heads/main")
        with fork.serving():
            fork.wait("its first words", lambda: fork.log)
            time.sleep(3)
            fork.work.write("in/c", "three")
            fork.held(script="cat /pfs/in/* > /pfs/out/all")
            newer = fork.push("other work", force=True)
            lab.holding(3)
            time.sleep(3)
            lab.gate.touch()
            lab.published(pushed)
            fork.published(newer)
            lab.tidy()
    assert not [line for line in [*lab.log, *fork.log] if line.startswith("cancel")], [*lab.log, *fork.log]
    assert sorted(Counter(lab.begun()).values()) == [1, 1, 1]
    assert lab.records("failed") == []


def test_a_force_push_during_a_run(lab: ClusterLab, pushed: str) -> None:
    with lab.serving():
        lab.holding(2)
        lab.work.git("push", "--quiet", "--force", "origin", f"{pushed}~1:refs/heads/main")
        lab.wait("the end of the jobs", lambda: not lab.jobs())
        lab.tidy()
        assert lab.tip() is None
        lab.work.git("push", "--quiet", "--force", "origin", f"{pushed}:refs/heads/main")
        lab.holding(4)
        lab.gate.touch()
        lab.published(pushed)
        lab.tidy()
    lab.once(pushed)
    assert lab.records("failed") == []  # what nobody wanted is no failed attempt


def test_a_force_push_to_other_work(lab: ClusterLab, pushed: str) -> None:
    with lab.serving():
        lab.holding(2)
        (old,) = lab.jobs()
        lab.work.git("reset", "--quiet", "--hard", f"{pushed}~1")
        lab.work.write("in/a", "other")
        lab.held(script="cat /pfs/in/* > /pfs/out/all")
        newer = lab.push("other work", force=True)
        lab.holding(3)
        lab.gate.touch()
        lab.published(newer)
        lab.tidy()
    assert old["metadata"]["name"] not in [job["metadata"]["name"] for job in lab.jobs()]
    assert lab.files("held") == {"all": "other"}
    lab.once(newer)


def test_a_branch_deleted_during_a_run(lab: ClusterLab) -> None:
    lab.work.write("in/a", "one")
    lab.held()
    lab.push("stages", branch="feature")
    with lab.serving(faster(branches=("*",))):
        lab.holding(1)
        lab.work.git("push", "--quiet", "origin", ":refs/heads/feature")
        lab.wait("the end of the jobs", lambda: not lab.jobs())
        lab.tidy()
    assert lab.tip("feature") is None
    assert lab.records("failed") == []
