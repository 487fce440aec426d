"""What the tests of whole pipelines on real pods share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.testbed import Cluster
from helpers.s3 import S3, serve_s3
from helpers.system_images import pushed


@pytest.fixture(scope="session")
def worker_image(node_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    assert node_cluster.registry is not None
    return pushed(node_cluster.registry, tmp_path_factory.mktemp("images"), ["worker"])[0]


@pytest.fixture(scope="session")
def pod_s3(node_cluster: Cluster) -> Iterator[S3]:
    """A server of objects that pods reach."""
    assert node_cluster.gateway is not None
    with serve_s3(node_cluster.gateway) as server:
        yield server
