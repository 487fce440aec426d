"""Waiting for the controller's pod, and taking everything away, where controllers and a fake kubelet run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from cluster.api import ApiError
from cluster.testbed import Cluster
from executors.test_kubernetes_deploy import WANTED
from gitdata.backends import kube as door
from gitdata.backends.kube import Kube
from gitdata.cli import main
from gitdata.data.share import share
from gitdata.errors import RemoteError
from gitdata.executors.kubernetes_apply import apply, wait
from gitdata.executors.kubernetes_base import load
from gitdata.executors.kubernetes_deploy import Places, render

pytestmark = pytest.mark.cluster


@pytest.fixture
def places(control_cluster: Cluster) -> Iterator[Places]:
    """Pods of the system run until they are deleted, and are ready."""
    name = f"gd-{uuid4().hex[:8]}"
    fake, before = control_cluster.fake, control_cluster.fake.act if control_cluster.fake else None
    assert fake is not None

    def act(pod: dict[str, Any]) -> str | None:
        if pod["metadata"]["namespace"] == f"{name}-system":
            return "hang"
        return before(pod) if before else None

    fake.act = act
    yield Places(f"{name}-system", f"{name}-jobs", f"{name}-builds")
    fake.act = before


@pytest.fixture
def kube(control_cluster: Cluster, places: Places) -> Kube:
    return Kube(door.Cluster(places.system, str(control_cluster.kubeconfig)))


def deploy(kube: Kube, places: Places, *, fate: str = "", privileged: bool = False, seconds: float = 60) -> None:
    objects = render(load(share("k8s-jobs"), laptop=True, builds=True), replace(WANTED, places=places, owner="o" * 40))
    deployment = objects[-1]
    template = deployment["spec"]["template"]
    if fate:
        template["metadata"]["annotations"]["gitdata.test/fate"] = fate
    if privileged:
        template["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    apply(kube, objects, lambda text: None)
    wait(kube, deployment, seconds)


def test_it_waits_for_the_pod_and_takes_everything_away(
    control_cluster: Cluster, kube: Kube, places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy(kube, places)
    assert kube.get("deployments", "gitdata-controller")["status"]["availableReplicas"] == 1
    config = ["--kubeconfig", str(control_cluster.kubeconfig)]
    words = [*config, "--namespace-system", places.system, "--namespace-jobs", places.jobs]
    words += ["--namespace-builds", places.builds]
    capsys.readouterr()
    assert main(["undeploy", "--yes", *words]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"deployment {places.system}/gitdata-controller deleted"
    assert said[-1].startswith("namespace ")
    for name in (places.system, places.jobs, places.builds):
        with pytest.raises(ApiError) as caught:
            control_cluster.api.get(f"/api/v1/namespaces/{name}")
        assert caught.value.status == 404
    with pytest.raises(ApiError):
        control_cluster.api.get(f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{places.system}-nodes")
    deploy(kube, places)  # and again, as if it had never been there
    assert main(["undeploy", "--yes", *words]) == 0


def test_an_image_that_cannot_be_pulled_is_told(kube: Kube, places: Places) -> None:
    with pytest.raises(RemoteError, match="ImagePullBackOff: Back-off pulling image: not found"):
        deploy(kube, places, fate="image", seconds=4)


def test_a_pod_that_is_not_admitted_is_told_before_the_time_is_over(kube: Kube, places: Places) -> None:
    with pytest.raises(RemoteError, match="violates PodSecurity"):
        deploy(kube, places, privileged=True, seconds=300)
