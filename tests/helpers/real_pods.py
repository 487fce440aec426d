"""An executor whose pods are real: the worker image, an S3 server that pods reach, a namespace for each test.

Fixtures for tests on the tier ``node``. The worker image is the one that ``gitdata images push --system`` makes.
Namespaces enforce Pod Security ``restricted``.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from cluster import testbed
from executors.bench import Bench
from gitdata.executors.kubernetes import KubernetesExecutor
from gitdata.executors.kubernetes_settings import KubernetesSettings
from helpers.machine import Repo
from helpers.s3 import S3, serve_s3
from helpers.system_images import pushed


@pytest.fixture(scope="session")
def worker_image(node_cluster: testbed.Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    assert node_cluster.registry is not None
    (found,) = pushed(node_cluster.registry, tmp_path_factory.mktemp("worker"), ["worker"])
    return found


@pytest.fixture(scope="session")
def pod_s3(node_cluster: testbed.Cluster) -> Iterator[S3]:
    """A server of objects that pods reach."""
    assert node_cluster.gateway is not None
    with serve_s3(node_cluster.gateway) as server:
        yield server


@pytest.fixture
def bench(
    repo: Repo, tmp_path: Path, pod_s3: S3, node_cluster: testbed.Cluster, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    for name, value in pod_s3.env.items():
        monkeypatch.setenv(name, value)
    made = Bench(repo, tmp_path, f"s3://{pod_s3.bucket()}/data")
    assert node_cluster.base is not None
    made.default_image = node_cluster.base
    yield made
    pod_s3.clear()


@pytest.fixture
def executor(
    node_cluster: testbed.Cluster, bench: Bench, pod_s3: S3, worker_image: str
) -> Iterator[KubernetesExecutor]:
    namespace = node_cluster.namespace(f"jobs-{uuid4().hex[:8]}")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    data = {key: base64.b64encode(pod_s3.env[key].encode()).decode() for key in keys}
    secret = {"metadata": {"name": "gitdata-store"}, "data": data}
    node_cluster.api.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    settings = KubernetesSettings(
        namespace=namespace,
        worker_image=worker_image,
        store_url=bench.url,
        store_options={"endpointurl": pod_s3.endpoint, "region": pod_s3.env["AWS_REGION"]},
        cpu="100m",
        memory="256Mi",
        disk="256Mi",
        agent_cpu="50m",
        agent_memory="256Mi",
        refresh_seconds=0.2,
        live_seconds=0.5,
    )
    with closing(KubernetesExecutor(settings, kubeconfig=str(node_cluster.kubeconfig))) as made:
        yield made
    node_cluster.api.delete(f"/api/v1/namespaces/{namespace}")
