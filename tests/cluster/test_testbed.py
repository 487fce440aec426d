"""The testbed itself: each tier does what the tests of the cluster executor build on."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.api import Api, ApiError
from cluster.fake_kubelet import FATE, SECONDS
from cluster.jobs import JOBS, indexed_job
from cluster.machine import processes_in_pods, remove_pod_cgroups
from cluster.processes import eventually
from cluster.testbed import Cluster

pytestmark = pytest.mark.cluster


def test_the_api_server_is_ready_and_rejects_a_bad_job(api_cluster: Cluster) -> None:
    api, path = api_cluster.api, JOBS.format("default")
    assert api.text("/readyz") == "ok"
    assert api.get("/version")["gitVersion"] == "v1.36.2"
    bad = indexed_job("bad", 2, "none")
    bad["spec"]["parallelism"] = -1
    with pytest.raises(ApiError) as rejected:
        api.create(path, bad)
    assert rejected.value.status == 422
    assert "spec.parallelism" in str(rejected.value)
    assert api.create(path, indexed_job("good", 2, "none"), dryRun="All")["spec"]["completions"] == 2
    assert api.list(path) == []


def test_rights_and_admission_are_those_of_a_real_cluster(api_cluster: Cluster) -> None:
    """A service account's token is refused what no role allows; ``restricted`` refuses a pod that runs as root."""
    api = api_cluster.api
    space = api_cluster.namespace("rights")
    accounts = f"/api/v1/namespaces/{space}/serviceaccounts"
    api.create(accounts, {"metadata": {"name": "nobody"}})
    made = api.create(
        f"{accounts}/nobody/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    )
    with pytest.raises(ApiError) as forbidden:
        api_cluster.plane.api(token=made["status"]["token"]).list(JOBS.format(space))
    assert forbidden.value.status == 403
    with pytest.raises(ApiError) as unknown:
        api_cluster.plane.api(token="forged").list(JOBS.format(space))
    assert unknown.value.status == 401
    pod = {
        "metadata": {"name": "root"},
        "spec": {"serviceAccountName": "nobody", "containers": [{"name": "a", "image": "b"}]},
    }
    with pytest.raises(ApiError, match="violates PodSecurity"):
        api.create(f"/api/v1/namespaces/{space}/pods", pod)


def test_a_job_of_100_pods_runs_on_the_fake_kubelet(control_cluster: Cluster) -> None:
    space = control_cluster.namespace("hundred")
    control_cluster.api.create(JOBS.format(space), indexed_job("many", 100, "none"))
    status = control_cluster.job_ended(space, "many")
    assert status["succeeded"] == 100
    assert status["completedIndexes"] == "0-99"


def test_a_pod_meets_its_fate(control_cluster: Cluster) -> None:
    """Index 1 fails and succeeds when tried again, index 2 fails for good; a pod that hangs goes when its Job does."""
    space, api = control_cluster.namespace("fates"), control_cluster.api
    fates = {f"{FATE}-1": "oom, succeed", f"{FATE}-2": "exit 7"}
    tried = indexed_job("tried", 3, "none", annotations=fates, backoffLimit=100, backoffLimitPerIndex=1)
    api.create(JOBS.format(space), tried)
    api.create(JOBS.format(space), indexed_job("stuck", 1, "none", annotations={FATE: "hang"}))
    status = control_cluster.job_ended(space, "tried")
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,1", "2")
    pods = f"/api/v1/namespaces/{space}/pods"
    states = [p["status"]["containerStatuses"][0]["state"] for p in api.list(pods, labelSelector="job-name=tried")]
    ends = sorted((s["terminated"]["exitCode"], s["terminated"]["reason"]) for s in states)
    assert ends[-1] == (137, "OOMKilled")
    assert (7, "Error") in ends
    (stuck,) = api.list(pods, labelSelector="job-name=stuck")
    assert stuck["status"]["phase"] == "Running"
    api.delete(f"{JOBS.format(space)}/stuck", propagationPolicy="Foreground")
    gone(api, f"{JOBS.format(space)}/stuck")
    assert api.list(pods, labelSelector="job-name=stuck") == []


def gone(api: Api, path: str) -> None:
    """Wait until there is nothing at ``path``."""

    def missing() -> bool:
        try:
            api.get(path)
        except ApiError as error:
            return error.status == 404
        return False

    eventually(f"the end of {path}", missing)


def test_a_job_ends_well_though_the_api_server_was_killed(control_cluster: Cluster) -> None:
    """Controllers and kubelet find the server again where it was; nothing that it had said is lost."""
    space, api, server = (
        control_cluster.namespace("killed"),
        control_cluster.api,
        control_cluster.servers["kube-apiserver"],
    )
    api.create(JOBS.format(space), indexed_job("on", 20, "none", annotations={SECONDS: "1"}))
    server.kill()
    with pytest.raises(OSError, match="refused"):
        api.list(JOBS.format(space))
    server.start()
    control_cluster.plane.ready()
    assert control_cluster.job_ended(space, "on")["completedIndexes"] == "0-19"


def test_empty_cgroups_of_a_dead_cluster_keep_nobody_from_a_new_one(tmp_path: Path) -> None:
    inner = tmp_path / "memory" / "kubepods" / "besteffort" / "pod1"
    inner.mkdir(parents=True)
    assert remove_pod_cgroups(tmp_path)
    assert not (tmp_path / "memory" / "kubepods").exists()
    inner.mkdir(parents=True)
    (inner / "cgroup.procs").write_text("1\n")  # another kubelet's
    assert not remove_pod_cgroups(tmp_path)
    assert inner.exists()
    assert processes_in_pods(tmp_path) == {1}
    assert processes_in_pods(tmp_path, of={"pod1", "pod2"}) == {1}
    assert processes_in_pods(tmp_path, of={"pod2"}) == set()
