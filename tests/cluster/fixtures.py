"""The clusters as fixtures, one of each tier at a time, started by the first test that asks.

Tests ask for ``api_cluster``, ``control_cluster`` or ``node_cluster`` and carry the mark ``cluster``. On a machine
that cannot run a tier they are skipped, with the reason and the way to change it in pytest's summary.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from cluster import borrowed
from cluster.testbed import CannotRunError, Cluster, Tier, running

# Parts of the paths of tests with real pods, and of one that builds the same images: that is done by one at a time.
_REAL_PODS = ("e2e/", "_node.py", "real_pods.py", "stage_images/test_kube", "test_images_system")


def _of_real_pods(nodeid: str) -> bool:
    return any(word in nodeid.partition("::")[0] for word in _REAL_PODS)


def _row(nodeid: str) -> str:
    """What one worker does in a row: every file with real pods, as a machine has one such cluster; the faults, which
    mostly wait, after the big images that the others need; the other tests of a cluster. All else goes anywhere.
    """
    path = nodeid.partition("::")[0]
    if _of_real_pods(nodeid):
        return "pods"
    if "faults/" in path or "test_images_cameras" in path:
        return "faults"
    return "cluster" if "cluster/" in path or "kubernetes" in path else nodeid


class _FewClusters(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _row(nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hold the files to the list: the scheduler sees nothing of a test but its name. In their row comes first what
    needs no pods: it can be done while Kubernetes is still being built.
    """
    for item in items:
        if _wants_pods(item) and not _of_real_pods(item.nodeid):
            raise pytest.UsageError(f"{item.nodeid} wants real pods: say so in {__file__}")
    items.sort(key=_wants_pods)


def _wants_pods(item: pytest.Item) -> bool:
    return "node_cluster" in getattr(item, "fixturenames", ())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """With pytest-xdist, so that each cluster is started once."""
    return _FewClusters(config, log) if config.getoption("dist") == "load" else None


_KINDS: dict[Tier, str] = {"api": "Kubernetes", "control": "Kubernetes", "node": "Kubernetes, real pods"}
_WHY = (
    "it makes a bridge, mounts and sysctls on this machine for as long as it runs; "
    "`make test-cluster`, or GITDATA_TEST_CLUSTER=node, asks for it"
)
# Read when the session begins: tests run with an environment of their own.
_ASKED = os.environ.get("GITDATA_TEST_CLUSTER", "")
_WORKER = bool(os.environ.get("PYTEST_XDIST_WORKER"))
_RUNNING: dict[Tier, tuple[Cluster, ExitStack]] = {}


def _cluster(tier: Tier) -> Cluster:
    if tier in _RUNNING:
        return _RUNNING[tier][0]
    somebodys = tier == "node" and borrowed.ASKED
    if tier == "node" and not (_ASKED or somebodys):
        pytest.skip(f"Kubernetes, real pods: {_WHY}")
    with ExitStack() as stack:
        try:
            cluster = stack.enter_context(borrowed.borrowing() if somebodys else running(tier))
        except CannotRunError as reason:
            pytest.skip(f"{_KINDS[tier]}: {reason}")
        _RUNNING[tier] = cluster, stack.pop_all()
    return cluster


def _stop() -> None:
    while _RUNNING:
        _, (_, stack) = _RUNNING.popitem()
        stack.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Generator[None]:
    """A cluster ends with its row, with the session at the latest: one that waits costs a twentieth of a processor."""
    yield
    if nextitem is None or (_WORKER and _row(item.nodeid) != _row(nextitem.nodeid)):
        _stop()


def pytest_sessionfinish() -> None:  # one that was interrupted
    _stop()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if _ASKED and _WORKER and _of_real_pods(item.nodeid):
        _hurry()


@cache
def _hurry() -> None:
    """This worker and all it starts come before others from now on: its tests are the longest row.

    Where the kernel groups processes by session, only the group's own niceness counts. At a terminal we stay in its
    session, so that Ctrl-C is heard.
    """
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has ended, or we may not
            os.setpriority(os.PRIO_PROCESS, int(thread.name), -3)
    if os.environ.get("CI"):
        with suppress(OSError):
            os.setsid()
            Path("/proc/self/autogroup").write_text("-12")


@pytest.fixture(scope="module")
def api_cluster() -> Cluster:
    """etcd and API server: validation, admission, RBAC."""
    return _cluster("api")


@pytest.fixture(scope="module")
def control_cluster() -> Cluster:
    """With controllers, scheduler and a fake kubelet: everything but containers, at any scale."""
    return _cluster("control")


@pytest.fixture(scope="session")
def node_cluster() -> Cluster:
    """With real pods and a registry; somebody's cluster where one is given (borrowed.py)."""
    return _cluster("node")
