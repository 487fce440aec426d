"""A folder built by a real Job on a real node."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from cluster import testbed
from cluster.registry import registries_conf
from executors.manifests import SETTINGS
from gitdata.backends.builders import ImageSettings, registries
from gitdata.backends.git import Git
from gitdata.backends.kube import Cluster, Kube
from gitdata.backends.registry import resolve
from gitdata.backends.stores import open_store
from gitdata.errors import InvalidInputError
from gitdata.executors.kubernetes_build import ClusterBuilder
from gitdata.executors.kubernetes_build_manifest import BuildSettings
from helpers.builds import image_folders
from helpers.machine import Repo
from helpers.s3 import serve_s3
from helpers.system_images import pushed

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def git(repo: Repo) -> Git:
    return image_folders(repo)


def test_a_folder_is_built_pushed_and_runs(
    node_cluster: testbed.Cluster, git: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real worker and builder image in a real pod: no SYS_ADMIN, no privileges; then a failing Dockerfile."""
    registry = node_cluster.registry
    assert registry is not None
    assert node_cluster.gateway is not None
    worker, builder = pushed(registry, tmp_path, ("worker", "builder"))
    space = node_cluster.namespace(f"builds-{uuid4().hex[:8]}", "privileged")
    place, api = f"/api/v1/namespaces/{space}", node_cluster.api
    conf = registries_conf(registry.pod_host).split("\n", 1)[1]  # a part of a folder may not name the search list
    files = {"registries.conf": conf, "pip.conf": "[global]\ncert = /no/toml\n"}
    api.create(f"{place}/configmaps", {"metadata": {"name": "gitdata-build"}, "data": files})
    with serve_s3(node_cluster.gateway) as s3:
        for name, value in s3.env.items():
            monkeypatch.setenv(name, value)
        keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
        data = {key: base64.b64encode(s3.env[key].encode()).decode() for key in keys}
        api.create(f"{place}/secrets", {"metadata": {"name": "gitdata-store"}, "data": data})
        url, options = f"s3://{s3.bucket()}/data", {"endpointurl": s3.endpoint, "region": s3.env["AWS_REGION"]}
        cluster = replace(SETTINGS, worker_image=worker, store_url=url, store_options=options, agent_memory="256Mi")
        settings = BuildSettings(
            image=builder, namespace=space, service_account="", memory="512Mi", disk="2Gi", cpu="100m"
        )
        images = ImageSettings(f"{registry.pod_host}/team", mirrors=registry.mirrors)
        kube = Kube(Cluster(space, str(node_cluster.kubeconfig)))
        made = ClusterBuilder(kube, open_store(url, options), settings, cluster, images)
        reference = f"{images.registry}/plot:{'1' * 40}"
        digest = made.build(git, "HEAD", "plot", reference)
        assert resolve(reference, registries(images)).digest == digest
        with pytest.raises(InvalidInputError, match="so it is"):
            made.build(git, "HEAD", "bad", f"{images.registry}/bad:{'2' * 40}")
    container = {
        "name": "a",
        "image": f"{images.registry}/plot@{digest}",
        "command": ["python3", "/main.py"],
    }
    pod = {"restartPolicy": "Never", "containers": [container]}
    body = {"metadata": {"name": "runs"}, "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    api.create(f"/apis/batch/v1/namespaces/{space}/jobs", body)
    assert node_cluster.job_ended(space, "runs").get("succeeded") == 1
    (ran,) = api.list(f"{place}/pods", labelSelector="job-name=runs")
    assert api.text(f"{place}/pods/{ran['metadata']['name']}/log") == "0\n"
