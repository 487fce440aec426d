"""Faults that need a kubelet and containers: a real eviction, a real lack of memory, a kubelet that is away."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.api import Object
from cluster.processes import eventually
from cluster.testbed import Cluster
from executors.bench import Bench
from gitdata.executors.base import Job
from gitdata.executors.kubernetes import KubernetesExecutor
from gitdata.model import DatumResult, RunPlan
from helpers.real_pods import bench, executor

__all__ = ["bench", "executor"]  # found here by pytest
pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class Work:
    """A job of one datum."""

    def __init__(self, cluster: Cluster, executor: KubernetesExecutor, bench: Bench) -> None:
        self.cluster, self.executor, self.bench = cluster, executor, bench
        self.space = f"/api/v1/namespaces/{executor._settings.namespace}"

    def begin(self, script: str, **more: object) -> tuple[Job, RunPlan]:
        plan = self.bench.plan(self.executor, self.bench.stage(script, **more), {"in": self.bench.input({"a": b"one"})})
        job = self.bench.job(plan)
        self.executor.start(job, self.bench.git)
        return job, plan

    def copying(self) -> tuple[Job, RunPlan]:
        """Returns when the command has begun; it goes on for some seconds."""
        job, plan = self.begin("echo begun; sleep 6; cp /pfs/in/* /pfs/out/")
        eventually("the command", lambda: "begun" in self.bench.printed(job))
        return job, plan

    def end(self, job: Job, plan: RunPlan) -> DatumResult:
        """Its result, when the job has succeeded and its pods have gone their way."""
        status = self.bench.wait(self.executor, job.name)
        assert status.state == "succeeded", status
        eventually("the end of the pods", lambda: not [p for p in self.pods(job) if p["status"]["phase"] == "Running"])
        return self.bench.results(plan)[0][0]

    def pods(self, job: Job) -> list[Object]:
        return self.cluster.api.list(f"{self.space}/pods", labelSelector=f"job-name={job.name}")


@pytest.fixture
def work(node_cluster: Cluster, executor: KubernetesExecutor, bench: Bench) -> Work:
    return Work(node_cluster, executor, bench)


def test_a_real_pod_is_evicted(work: Work) -> None:
    job, plan = work.copying()
    (pod,) = work.pods(job)
    name = pod["metadata"]["name"]
    work.cluster.api.create(f"{work.space}/pods/{name}/eviction", {"metadata": {"name": name}})
    result = work.end(job, plan)
    assert [entry.path for entry in result.outputs] == ["a"]
    assert name not in [p["metadata"]["name"] for p in work.pods(job) if p["status"]["phase"] == "Succeeded"]
    status = work.executor.status(job.name)
    assert status is not None
    assert status.restarts == 0


def test_a_real_lack_of_memory(work: Work) -> None:
    """The kernel ends the command, not the launcher: that datum has failed, and with it nothing else."""
    job, plan = work.begin("python3 -c 'print(len(bytearray(1 << 30)))'", resources=(("limits.memory", "128Mi"),))
    failure = work.end(job, plan).failure
    assert failure is not None
    assert (failure.kind, failure.exit_code) == ("user", 137)
    assert len(work.pods(job)) == 1


def test_a_kubelet_that_is_away_for_a_while(work: Work) -> None:
    """The containers go on without it; their end is told when it is back."""
    kubelet = work.cluster.servers["kubelet"]
    job, plan = work.copying()
    kubelet.kill()
    try:
        eventually("the result", lambda: work.bench.results(plan)[0])
    finally:
        kubelet.start()
        assert work.cluster.node is not None
        work.cluster.node.ready()
    assert [entry.path for entry in work.end(job, plan).outputs] == ["a"]
    assert len(work.pods(job)) == 1


def test_a_real_agent_is_killed(work: Work) -> None:
    """Its container is started again in the same pod and goes on."""
    work.cluster.ours("its processes are not on this machine")
    job, plan = work.copying()
    (pod,) = work.pods(job)
    (pid,) = agents(str(pod["metadata"]["uid"]))
    os.kill(pid, signal.SIGKILL)
    assert [entry.path for entry in work.end(job, plan).outputs] == ["a"]
    (pod,) = work.pods(job)
    (agent,) = (c for c in pod["status"]["initContainerStatuses"] if c["name"] == "agent")
    assert agent["restartCount"] == 1


def agents(pod: str) -> Iterator[int]:
    """The processes of this machine that are the agent of a pod."""
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
            if b"gitdata.worker.agent" in words and pod in (place / "cgroup").read_text():
                yield int(place.name)
        except OSError:
            continue
