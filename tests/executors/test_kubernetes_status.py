"""What Jobs and pods say, from the dictionaries alone."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from executors import manifests
from gitdata.executors.base import Progress
from gitdata.executors.kubernetes_status import (
    cut_off,
    ended,
    indexes,
    needs_pods,
    over,
    progress,
    troubles,
    unfinished,
)
from gitdata.formats.live import LiveShard
from gitdata.model import JobStatus

NOW = datetime(2026, 1, 1, 2, tzinfo=UTC)  # two hours after everything was made


def job(condition: str = "", reason: str = "", **status: Any) -> dict[str, Any]:
    made = manifests.plain()
    made["metadata"]["creationTimestamp"] = "2026-01-01T00:00:00Z"
    made["status"] = status
    if condition:
        said = {"type": condition, "status": "True", "reason": reason, "message": f"the words of {reason}"}
        made["status"]["conditions"] = [said]
    return made


def pod(index: int, code: int | None = None, at: int = 0, **status: Any) -> dict[str, Any]:
    containers = (
        [] if code is None else [{"name": "user", "state": {"terminated": {"exitCode": code, "message": "why"}}}]
    )
    notes = {"batch.kubernetes.io/job-completion-index": str(index)}
    metadata = {"name": f"p{index}", "annotations": notes, "creationTimestamp": f"2026-01-01T00:00:{at:02}Z"}
    return {"metadata": metadata, "status": {"phase": "Failed", "containerStatuses": containers, **status}}


@pytest.mark.parametrize("condition", ["SuccessCriteriaMet", "FailureTarget", "Suspended"])
def test_what_comes_before_the_end_is_not_the_end(condition: str) -> None:
    assert ended(job(condition), ()) is None


def test_failed_shards_are_told_apart_from_failed_datums() -> None:
    failed = job("Failed", "FailedIndexes", failedIndexes="1,3")
    assert needs_pods(failed)
    tried = [pod(1, 1), pod(3, 201, at=1), pod(3, 1, at=2)]
    assert ended(failed, tried) == JobStatus("succeeded")
    lost = ended(failed, [pod(1, 1), pod(3, 1, at=1), pod(3, 201, at=2)])
    assert lost == JobStatus("failed", "pod p3: exit code 201: why", infrastructure=True)
    gone = ended(failed, [pod(1, 1)])  # nobody knows how shard 3 ended
    assert gone == JobStatus("failed", "the words of FailedIndexes", infrastructure=True)


def test_other_ends() -> None:
    assert ended(job("Complete", failed=2), ()) == JobStatus("succeeded", restarts=2)
    late = ended(job("Failed", "DeadlineExceeded"), ())
    assert late is not None
    assert (late.infrastructure, "job_timeout" in late.message) == (False, True)
    full = ended(job("Failed", "DeadlineExceeded", failed=4), (), ran=False)
    assert full is not None
    assert (full.infrastructure, "no pod of the job began" in full.message) == (True, True)
    deleted = job()
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert ended(deleted, ()) == JobStatus("failed", "the Job was deleted", infrastructure=True)


def test_indexes_and_progress() -> None:
    assert list(indexes("0,2-4,9")) == [0, 2, 3, 4, 9]
    assert list(indexes("")) == []
    # 10 datums in 8 shards: the first two have two each.
    assert progress(job(completedIndexes="0,7", failedIndexes="1")).processed == 5
    assert progress(job()).total == 10
    live = {0: LiveShard(processed=2, failed=2, bytes_up=5), 1: LiveShard(processed=1, recovered=1, bytes_down=7)}
    assert progress(job(completedIndexes="0"), live=live) == Progress(10, 3, 2, 1, 7, 5)


@pytest.mark.parametrize(
    ("reason", "limit", "infrastructure"),
    [("InvalidImageName", 0, False), ("ImagePullBackOff", 300, True), ("CreateContainerError", 300, True)],
)
def test_containers_that_do_not_start(reason: str, limit: float, infrastructure: bool) -> None:
    waiting = {"name": "user", "state": {"waiting": {"reason": reason, "message": "the words"}}}
    (found,) = troubles(job(), [pod(0, phase="Pending", containerStatuses=[waiting])], (), manifests.SETTINGS, NOW)
    assert (found.limit, found.infrastructure) == (limit, infrastructure)
    assert found.message == f"container user: {reason}: the words"
    starting = {"name": "user", "state": {"waiting": {"reason": "PodInitializing"}}}
    pods = [pod(0, phase="Pending", containerStatuses=[starting])]
    assert troubles(job(), pods, (), manifests.SETTINGS, NOW) == []


@pytest.mark.parametrize(
    ("name", "words", "theirs"),
    [
        ("user", 'secret "token" not found', True),
        ("user", "failed to sync secret cache: timed out waiting for the condition", False),
        ("user", "services have not yet been read at least once, cannot construct envvars", False),
        ("agent", 'secret "gitdata-store" not found', False),
    ],
)
def test_whose_fault_a_container_is_that_cannot_be_configured(name: str, words: str, theirs: bool) -> None:
    """A user's failure is never tried again by itself."""
    waiting = {"name": name, "state": {"waiting": {"reason": "CreateContainerConfigError", "message": words}}}
    (found,) = troubles(job(), [pod(0, phase="Pending", containerStatuses=[waiting])], (), manifests.SETTINGS, NOW)
    assert (found.limit, found.infrastructure) == ((0, False) if theirs else (300, True))


def test_a_full_quota_may_last_longer_than_a_refusal() -> None:
    words = ("pods x is forbidden: exceeded quota: q", "no")
    events = [{"reason": "FailedCreate", "message": m, "involvedObject": {"name": m}} for m in words]
    assert [t.limit for t in troubles(job(), (), events, manifests.SETTINGS, NOW)] == [3600, 300]


