"""Image folders built by Jobs: adopted, told why they fail; on the node tier by the real images of the system."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest

from cluster import testbed
from cluster.api import Api, ApiError, Object
from cluster.fake_kubelet import LEASES, FakeKubelet
from cluster.processes import eventually
from executors.manifests import SETTINGS
from gitdata.backends.builders import ImageSettings
from gitdata.backends.git import Git
from gitdata.backends.kube import Cluster, Kube
from gitdata.backends.local import LocalStore
from gitdata.errors import ConflictError, GitdataError, InvalidInputError, MachineError, RemoteError
from gitdata.executors.kubernetes_build import ClusterBuilder
from gitdata.executors.kubernetes_build_manifest import CONTEXT, BuildSettings, build_job, job_name
from gitdata.formats.keys import context_key
from helpers.builds import image_folders
from helpers.machine import Repo

BUILDER = "registry.example/gitdata-builder@sha256:" + "3" * 64
IMAGES = ImageSettings("registry.example/team", args={"HTTP_PROXY": "http://proxy:1", "X": "$(HOME)"})
REFERENCE = "registry.example/team/plot:" + "1" * 40
DIGEST = "sha256:" + "4" * 64


def test_only_the_context_container_has_keys_and_only_the_push_container_the_login() -> None:
    settings = BuildSettings(image=BUILDER, push_secret="to-push", pull_secret="to-pull")
    pod = build_job(REFERENCE, "5" * 64, "stage-images/plot", settings, SETTINGS, IMAGES)["spec"]["template"]["spec"]
    fetch, build, push = (json.dumps(c) for c in [*pod["initContainers"], *pod["containers"]])
    assert [("secretKeyRef" in c, "login-push" in c, "login-build" in c) for c in (fetch, build, push)] == [
        (True, False, False),
        (False, False, True),
        (False, True, False),
    ]
    whole = json.dumps(pod)
    assert "never in a manifest" not in whole
    assert "SYS_ADMIN" not in whole
    assert "privileged" not in whole
    words = pod["initContainers"][1]["command"]
    assert "X=$$(HOME)" in words, "the cluster would put a variable there"
    assert {"name": "HTTP_PROXY", "value": "http://proxy:1"} in pod["initContainers"][1]["env"]


def test_what_is_no_reference_gets_no_job() -> None:
    with pytest.raises(InvalidInputError):
        build_job("--help", "5" * 64, "plot", BuildSettings(image=BUILDER), SETTINGS, IMAGES)
    with pytest.raises(InvalidInputError, match="names no image for builds"):
        ClusterBuilder(None, None, BuildSettings(), SETTINGS, IMAGES)  # type: ignore[arg-type]


@pytest.fixture
def git(repo: Repo) -> Git:
    return image_folders(repo)


@dataclass
class Pods:
    """What the fake kubelet says of a build's pod: a status for each, the last one for all that follow."""

    api: Api
    namespace: str
    fates: list[Object] = field(default_factory=list)
    seen: list[Object] = field(default_factory=list)

    def __call__(self, pod: Object) -> str | None:
        if pod["metadata"]["namespace"] != self.namespace:
            return None
        self.seen.append(pod)
        status = self.fates[min(len(self.seen), len(self.fates)) - 1] if self.fates else {}
        if status:
            path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}/status"
            self.api.patch(path, {"status": status})
        return "hang"


def end(name: str, code: int, message: str = "", reason: str = "") -> Object:
    said = {"exitCode": code, "reason": reason or ("Error" if code else "Completed"), "message": message}
    times = dict.fromkeys(("startedAt", "finishedAt"), "2026-01-01T00:00:00Z")
    return {"name": name, "image": "x", "imageID": "x", "ready": False, "restartCount": 0} | {
        "state": {"terminated": said | times}
    }


def built(message: str = DIGEST) -> Object:
    first = [end("context", 0), end("build", 0)]
    return {"phase": "Succeeded", "initContainerStatuses": first, "containerStatuses": [end("push", 0, message)]}


