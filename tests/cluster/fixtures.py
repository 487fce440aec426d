"""The clusters as fixtures, one of each tier for a session, started by the first test that asks.

Tests ask for ``api_cluster``, ``control_cluster`` or ``node_cluster`` and carry the mark ``cluster``. On a machine
that cannot run a tier they are skipped, with the reason and the way to change it in pytest's summary.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.programs import why_not
from cluster.testbed import Cluster, Tier, running


def _cluster(tier: Tier) -> Iterator[Cluster]:
    if reason := why_not(tier):
        pytest.skip(f"NOT TESTED, Kubernetes tier {tier}: {reason}")
    with running(tier) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def api_cluster() -> Iterator[Cluster]:
    """etcd and API server: validation, admission, RBAC."""
    yield from _cluster("api")


@pytest.fixture(scope="session")
def control_cluster() -> Iterator[Cluster]:
    """With controllers, scheduler and a fake kubelet: everything but containers, at any scale."""
    yield from _cluster("control")


@pytest.fixture(scope="session")
def node_cluster() -> Iterator[Cluster]:
    """With real pods and a registry."""
    yield from _cluster("node")