def test_the_last_words_of_pods_are_only_numbers() -> None:
    def said(index: int, words: str) -> dict[str, Any]:
        made = pod(index, 0)
        made["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = words
        return made

    good = '{"processed": 2, "failed": 1, "recovered": 1, "down": 5, "up": 7}'
    pods = [
        said(0, good),
        said(1, good),
        said(2, "no JSON"),
        said(3, '{"failed": -1, "up": "x", "down": true}'),
        said(4, "[]"),
    ]
    found = progress(job(completedIndexes="0-4"), pods)
    assert (found.failed, found.recovered, found.bytes_down, found.bytes_up) == (2, 2, 10, 14)


def test_a_job_whose_shards_have_all_ended_is_over_before_it_says_so() -> None:
    assert unfinished(job(completedIndexes="0-5")) == [6, 7]
    again = pod(7, 1)
    again["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] = "2"
    assert over(job(completedIndexes="0-5"), [pod(6, 0), again]) == JobStatus("succeeded", restarts=2)
    assert over(job(completedIndexes="0-5"), [pod(6, 0)]) is None
    assert over(job(completedIndexes="0-5"), [pod(6, 0), pod(7, 0), pod(7, 200, at=1)]) is None  # the newest counts
    assert progress(job(completedIndexes="0-5"), done=True).processed == 10


def test_the_newest_event_of_an_object_says_why_it_does_not_start() -> None:
    def event(name: str, reason: str, kind: str = "Warning") -> dict[str, Any]:
        return {"reason": reason, "type": kind, "message": "the words", "involvedObject": {"name": name}}

    past = [event("p1", "FailedScheduling"), event("p1", "Pulling", "Normal")]
    found = troubles(job(), (), [*past, event("p2", "FailedMount")], manifests.SETTINGS, NOW)
    assert [(t.message, t.limit) for t in found] == [("a pod does not start: FailedMount: the words", 300)]


def waiting(index: int, *, scheduled: str = "", reason: str = "") -> dict[str, Any]:
    """A pod that is Pending, with a node since then or without one; reason: what its container waits for."""
    told = {"type": "PodScheduled", "status": "True", "lastTransitionTime": scheduled}
    if not scheduled:
        told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "full"}
    state = {"name": "user", "state": {"waiting": {"reason": reason, "message": "429"}}}
    made = pod(index, phase="Pending", conditions=[told], containerStatuses=[state] if reason else [])
    return {**made, "spec": {"nodeName": "n1"} if scheduled else {}}


def running(index: int) -> dict[str, Any]:
    return {**pod(index, phase="Running"), "spec": {"nodeName": "n1"}}


def test_pods_without_a_node_may_wait_while_others_have_one() -> None:
    """A Job that makes progress is not ended because the cluster is smaller than it asks for."""

    def lasts(*pods: dict[str, Any]) -> bool:
        (found,) = troubles(job(), pods, (), manifests.SETTINGS, NOW)
        return found.lasts

    assert lasts(waiting(1))
    assert not lasts(waiting(1), running(0))
    done = {**pod(0, 0, phase="Succeeded"), "spec": {"nodeName": "n1"}}
    assert lasts(waiting(1), done)
    done["status"]["containerStatuses"][0]["state"]["terminated"]["finishedAt"] = "2026-01-01T01:30:00Z"
    assert not lasts(waiting(1), done)
    again = waiting(0)  # in the place of one that was evicted
    again["metadata"]["creationTimestamp"] = "2026-01-01T01:30:00Z"
    (_, found) = troubles(job(), [waiting(1), again], (), manifests.SETTINGS, NOW)
    assert not found.lasts


def test_each_pod_has_its_own_patience_which_begins_when_it_has_a_node() -> None:
    late, soon = "2026-01-01T01:50:00Z", "2026-01-01T01:59:57Z"
    pods = [waiting(0), waiting(1, scheduled=late), waiting(2, scheduled=soon, reason="ErrImagePull")]
    events = [
        {"type": "Warning", "reason": "FailedMount", "involvedObject": {"name": f"p{index}"}, "message": "no CNI"}
        for index in (1, 2)
    ]
    _, pull, *mounts = troubles(job(), pods, events, manifests.SETTINGS, NOW)
    assert (pull.waited, pull.lasts) == (3, False)
    assert [(m.waited, m.lasts) for m in mounts] == [(600, True), (3, False)]


@pytest.mark.parametrize(("begun", "lasts"), [("2026-01-01T00:10:00Z", True), ("2026-01-01T01:59:00Z", False)])
def test_a_job_that_waited_for_its_queue_has_just_begun(begun: str, lasts: bool) -> None:
    refused = {"reason": "FailedCreate", "message": "a webhook is away", "involvedObject": {"name": "count-it"}}
    (found,) = troubles(job(startTime=begun), (), [refused], manifests.SETTINGS, NOW)
    assert found.lasts == lasts


def test_a_pod_whose_node_is_lost() -> None:
    """Its kubelet never says that it has ended, and a Job waits for that."""
    gone = pod(0, phase="Running")
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:10Z"
    gone["spec"] = {"nodeName": "n1"}
    said = pod(1, phase="Failed")
    said["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:10Z"
    assert cut_off([gone, said, pod(2)], manifests.SETTINGS, datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)) == []
    (found,) = cut_off([gone, said, pod(2)], manifests.SETTINGS, datetime(2026, 1, 1, 0, 1, tzinfo=UTC))
    assert found.message == "pod p0 was deleted, but its node n1 does not answer"
    assert (found.limit, found.waited, found.infrastructure) == (300, 50, True)
    assert needs_pods(job(ready=1, active=1, terminating=1))