def failed(container: str, message: str, reason: str = "") -> Object:
    if container == "push":
        return built() | {"phase": "Failed", "containerStatuses": [end("push", 1, message, reason)]}
    first = [end("context", 0)] if container == "build" else []
    return {"phase": "Failed", "initContainerStatuses": [*first, end(container, 1, message, reason)]}


@pytest.fixture
def pods(control_cluster: testbed.Cluster) -> Iterator[Pods]:
    namespace = control_cluster.namespace(f"builds-{uuid4().hex[:8]}", "privileged")
    assert control_cluster.fake is not None
    made, before = Pods(control_cluster.api, namespace), control_cluster.fake.act
    control_cluster.fake.act = made
    yield made
    control_cluster.fake.act = before
    control_cluster.api.delete(f"/apis/batch/v1/namespaces/{namespace}/jobs", {"propagationPolicy": "Background"})


@pytest.fixture
def make(control_cluster: testbed.Cluster, pods: Pods, tmp_path: Path) -> Callable[[], ClusterBuilder]:
    def made() -> ClusterBuilder:
        kube = Kube(Cluster(pods.namespace, str(control_cluster.kubeconfig)))
        settings = BuildSettings(image=BUILDER, namespace=pods.namespace, service_account="", poll_seconds=0.1)
        store = LocalStore(tmp_path / "store", str(tmp_path / "store"))
        return ClusterBuilder(kube, store, settings, replace(SETTINGS, stuck_seconds=1), IMAGES)

    return made


@pytest.mark.cluster
def test_the_digest_is_what_the_pod_says_and_a_second_asker_adopts_the_job(
    make: Callable[[], ClusterBuilder], pods: Pods, git: Git, tmp_path: Path
) -> None:
    pods.fates = [built()]
    with ThreadPoolExecutor(2) as both:
        found = list(both.map(lambda builder: builder.build(git, "HEAD", "plot", REFERENCE), (make(), make())))
    assert found == [DIGEST, DIGEST]
    assert make().build(git, "HEAD", "plot", REFERENCE) == DIGEST
    (pod,) = pods.seen
    digest = pod["metadata"]["annotations"][CONTEXT]
    assert LocalStore(tmp_path / "store", "").head(context_key("main", digest)) is not None


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("status", "kind", "words", "transient"),
    [
        (failed("build", "step one\nERROR: no such package\n"), InvalidInputError, "no such package", False),
        (failed("build", "Could not connect: connection refused"), RemoteError, "the network", True),
        (failed("build", "", "OOMKilled"), MachineError, "out of memory", False),
        (failed("context", "the store says no"), RemoteError, "cannot fetch its context: the store says no", True),
        (failed("push", "denied: no"), RemoteError, "cannot be pushed: denied", False),
        ({"phase": "Failed", "reason": "DeadlineExceeded"}, InvalidInputError, "build_seconds", False),
        ({"phase": "Failed", "reason": "Evicted", "message": "disk"}, MachineError, "Evicted: disk", False),
    ],
)
def test_a_failure_is_told_and_the_next_asker_builds_again(
    status: Object,
    kind: type[GitdataError],
    words: str,
    transient: bool,
    make: Callable[[], ClusterBuilder],
    pods: Pods,
    git: Git,
) -> None:
    pods.fates = [status, built()]
    with pytest.raises(kind, match=words) as told:
        make().build(git, "HEAD", "plot", REFERENCE)
    assert told.value.transient == transient
    assert make().build(git, "HEAD", "plot", REFERENCE) == DIGEST
    assert len(pods.seen) == 2


@pytest.mark.cluster
def test_a_job_of_somebody_else_is_left_alone(make: Callable[[], ClusterBuilder], pods: Pods, git: Git) -> None:
    pod = {"restartPolicy": "Never", "containers": [{"name": "a", "image": "x"}]}
    other = {"metadata": {"name": job_name(REFERENCE)}, "spec": {"template": {"spec": pod}}}
    pods.api.create(f"/apis/batch/v1/namespaces/{pods.namespace}/jobs", other)
    with pytest.raises(ConflictError, match="does not build"):
        make().build(git, "HEAD", "plot", REFERENCE)


