"""The testbed with real pods: images that are built here run, and pods reach this machine."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from cluster.jobs import JOBS, indexed_job
from cluster.testbed import Cluster

pytestmark = pytest.mark.cluster
DOCKERFILE = """\
FROM docker.io/library/python:3.11-slim-bookworm
RUN python --version && pip --version
COPY main.py /main.py
USER 65532
ENTRYPOINT ["python", "/main.py"]
"""
MAIN = """\
import os
print("index", os.environ["JOB_COMPLETION_INDEX"], "user", os.getuid())
"""


def test_real_pods_run_an_image_that_was_built_here(node_cluster: Cluster, tmp_path: Path) -> None:
    """Dockerfile -> buildah -> registry -> containerd, under ``restricted``; the logs are the pods' own."""
    assert node_cluster.registry
    (tmp_path / "Dockerfile").write_text(DOCKERFILE)
    (tmp_path / "main.py").write_text(MAIN)
    image = node_cluster.registry.build(tmp_path, "stages/hello")
    assert "@sha256:" in image
    space, api = node_cluster.namespace("real"), node_cluster.api
    api.create(JOBS.format(space), indexed_job("hello", 2, image))
    status = node_cluster.job_ended(space, "hello")
    assert status["completedIndexes"] == "0,1"
    pods = api.list(f"/api/v1/namespaces/{space}/pods")
    logs = sorted(api.text(f"/api/v1/namespaces/{space}/pods/{pod['metadata']['name']}/log") for pod in pods)
    assert logs == ["index 0 user 65532\n", "index 1 user 65532\n"]


ASK = """\
import os, socket, sys
at = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
for server in (at, (sys.argv[1], int(sys.argv[2]))):
    socket.create_connection(server, 10).close()
"""


def test_a_pod_reaches_this_machine_and_the_api_server(node_cluster: Cluster) -> None:
    """What a controller inside the cluster needs: the service ``kubernetes``, and servers at the gateway."""
    assert node_cluster.base
    assert node_cluster.gateway
    space = node_cluster.namespace("reach")
    with socket.create_server((node_cluster.gateway, 0)) as server:
        port = str(server.getsockname()[1])
        asking = indexed_job("ask", 1, node_cluster.base, ["python3", "-c", ASK, node_cluster.gateway, port])
        node_cluster.api.create(JOBS.format(space), asking)
        assert node_cluster.job_ended(space, "ask").get("succeeded") == 1
