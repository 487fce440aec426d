"""Pods that end as they should not: the right result comes all the same, or the failure with its cause."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from cluster.fake_kubelet import LEASES, FakeKubelet
from helpers.cluster_lab import ClusterLab, endpoint_of
from helpers.lab import faster
from helpers.proxy import Fault, Request, misbehaving

pytestmark = pytest.mark.cluster
Right = Callable[[], None]


def pod_path(lab: ClusterLab, pod: str) -> str:
    return f"/api/v1/namespaces/{lab.namespace}/pods/{pod}"


def test_without_a_fault(lab: ClusterLab, right: Right) -> None:
    with lab.serving():
        lab.holding(2)
        lab.gate.touch()
        right()
    assert len(lab.pods.all) == len(lab.begun()) == 2


def test_a_pod_deleted_by_hand(lab: ClusterLab, right: Right) -> None:
    with lab.serving():
        pod, _ = lab.holding(2)
        lab.cluster.api.delete(pod_path(lab, pod))
        lab.holding(3)
        lab.gate.touch()
        right()
    assert len(lab.pods.all) == 3
    assert lab.records("failed") == []
    assert lab.records("result")[0]["restarts"] == 1


def test_a_pod_evicted_through_the_api(lab: ClusterLab, right: Right) -> None:
    with lab.serving():
        pod, _ = lab.holding(2)
        lab.cluster.api.create(f"{pod_path(lab, pod)}/eviction", {"metadata": {"name": pod}})
        lab.holding(3)
        lab.gate.touch()
        right()
    assert lab.records("failed") == []
    assert lab.records("result")[0]["restarts"] == 0  # an eviction is no failure


def out_of_memory(lab: ClusterLab, pod: str) -> None:
    """As the kernel ends a container: the launcher has no last word."""
    user = lab.pods.all[pod].user
    assert user is not None
    user.kill()


def test_a_command_that_runs_out_of_memory_once(lab: ClusterLab, right: Right) -> None:
    """It is tried again in the next pod."""
    with lab.serving():
        pod, _ = lab.holding(2)
        out_of_memory(lab, pod)
        lab.gate.touch()
        right()
    assert len(lab.begun()) == 3


def test_a_command_that_runs_out_of_memory(lab: ClusterLab, pushed: str) -> None:
    """When its tries are used up, that datum has failed, and no other."""
    lab.held(datum_tries=1)
    commit = lab.push("one try")
    with lab.serving():
        pod, _ = lab.holding(2)
        out_of_memory(lab, pod)
        lab.gate.touch()
        lab.published(commit)
        lab.tidy()
    (result,) = lab.records("result")
    assert (result["state"], result["cause"]) == ("failed", "user")
    assert "most likely for want of memory" in result["message"]
    assert lab.states() == {"held": "failed"}
    assert len(lab.begun()) == 2
    lab.once(commit)
    assert len(lab.results()) == 2


@pytest.fixture
def doomed(lab: ClusterLab) -> Iterator[FakeKubelet]:
    """A second node, the only one that takes pods for now."""
    lab.cluster.api.patch("/api/v1/nodes/fake1", {"spec": {"unschedulable": True}})
    node = FakeKubelet(lab.cluster.plane.api(), f"doomed-{lab.namespace}", act=lab.pods)
    node.start()
    yield node
    node.stop()
    lab.cluster.api.patch("/api/v1/nodes/fake1", {"spec": {"unschedulable": None}})
    lab.cluster.api.delete(f"/api/v1/nodes/{node.name}")
    lab.cluster.api.delete(f"{LEASES}/{node.name}")


def test_a_node_that_is_lost_for_good(lab: ClusterLab, pushed: str, right: Right, doomed: FakeKubelet) -> None:
    """Its pods can never be said to have ended: the attempt is given up, the next one runs elsewhere."""
    lab.settings = replace(lab.settings, stuck_seconds=1)
    with lab.serving():
        first = lab.holding(2)
        lab.cluster.api.patch("/api/v1/nodes/fake1", {"spec": {"unschedulable": None}})
        lab.pods.lose(doomed.name)
        doomed.stop()
        lab.holding(4, seconds=120)
        lab.gate.touch()
        lab.published(pushed)
        for pod in lab.active():  # as the cluster does when such a node is taken out of it
            assert pod in first
            lab.cluster.api.delete(pod_path(lab, pod), {"gracePeriodSeconds": 0})
        right()
    (failed,) = lab.records("failed")
    assert "does not answer" in failed["message"]
    assert failed["cause"] == "infrastructure"


def test_two_pods_for_one_index(lab: ClusterLab) -> None:
    """A pod that was deleted by force while its node was cut off goes on: both end, one result counts."""
    lab.work.write("in/a", "one")
    lab.held(script="date +%s%N > /pfs/out/when")
    commit = lab.push("stages")
    with lab.serving():
        (pod,) = lab.holding(1)
        lab.pods.deaf.add(pod)
        lab.cluster.api.delete(pod_path(lab, pod), {"gracePeriodSeconds": 0})
        first, second = (lab.pods.all[name] for name in lab.holding(2))
        lab.gate.touch()
        lab.published(commit)
        lab.wait("both pods", lambda: not lab.pods.running)
        lab.tidy()
    ends = [(pod.work / "ctl" / "end").read_text().partition(" ")[0] for pod in (first, second)]
    assert ends == ["0", "0"]
    lab.once(commit)
    assert len(lab.begun()) == 2
    written = lab.files("held")
    with lab.serving():  # a controller that knows nothing yet takes the same one
        lab.work.write("README", "more")
        newer = lab.push("more")
        lab.published(newer)
    assert lab.files("held") == written
    assert len(lab.begun()) == 2


def test_an_agent_killed_in_upload(lab: ClusterLab, right: Right) -> None:
    """Once before the store has the object, once after it: the agent begins anew and loses nothing."""
    killed: list[str] = []

    def rule(request: Request) -> Fault | None:
        if request.method == "PUT" and "/files/md5/" in request.path and len(killed) < 2:
            for agent in [pod.agent for pod in lab.pods.running.values()]:
                assert agent is not None
                agent.kill()
            killed.append(request.path)
            return Fault(forward=len(killed) == 2)
        return None

    with misbehaving(endpoint_of(lab.s3)) as proxy, lab.serving():
        lab.pods.env = {**lab.pods.env, "AWS_ENDPOINT_URL": proxy.url}
        lab.gate.touch()
        lab.wait("the first upload", lambda: proxy.seen)
        proxy.rule = rule
        right()
    assert lab.records("failed") == []


def test_a_job_deleted_by_hand(lab: ClusterLab, right: Right) -> None:
    with lab.serving():
        lab.holding(2)
        (job,) = lab.jobs()
        path = f"/apis/batch/v1/namespaces/{lab.namespace}/jobs/{job['metadata']['name']}"
        lab.cluster.api.delete(path, {"propagationPolicy": "Background"})
        lab.holding(4)
        lab.gate.touch()
        right()
    (again,) = lab.jobs()
    assert again["metadata"]["name"] == job["metadata"]["name"]
    assert again["metadata"]["uid"] != job["metadata"]["uid"]
    assert lab.records("failed") == []


def test_a_full_quota_of_jobs_keeps_no_other_branch_waiting(lab: ClusterLab) -> None:
    """It may be full of what that branch has to publish first."""
    lab.work.write("in/a", "one")
    lab.held()
    lab.push("stages", branch="z")
    with lab.serving(faster(branches=("a", "z"))) as controller:
        lab.holding(1)
        quotas = f"/api/v1/namespaces/{lab.namespace}/resourcequotas"
        lab.cluster.api.create(quotas, {"metadata": {"name": "full"}, "spec": {"hard": {"count/jobs.batch": "1"}}})
        lab.wait("the quota", lambda: lab.cluster.api.get(f"{quotas}/full")["status"].get("used"))
        lab.held(script="cat /pfs/in/* > /pfs/out/all")
        later = lab.push("other work", branch="a")
        states = controller.site.executor.jobs
        lab.wait("its words", lambda: any("exceeded quota" in status.message for status in states().values()))
        lab.gate.touch()
        lab.wait("the outputs of z", lambda: lab.tip("z"))
        lab.cluster.api.delete(f"{quotas}/full")
        lab.published(later, "a")
        lab.tidy()
    assert len([record for record in lab.records("started") if record["branch"] == "a"]) == 1
    assert lab.records("failed") == []


@pytest.mark.parametrize("what", ["pods", "count/jobs.batch"])
def test_a_namespace_whose_quota_is_full(lab: ClusterLab, right: Right, what: str) -> None:
    quotas = f"/api/v1/namespaces/{lab.namespace}/resourcequotas"
    quota = {"metadata": {"name": "full"}, "spec": {"hard": {what: "0"}}}
    lab.cluster.api.create(quotas, quota)
    lab.wait("the quota", lambda: "hard" in lab.cluster.api.get(f"{quotas}/full")["status"])
    lab.gate.touch()
    with lab.serving() as controller:

        def told() -> bool:
            states = controller.site.executor.jobs().values()
            return any("exceeded quota" in text for text in [*lab.log, *(s.message for s in states)])

        lab.wait("its words", told)
        assert lab.begun() == []
        lab.cluster.api.delete(f"{quotas}/full")
        right()
    assert lab.records("failed") == []