@pytest.mark.cluster
def test_who_waits_is_told_when_the_job_is_deleted_or_the_controller_ends(
    make: Callable[[], ClusterBuilder], pods: Pods, git: Git
) -> None:
    path = f"/apis/batch/v1/namespaces/{pods.namespace}/jobs/{job_name(REFERENCE)}"
    builder = make()
    threading.Timer(1, builder.close).start()
    with pytest.raises(MachineError, match="controller ends") as ended:
        builder.build(git, "HEAD", "plot", REFERENCE)
    assert ended.value.transient
    assert pods.api.get(path)["metadata"]["name"], "it goes on"
    with ThreadPoolExecutor(1) as other:
        waiting = other.submit(make().build, git, "HEAD", "plot", REFERENCE)

        def told() -> bool:
            if not waiting.done():  # it may not have adopted the Job yet: then it makes another one
                pods.api.delete(path, {"propagationPolicy": "Background"})
            return waiting.done()

        eventually("the end of waiting", told)
        with pytest.raises(MachineError, match="was deleted") as deleted:
            waiting.result(60)
    assert deleted.value.transient


@pytest.mark.cluster
def test_a_build_that_cannot_start_is_ended(make: Callable[[], ClusterBuilder], pods: Pods, git: Git) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    state = {"name": "context", "image": "x", "imageID": "", "ready": False, "restartCount": 0, "state": waiting}
    pods.fates = [{"phase": "Pending", "initContainerStatuses": [state]}]
    with pytest.raises(MachineError, match=r"does not start: .*no such image"):
        make().build(git, "HEAD", "plot", REFERENCE)

    def gone() -> bool:
        try:
            pods.api.get(f"/apis/batch/v1/namespaces/{pods.namespace}/jobs/{job_name(REFERENCE)}")
        except ApiError as error:
            return error.status == 404
        return False

    eventually("the end of the Job", gone)


@pytest.mark.cluster
def test_a_build_on_a_node_that_is_lost_is_ended(make: Callable[[], ClusterBuilder], pods: Pods, git: Git) -> None:
    """Its Job waits for ever for the end of that pod, and so would all jobs of the image."""
    node = FakeKubelet(pods.api, f"doomed-{pods.namespace}", act=pods)
    pods.api.patch("/api/v1/nodes/fake1", {"spec": {"unschedulable": True}})
    builder = make()
    try:
        node.start()
        with ThreadPoolExecutor(1) as asker, closing(builder):
            building = asker.submit(builder.build, git, "HEAD", "plot", REFERENCE)
            eventually("its pod", lambda: pods.seen)
            node.stop()
            name = pods.seen[0]["metadata"]["name"]
            pods.api.delete(f"/api/v1/namespaces/{pods.namespace}/pods/{name}", {"gracePeriodSeconds": 1})
            with pytest.raises(MachineError, match=r"does not go on: pod .* does not answer"):
                building.result(60)
        pods.api.delete(f"/api/v1/namespaces/{pods.namespace}/pods/{name}", {"gracePeriodSeconds": 0})
    finally:
        node.stop()
        pods.api.patch("/api/v1/nodes/fake1", {"spec": {"unschedulable": None}})
        pods.api.delete(f"/api/v1/nodes/{node.name}")
        pods.api.delete(f"{LEASES}/{node.name}")


@pytest.mark.cluster
def test_a_folder_without_a_dockerfile_makes_no_job(make: Callable[[], ClusterBuilder], pods: Pods, git: Git) -> None:
    for folder in ("none", "nowhere"):
        with pytest.raises(InvalidInputError):
            make().build(git, "HEAD", folder, REFERENCE)
    assert pods.api.list(f"/apis/batch/v1/namespaces/{pods.namespace}/jobs") == []
