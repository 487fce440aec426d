"""The Kubernetes executor against real controllers and a kubelet without containers: jobs by name, why they fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from cluster import testbed
from cluster.fake_kubelet import FATE, SECONDS
from executors import manifests
from gitdata.backends.git import Git
from gitdata.errors import ConflictError, InvalidInputError, RemoteError
from gitdata.executors.base import Job
from gitdata.executors.kubernetes import KubernetesExecutor
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.model import JobStatus, Secret, Stage
from helpers.machine import Repo

pytestmark = pytest.mark.cluster
Make = Callable[..., KubernetesExecutor]


@pytest.fixture
def namespace(control_cluster: testbed.Cluster) -> Iterator[str]:
    name = f"jobs-{uuid4().hex[:8]}"
    yield control_cluster.namespace(name)
    control_cluster.api.delete(f"/apis/batch/v1/namespaces/{name}/jobs", {"propagationPolicy": "Background"})


@pytest.fixture
def make(control_cluster: testbed.Cluster, namespace: str) -> Iterator[Make]:
    executors = []

    def made(fate: str = "succeed", seconds: float = 0, **changes: object) -> KubernetesExecutor:
        notes = {FATE: fate, SECONDS: str(seconds)}
        settings: KubernetesSettings = replace(
            manifests.SETTINGS,
            namespace=namespace,
            pod_annotations=notes,
            **{"refresh_seconds": 0.1, "stuck_seconds": 1, **changes},
        )
        executors.append(KubernetesExecutor(settings, kubeconfig=str(control_cluster.kubeconfig)))
        return executors[-1]

    yield made
    for executor in executors:
        executor.close()


@pytest.fixture
def git(repo: Repo) -> Git:
    return Git(repo.path)


def wait(executor: KubernetesExecutor, name: str, *states: str) -> JobStatus:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        status = executor.status(name)
        assert status is not None
        if status.state in (states or ("succeeded", "failed")):
            return status
        time.sleep(0.05)
    raise AssertionError(f"{name}: {executor.status(name)}")


def suppressed(ask: Callable[[], JobStatus | None]) -> JobStatus | None:
    """The answer, None while there is none."""
    try:
        return ask()
    except RemoteError:
        return None


def pods(cluster: testbed.Cluster, namespace: str, job: Job) -> list[testbed.Object]:
    return cluster.api.list(f"/api/v1/namespaces/{namespace}/pods", labelSelector=f"job-name={job.name}")


def test_a_job_runs_and_its_time_limit_comes_when_it_is_forgotten(
    make: Make,
    git: Git,
    control_cluster: testbed.Cluster,
    namespace: str,
) -> None:
    executor, job = make(), manifests.job()
    assert executor.status(job.name) is None
    executor.start(job, git)
    assert job.name in executor.jobs()
    assert wait(executor, job.name).state == "succeeded"
    found = executor.progress(job.name)
    assert (found.total, found.processed) == (10, 10)
    assert "ttlSecondsAfterFinished" not in control_cluster.job(namespace, job.name)["spec"]
    executor.forget(job.name)
    assert control_cluster.job(namespace, job.name)["spec"]["ttlSecondsAfterFinished"] == 3600
    assert executor.status(job.name) is None
    assert executor.jobs() == {}


def test_another_controller_adopts_what_it_finds(
    make: Make, git: Git, control_cluster: testbed.Cluster, namespace: str
) -> None:
    job = manifests.job()
    first, second = make("hang"), make("hang")
    first.start(job, git)
    uid = control_cluster.job(namespace, job.name)["metadata"]["uid"]
    assert wait(second, job.name, "running").state == "running"
    second.start(replace(job, plan="cd" * 32), git)  # another plan: the job's own counts
    assert control_cluster.job(namespace, job.name)["metadata"]["uid"] == uid
    first.close()
    second.cancel(job.name)
    assert wait(second, job.name) == JobStatus("failed", "cancelled", infrastructure=True)


def test_a_job_of_somebody_else_is_not_ours(make: Make, git: Git) -> None:
    job = manifests.job()
    make("hang").start(job, git)
    other = make(store_url="s3://other/data")
    assert other.jobs() == {}
    with pytest.raises(ConflictError, match="not of this remote"):
        other.start(job, git)
    other.cancel(job.name)
    other.forget(job.name)


def test_cancel_leaves_no_pods(make: Make, git: Git, control_cluster: testbed.Cluster, namespace: str) -> None:
    executor, job = make("hang"), manifests.job()
    executor.start(job, git)
    wait(executor, job.name, "running")
    executor.forget(job.name)
    assert job.name in executor.jobs()  # a running job is not forgotten
    executor.cancel(job.name)
    assert executor.jobs()[job.name].message == "cancelled"
    testbed.eventually("the end of the pods", lambda: not pods(control_cluster, namespace, job))
    executor.forget(job.name)
    assert executor.status(job.name) is None
    executor.start(job, git)  # the name is free again
    assert wait(executor, job.name, "running").state == "running"


def test_a_job_that_could_not_be_deleted_is_not_said_to_have_ended(
    make: Make, git: Git, control_cluster: testbed.Cluster, namespace: str
) -> None:
    executor, job = make("hang"), manifests.job()
    executor.start(job, git)
    wait(executor, job.name, "running")
    with control_cluster.plane.without_apiserver(), pytest.raises(RemoteError):
        executor.cancel(job.name)
    testbed.eventually("the answer", lambda: suppressed(lambda: executor.status(job.name)))
    status = executor.status(job.name)
    assert status is not None
    assert status.state == "running"
    executor.cancel(job.name)
    testbed.eventually("the end of the pods", lambda: not pods(control_cluster, namespace, job))


def test_a_shard_is_tried_again_and_a_failed_datum_is_a_result(make: Make, git: Git) -> None:
    job = manifests.job(datums=1)
    executor = make("exit 201, succeed")
    executor.start(job, git)
    assert wait(executor, job.name) == JobStatus("succeeded", restarts=1)
    failed = replace(job, name="failed-0123456789-1")
    executor = make("exit 1")  # every datum was tried to its end: the index says which failed
    executor.start(failed, git)
    assert wait(executor, failed.name).state == "succeeded"
    assert executor.progress(failed.name).processed == 1


def test_evictions_count_as_no_failure_until_there_are_too_many(make: Make, git: Git) -> None:
    job, executor = manifests.job(datums=1), make("evicted", max_evictions=1)
    executor.start(job, git)
    status = wait(executor, job.name)
    assert "evicted more than 1 times" in status.message
    assert (status.restarts, status.infrastructure) == (0, True)


def test_what_is_the_clusters_fault_is_told_with_its_words(make: Make, git: Git) -> None:
    job, executor = manifests.job(datums=2), make("image")
    executor.start(job, git)
    status = wait(executor, job.name)
    assert (status.state, status.infrastructure) == ("failed", True)
    assert "ImagePullBackOff" in status.message
    assert "not found" in status.message


def test_a_pod_that_no_node_takes(make: Make, git: Git) -> None:
    job = manifests.job(datums=1)
    waiting = make(node_selector={"there": "is-none"})
    waiting.start(job, git)
    deadline = time.monotonic() + 30
    while "no node takes the pod" not in (found := waiting.status(job.name) or JobStatus("failed")).message:
        assert found.state == "pending"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found.state == "pending"  # the cluster may grow
    impatient = make(node_selector={"there": "is-none"}, unschedulable_seconds=2)
    assert "no node takes the pod" in wait(impatient, job.name).message


def test_a_job_of_which_only_some_pods_fit_goes_on(make: Make, git: Git) -> None:
    """The node has room for one of the two at a time: the other waits for longer than it might alone."""
    job = manifests.job(replace(manifests.PLAIN, resources=(("requests.cpu", "2500"),)), datums=2)
    executor = make(seconds=6, unschedulable_seconds=4)
    executor.start(job, git)
    assert wait(executor, job.name) == JobStatus("succeeded")


def test_a_pod_that_is_not_admitted(make: Make, git: Git) -> None:
    executor = make(allow_root=True)
    job = manifests.job(replace(manifests.PLAIN, transform=replace(manifests.PLAIN.transform, user="0")), datums=1)
    executor.start(job, git)
    status = wait(executor, job.name)
    assert "violates PodSecurity" in status.message


def test_a_job_that_takes_too_long(make: Make, git: Git) -> None:
    executor = make("hang", stuck_seconds=30)
    job = manifests.job(replace(manifests.PLAIN, job_timeout_ms=9000), datums=1)
    executor.start(job, git)
    status = wait(executor, job.name)
    assert (status.infrastructure, "ended after job_timeout (9 s)" in status.message) == (False, True)


def test_a_job_that_waits_too_long_is_not_its_commands_fault(make: Make, git: Git) -> None:
    executor = make(node_selector={"there": "is-none"}, stuck_seconds=30)
    job = manifests.job(replace(manifests.PLAIN, job_timeout_ms=1500), datums=1)
    executor.start(job, git)
    status = wait(executor, job.name)
    assert (status.infrastructure, "no pod of the job began" in status.message) == (True, True)


def test_a_queue_lets_jobs_wait(make: Make, git: Git, control_cluster: testbed.Cluster, namespace: str) -> None:
    job, executor = manifests.job(), make(queue="team-a")
    executor.start(job, git)
    assert wait(executor, job.name, "pending").message == "it waits for its queue"
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/{job.name}"
    control_cluster.api.patch(path, {"spec": {"suspend": False}})
    assert wait(executor, job.name).state == "succeeded"


def test_a_job_that_the_server_refuses(make: Make, git: Git) -> None:
    job = manifests.job(replace(manifests.PLAIN, resources=(("requests.cpu", "2"), ("limits.cpu", "1"))))
    executor = make()
    executor.start(job, git)
    status = executor.status(job.name)
    assert status is not None
    assert (status.state, "must be less than or equal to cpu limit" in status.message) == ("failed", True)


@pytest.mark.parametrize(
    ("stage", "word"),
    [
        (replace(manifests.PLAIN, transform=replace(manifests.PLAIN.transform, user="me")), "must be a number"),
        (
            replace(
                manifests.PLAIN, transform=replace(manifests.PLAIN.transform, secrets=(Secret("no-such", "k", "V"),))
            ),
            "secret",
        ),
        (
            replace(manifests.PLAIN, transform=replace(manifests.PLAIN.transform, image="image")),
            "folder of this commit",
        ),
        (replace(manifests.PLAIN, transform=replace(manifests.PLAIN.transform, image="python:3")), "with its registry"),
        (replace(manifests.PLAIN, transform=replace(manifests.PLAIN.transform, image="127.0.0.1:1/x:1")), "reached"),
    ],
)
def test_what_cannot_run_is_said_while_planning(make: Make, repo: Repo, git: Git, stage: Stage, word: str) -> None:
    repo.write("image/Dockerfile", "FROM scratch\n")
    with pytest.raises(Exception, match=word):
        make().environment(git, repo.commit("image"), stage)


def test_the_environment_is_the_images_digest(make: Make, repo: Repo, git: Git) -> None:
    commit = repo.git("rev-parse", "HEAD").strip()
    pinned = replace(manifests.PLAIN, transform=replace(manifests.PLAIN.transform, image=manifests.IMAGE))
    assert make().environment(git, commit, pinned).id == "oci:sha256:" + "1" * 64
    known = "oci:sha256:" + "9" * 64  # a tag is not asked for again
    assert make().environment(git, commit, manifests.PLAIN, known).id == known


def test_only_a_store_that_pods_can_reach(make: Make) -> None:
    with pytest.raises(InvalidInputError, match="pods of a cluster cannot reach it"):
        make(store_url="/srv/data")


def test_a_pod_that_ended_is_noticed_at_once_and_asking_is_cheap(
    make: Make, git: Git, control_cluster: testbed.Cluster
) -> None:
    executor, job = make(seconds=3, refresh_seconds=5), manifests.job(datums=1)
    ended: list[float] = []
    assert control_cluster.fake is not None
    control_cluster.fake.act = lambda pod: ended.append(time.monotonic())  # type: ignore[func-returns-value]
    try:
        assert executor.jobs() == {}
        executor.start(job, git)
        while executor.jobs()[job.name].state != "succeeded":
            time.sleep(0.02)
        assert time.monotonic() - ended[0] < 0.9  # the Job itself says so about a second later
    finally:
        control_cluster.fake.act = None
    began = time.monotonic()
    for _ in range(1000):
        executor.jobs()
    assert time.monotonic() - began < 1
    executor.close()


def test_an_api_server_that_is_gone_is_not_a_cluster_without_jobs(
    make: Make, git: Git, control_cluster: testbed.Cluster
) -> None:
    executor, job = make("hang"), manifests.job()
    executor.start(job, git)
    wait(executor, job.name, "running")
    with control_cluster.plane.without_apiserver():
        with pytest.raises(RemoteError, match="cannot be reached") as caught:
            testbed.eventually("the loss", lambda: executor.jobs() == {})
        assert caught.value.transient
        began = time.monotonic()
        with pytest.raises(RemoteError):
            executor.status(job.name)
        assert time.monotonic() - began < 0.5  # it does not try again at once
    deadline = time.monotonic() + 30
    while True:
        try:
            assert executor.jobs()[job.name].state == "running"
            break
        except RemoteError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    executor.cancel(job.name)
