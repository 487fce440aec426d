"""The manifest before a real API server: every field is right, and a ``restricted`` namespace admits its pods."""

from __future__ import annotations

from contextlib import suppress
from uuid import uuid4

import pytest

from cluster import testbed
from cluster.api import ApiError
from executors.manifests import GOLDEN
from gitdata.backends.kube import AlreadyThereError, Cluster, Kube, NotFoundError, RefusedObjectError

pytestmark = pytest.mark.cluster


@pytest.fixture
def kube(api_cluster: testbed.Cluster) -> Kube:
    return Kube(Cluster(api_cluster.namespace(f"jobs-{uuid4().hex[:8]}"), str(api_cluster.kubeconfig)))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_server_finds_every_field_right(kube: Kube, name: str) -> None:
    body = GOLDEN[name]()
    body["metadata"]["namespace"] = kube.namespace
    made = kube.create("jobs", body, dry_run=True)
    assert made["spec"]["completionMode"] == "Indexed"
    body["spec"]["noSuchField"] = 1
    with pytest.raises(RefusedObjectError, match="noSuchField"):
        kube.create("jobs", body, dry_run=True)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_restricted_namespace_admits_its_pods(kube: Kube, api_cluster: testbed.Cluster, name: str) -> None:
    template = GOLDEN[name]()["spec"]["template"]
    accounts = f"/api/v1/namespaces/{kube.namespace}/serviceaccounts"
    for account in ("default", "gitdata-stage", "gitdata-gpu"):
        api_cluster.api.create(accounts, {"metadata": {"name": account}})
    low = {"metadata": {"name": "batch-low"}, "value": -10}
    with suppress(ApiError):  # it is there
        api_cluster.api.create("/apis/scheduling.k8s.io/v1/priorityclasses", low)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": "p"},
        "spec": template["spec"],
    }
    assert kube.create("pods", pod, dry_run=True)["metadata"]["name"] == "p"
    template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(Exception, match="violates PodSecurity"):
        kube.create("pods", pod, dry_run=True)


def test_the_door_with_a_real_server(kube: Kube) -> None:
    body = GOLDEN["plain"]()
    body["metadata"]["namespace"] = kube.namespace
    name = body["metadata"]["name"]
    with pytest.raises(NotFoundError):
        kube.get("jobs", name)
    uid = kube.create("jobs", body)["metadata"]["uid"]
    with pytest.raises(AlreadyThereError):
        kube.create("jobs", body)
    assert [j["metadata"]["uid"] for j in kube.find("jobs", labels="app.kubernetes.io/managed-by=gitdata")] == [uid]
    assert kube.patch("jobs", name, {"spec": {"ttlSecondsAfterFinished": 60}})["spec"]["ttlSecondsAfterFinished"] == 60
    assert not kube.delete("jobs", name, uid=uid[:-4] + "0000")
    assert kube.delete("jobs", name, uid=uid)
    assert not kube.delete("jobs", "no-such-job")
    assert kube.events(name) == []
