"""The clusters as fixtures, one of each tier for a session, started by the first test that asks.

Tests ask for ``api_cluster``, ``control_cluster`` or ``node_cluster`` and carry the mark ``cluster``. On a machine
that cannot run a tier they are skipped, with the reason and the way to change it in pytest's summary.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from cluster.testbed import CannotRunError, Cluster, Tier, running


@pytest.hookimpl(tryfirst=True)  # xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With pytest-xdist one worker runs all of them (``--dist=loadgroup``): each cluster is started once."""
    for item in items:
        if item.get_closest_marker("cluster"):
            item.add_marker(pytest.mark.xdist_group("cluster"))


def _cluster(tier: Tier, config: pytest.Config) -> Iterator[Cluster]:
    if hasattr(config, "workerinput") and not config.getoption("loadgroup"):
        pytest.skip("NOT TESTED, Kubernetes: with pytest-xdist it wants --dist=loadgroup")  # two would wait for ever
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(running(tier))
        except CannotRunError as reason:
            pytest.skip(f"NOT TESTED, Kubernetes tier {tier}: {reason}")
        yield cluster


@pytest.fixture(scope="session")
def api_cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """etcd and API server: validation, admission, RBAC."""
    yield from _cluster("api", pytestconfig)


@pytest.fixture(scope="session")
def control_cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """With controllers, scheduler and a fake kubelet: everything but containers, at any scale."""
    yield from _cluster("control", pytestconfig)


@pytest.fixture(scope="session")
def node_cluster(pytestconfig: pytest.Config) -> Iterator[Cluster]:
    """With real pods and a registry."""
    yield from _cluster("node", pytestconfig)
