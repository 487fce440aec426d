"""What people, their refs and servers that are away do to the loop: it names it, and goes on with all the rest."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.controller.jobs import list_jobs
from gitdata.controller.notes import NOTES_REF
from gitdata.controller.notify import OUTBOX_REF, read_outbox
from gitdata.controller.requests import push_request
from gitdata.errors import ConflictError, RemoteError
from gitdata.formats.requests import PREFIX, SIZE_LIMIT, Request
from helpers.lab import Lab, faster

COPY = "cp /pfs/in/* /pfs/out/"


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.stage("copy", COPY)
    lab.push("stages")
    return lab


def test_what_is_no_request_is_named_and_keeps_nobody_waiting(lab: Lab) -> None:
    lab.push("stages", branch="not-watched")
    origin = lab.origin
    whole = {"v": 1, "kind": "retry", "target": "x", "branch": "main", "by": "me", "time": 1}
    bad = {
        "no-json": b"\xff\0",
        "a-list": b"[]",
        "deep": b"[" * 4000,
        "dance": json.dumps({**whole, "kind": "dance"}).encode(),
        "newer": json.dumps({**whole, "v": 2}).encode(),
        "a-number": json.dumps({**whole, "branch": 7}).encode(),
        "late": json.dumps({**whole, "time": 1e300}).encode(),
        "false-name": json.dumps(whole).encode(),
        "big": b" " * (SIZE_LIMIT + 1),
    }
    for name, data in bad.items():
        origin.update_ref(f"{PREFIX}{name}", origin.write_blob(data))
    origin.update_ref(f"{PREFIX}a-commit", origin.refs("refs/heads/main")["refs/heads/main"])
    origin.update_ref(f"{PREFIX}a-tree", origin.commit(origin.refs("refs/heads/main")["refs/heads/main"]).tree)
    for branch, target in (("main", "no-such-job-1"), ("not-watched", "copy"), ("gone", "copy")):
        push_request(Git(lab.work.path), "origin", Request("retry", target, branch, "me", 1))
    said = lab.settle()
    assert lab.states() == {"copy": "success"}
    for name in (*bad, "a-commit", "a-tree"):
        assert sum(f"{PREFIX}{name}:" in line for line in said) == 1, name
    assert "requests about not-watched stay open: this controller does not watch it" in said
    left = {name.removeprefix(PREFIX) for name in origin.refs(PREFIX)}
    assert {name for name in left if len(name) != 64} == {*bad, "a-commit", "a-tree"}
    assert len(left) == len(bad) + 3  # and the one for the branch that nobody watches
    # Gone from the remote, it is forgotten; a thousand others keep no good one waiting.
    for name in (*bad, "a-commit", "a-tree"):
        origin.run("update-ref", "-d", f"{PREFIX}{name}")
    blob = origin.write_blob(b"nonsense")
    lines = "".join(f"create {PREFIX}{n:064x} {blob}\n" for n in range(1200))
    origin.run("update-ref", "--stdin", input=lines.encode())
    push_request(Git(lab.work.path), "origin", Request("refresh", "copy", "main", "me", 2))
    said = lab.settle()
    assert "and 1180 more" in next(line for line in said if "not JSON" in line)
    assert len(origin.refs(PREFIX)) == 1201  # all but what was asked for


def test_a_git_server_that_is_away_keeps_no_stage(lab: Lab) -> None:
    lab.stage("copy", f"sleep 1; {COPY}")
    lab.stage("next", "cp /pfs/copy/* /pfs/out/", {"pfs": {"repo": "copy", "glob": "/"}})
    source = lab.push("two stages")
    away = lab.root / "away.git"
    with lab.controller() as controller:
        controller.turn()
        lab.origin.path.rename(away)
        executor, end = controller.site.executor, time.monotonic() + 120
        while len(executor.jobs()) < 2 or {s.state for s in executor.jobs().values()} != {"succeeded"}:
            with pytest.raises(RemoteError, match="cannot read"):
                controller.turn()
            assert time.monotonic() < end, lab.log
            time.sleep(0.1)
        assert any(line.startswith("next: start") for line in lab.log)
        away.rename(lab.root / "origin.git")
        while controller.turn():
            time.sleep(0.1)
    assert lab.output().source == source
    assert sum(": start " in line for line in lab.log) == 2
    assert lab.files("next") == {"a": "one"}


def test_to_cancel_what_is_over_publishes_nothing(lab: Lab) -> None:
    said = lab.settle()
    job = next(line.split()[2] for line in said if ": start " in line).rstrip(":")
    tip = lab.tip()
    push_request(Git(lab.work.path), "origin", Request("cancel", job, "main", "me", 1))
    said = lab.settle(faster(branches=("*",)))
    assert "1 requests to end what does not run: deleted" in said
    assert (lab.tip(), lab.origin.refs(PREFIX)) == (tip, {})


def test_a_branch_in_the_way_of_the_outputs_is_named_and_what_was_run_is_kept(lab: Lab) -> None:
    lab.push("stages", branch="gitdata")
    with pytest.raises(ConflictError, match="refs/heads/gitdata is in the way of refs/heads/gitdata/main") as caught:
        lab.settle()
    assert "refs/heads/gitdata:refs/heads/NAME" in caught.value.hint
    assert sum(": start copy" in line for line in lab.log) == 1
    assert not any("refused" in line for line in lab.log)
    lab.origin.run("update-ref", "-d", "refs/heads/gitdata")
    lab.settle()
    assert lab.files("copy") == {"a": "one"}
    assert sum(": start copy" in line for line in lab.log) == 1


def test_an_old_output_branch_that_cannot_be_archived_is_named(lab: Lab) -> None:
    tip = lab.origin.refs("refs/heads/main")["refs/heads/main"]
    lab.origin.update_ref("refs/heads/gitdata/main/old", tip)  # of a branch main/old that is gone
    hook = lab.origin.path / "hooks/pre-receive"
    hook.write_text("#!/bin/sh\nwhile read old new ref; do case $ref in */archive/*) exit 1;; esac; done\n")
    hook.chmod(0o755)
    with pytest.raises(ConflictError, match="refs/heads/gitdata/main/old is in the way"):
        lab.settle()
    hook.unlink()
    lab.settle()
    assert lab.states() == {"copy": "success"}


@pytest.mark.parametrize("kind", ["blob", "tree", "tag"])
def test_what_is_no_outbox_is_named_and_keeps_only_who_sends(lab: Lab, kind: str) -> None:
    mail = '{"from":"a@example.com","to":"b@example.com","subject":"s","text":"x"}'
    lab.stage("threats", f"mkdir /pfs/out/mail; echo '{mail}' > /pfs/out/mail/m", notify={"glob": "/mail/*"})
    source = lab.push("mails")
    lab.work.git("rm", "--quiet", "stages/threats.json")
    quiet = lab.push("none", branch="quiet")
    settings = faster(branches=("*",), sends=("main", "quiet"))
    lab.origin.update_ref(OUTBOX_REF, made(lab, kind))
    with pytest.raises(ConflictError, match=f"{OUTBOX_REF} holds a {kind}"):
        lab.settle(settings)
    assert lab.output("quiet").source == quiet
    assert lab.tip() is None
    assert any(line.startswith(f"main {source[:12]}: {OUTBOX_REF} holds a {kind}") for line in lab.log)
    lab.origin.run("update-ref", "-d", OUTBOX_REF)
    lab.settle(settings)
    assert lab.output().source == source
    assert len(read_outbox(lab.origin, lab.origin.refs(OUTBOX_REF)[OUTBOX_REF])) == 1


@pytest.mark.parametrize("kind", ["blob", "tree", "tag"])
def test_what_is_no_notes_is_named_and_keeps_nobody(lab: Lab, kind: str) -> None:
    strange = made(lab, kind)
    lab.origin.update_ref(NOTES_REF, strange)
    said = lab.settle()
    assert lab.files("copy") == {"a": "one"}
    assert sum(f"{NOTES_REF} holds a {kind}" in line for line in said) == 1
    assert lab.origin.refs(NOTES_REF) == {NOTES_REF: strange}


def made(lab: Lab, kind: str) -> str:
    """An object of a kind that is no commit."""
    head = lab.origin.commit(lab.origin.refs("refs/heads/main")["refs/heads/main"])
    if kind == "tag":
        body = f"object {head.sha}\ntype commit\ntag x\ntagger {head.committer}\n\nx\n"
        return lab.origin.text("hash-object", "-t", "tag", "-w", "--stdin", input=body.encode())
    return head.tree if kind == "tree" else lab.origin.write_blob(b"nonsense")


def test_a_ref_that_the_server_cannot_give_is_named_and_all_others_are_served(lab: Lab) -> None:
    lab.push("stages", branch="sound")
    lab.push("stages", branch="was-sound")
    settings = faster(branches=("*",))
    lab.settle(settings)
    before = lab.tip("was-sound")
    origin = lab.origin
    head = origin.commit(origin.refs("refs/heads/main")["refs/heads/main"])
    body = f"tree {'1' * 40}\nparent {head.sha}\nauthor {head.author}\ncommitter {head.committer}\n\nno tree\n"
    bad = origin.text("hash-object", "-t", "commit", "-w", "--stdin", "--literally", input=body.encode())
    for ref in ("refs/heads/broken", "refs/heads/was-sound", f"{PREFIX}{'2' * 64}"):
        origin.update_ref(ref, bad)
    lab.work.write("in/b", "two")
    source = lab.push("more", branch="sound")
    with pytest.raises(RemoteError, match="of the git remote cannot be read"):
        lab.settle(settings)
    assert lab.output("sound").source == source
    for ref in ("refs/heads/broken", "refs/heads/was-sound", f"{PREFIX}{'2' * 64}"):
        assert sum(line.startswith(f"{ref} of the git remote cannot be read") for line in lab.log) == 1
    assert (lab.tip("was-sound"), origin.refs("refs/gitdata/archive")) == (before, {})
    origin.update_ref("refs/heads/was-sound", source)
    for ref in ("refs/heads/broken", f"{PREFIX}{'2' * 64}"):
        origin.run("update-ref", "-d", ref)
    lab.settle(settings)
    assert lab.output("was-sound").source == source


def test_a_datum_that_failed_is_counted_neither_as_done_nor_as_reused(lab: Lab) -> None:
    lab.work.write("in/b", "two")
    lab.stage("copy", f"test ! -e /pfs/in/b; {COPY}", datum_tries=1)
    lab.push("one fails")
    lab.settle()
    [row] = list_jobs(lab.store, "main", (), 10)
    assert (row.progress, row.counts.failed) == ("1 + 0 / 2", 1)
