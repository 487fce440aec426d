"""A lab on the cluster with a fake kubelet, shared by the tests of faults."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.processes import Server, eventually
from cluster.testbed import Cluster
from helpers import cluster_lab
from helpers.cluster_lab import ClusterLab
from helpers.pods import compile_launcher

FILES = {"a": "one", "b": "two"}


@pytest.fixture
def pushed(lab: ClusterLab) -> str:
    """A commit whose one stage has two datums that wait for the gate."""
    for name, text in FILES.items():
        lab.work.write(f"in/{name}", text)
    lab.held()
    return lab.push("stages")


@pytest.fixture
def right(lab: ClusterLab, pushed: str) -> Callable[[], None]:
    """Waits for the right result of ``pushed``, published once, with nothing left behind."""

    def check() -> None:
        lab.published(pushed)
        lab.tidy()
        assert lab.files("held") == FILES
        lab.once(pushed)
        assert len(lab.results()) == len(FILES)
        assert set(lab.results().values()) == {1}

    return check


@pytest.fixture(scope="session")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("the launcher: there is no gcc")
    return compile_launcher(tmp_path_factory.mktemp("launcher"))


@pytest.fixture
def s3_process(tmp_path: Path) -> Iterator[Server]:
    server = cluster_lab.s3_server(tmp_path / "s3")
    server.start()
    eventually("S3", lambda: cluster_lab.answers(cluster_lab.endpoint_of(server)), needs=[server])
    yield server
    server.stop()


@pytest.fixture
def lab(
    home: Path,
    tmp_path: Path,
    control_cluster: Cluster,
    s3_process: Server,
    launcher: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ClusterLab]:
    """A namespace of its own, whose pods' work is done by real agents and launchers on this machine."""
    for name, value in cluster_lab.environment(s3_process).items():
        monkeypatch.setenv(name, value)
    namespace = control_cluster.namespace(f"faults-{uuid4().hex[:8]}")
    made = ClusterLab.on(control_cluster, namespace, tmp_path, s3_process, launcher)
    assert control_cluster.fake is not None
    control_cluster.fake.act = made.pods
    yield made
    made.gate.touch()
    made.pods.close()
    control_cluster.api.delete(f"/apis/batch/v1/namespaces/{namespace}/jobs", {"propagationPolicy": "Background"})
    control_cluster.fake.act = None
    for left in (made.gate, made.diary):
        left.unlink(missing_ok=True)
