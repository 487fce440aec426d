"""A Kubernetes of one node for tests: ``with running("node") as cluster``; as fixtures in fixtures.py.

Three tiers: ``api`` (etcd and API server), ``control`` (and controller-manager, scheduler, a fake kubelet), ``node``
(and containerd, a real kubelet, a registry). State lies in a temporary folder; what runs ends with this process;
the machine is left as it was found. As a program it keeps a cluster until Ctrl-C or SIGTERM, to look around in.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster import machine, node, programs
from cluster.api import Api, Object
from cluster.control import ControlPlane, control_plane
from cluster.fake_kubelet import FakeKubelet
from cluster.processes import Server, TestbedError, eventually, run
from cluster.registry import Registry

Tier = Literal["api", "control", "node"]
TIERS: Sequence[Tier] = ("api", "control", "node")
_PREFIX, _LOCK = "gitdata-testbed-", ".lock"


class CannotRunError(TestbedError):
    """This machine cannot run the tier; the message says why and how to change it."""


@dataclass
class Cluster:
    """kubeconfig: the administrator's. gateway: the address of this machine that pods reach (tier node)."""

    tier: Tier
    folder: Path
    programs: Path
    plane: ControlPlane
    fake: FakeKubelet | None = None
    node: node.Node | None = None
    registry: Registry | None = None
    base: str | None = None  # the image that Dockerfiles start from, by digest

    @property
    def api(self) -> Api:
        return self.plane.api()

    @property
    def kubeconfig(self) -> Path:
        return self.plane.kubeconfig()

    @property
    def gateway(self) -> str | None:
        return node.GATEWAY if self.tier == "node" else None

    @property
    def servers(self) -> dict[str, Server]:
        """All by name (etcd, kube-apiserver, …), to stop, kill, pause and start in a test of faults."""
        parts = [*self.plane.servers, *(self.node.servers if self.node else [])]
        parts += self.registry.servers if self.registry else []
        return {server.name: server for server in parts}

    def kubectl(self, *argv: str | Path) -> str:
        return run(self.programs / "kubectl", "--kubeconfig", self.kubeconfig, *argv)

    def namespace(self, name: str, enforce: str = "restricted") -> str:
        """A fresh namespace with that Pod Security level; pods can be made in it when this returns."""
        labels = {"pod-security.kubernetes.io/enforce": enforce}
        self.api.create("/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        if self.tier != "api":
            eventually(
                "the service account", lambda: self.api.get(f"/api/v1/namespaces/{name}/serviceaccounts/default")
            )
        return name

    def job(self, namespace: str, name: str) -> Object:
        return self.api.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/{name}")

    def job_ended(self, namespace: str, name: str, seconds: float = 120) -> dict[str, Any]:
        """Wait for the Job's end; its status."""

        def ended() -> dict[str, Any]:
            status: dict[str, Any] = self.job(namespace, name)["status"]
            kinds = {c["type"] for c in status.get("conditions", []) if c["status"] == "True"}
            return status if kinds & {"Complete", "Failed"} else {}

        return eventually(f"the end of job {name}", ended, seconds=seconds, needs=self._watched())

    def _watched(self) -> list[Server]:
        """Without these nothing goes on."""
        return list(self.servers.values())

    def ours(self, why: str) -> None:
        """Skip the test, saying why, where the cluster is somebody's (borrowed.py)."""


@contextmanager
def running(tier: Tier) -> Iterator[Cluster]:
    """Start a cluster, stop it at the end of the block. At most one with real pods on a machine: others wait."""
    if reason := programs.why_not(tier):
        raise CannotRunError(reason)
    binaries = programs.build() if programs.BUILD else programs.programs()
    assert binaries is not None
    with ExitStack() as undo:
        if tier == "node":
            only = undo.enter_context(_lock_file("node").open("w"))
            _only_one(only.fileno())
        with _lock_file("sweep").open("w") as sweeping:
            # One at a time: a folder that is new, and not yet locked, looks as if nobody had it.
            fcntl.flock(sweeping, fcntl.LOCK_EX)
            sweep(real_pods=tier == "node")
            if tier == "node" and not machine.remove_pod_cgroups():
                raise CannotRunError("another kubelet runs on this machine (there are processes in kubepods cgroups)")
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
            undo.callback(shutil.rmtree, folder, ignore_errors=True)
            lock = undo.enter_context((folder / _LOCK).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield _start(tier, folder, binaries, undo)


def _lock_file(name: str) -> Path:
    """A user's own: nobody may write another's file in a folder for all."""
    place = "/run" if os.geteuid() == 0 else tempfile.gettempdir()
    return Path(place, f"gitdata-{name}-{os.geteuid()}.lock")


def _only_one(lock: int) -> None:
    """Wait for the others, but not for ever: two of one test run would wait for each other."""

    def taken() -> bool:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True

    eventually("the end of another cluster with real pods", taken, seconds=900)


def _start(tier: Tier, folder: Path, binaries: Path, undo: ExitStack) -> Cluster:
    """Everything that is started is first put on ``undo``, in the order that stopping wants."""
    if tier == "node":
        programs.install_packages()
        machine.record(folder)
        undo.callback(machine.restore, folder)
        node.make_bridge()
    gateway = node.GATEWAY if tier == "node" else None
    plane = control_plane(folder, binaries, controllers=tier != "api", gateway=gateway)
    cluster = Cluster(tier, folder, binaries, plane)
    for server in plane.servers:  # nothing of it is kept; asked to end, the API server waits for all who watch
        undo.callback(server.kill)
    plane.etcd.start()
    plane.apiserver.start()
    if tier == "node":
        _start_registry(cluster, undo)  # while the API server is getting ready
    plane.ready()
    for server in plane.controllers:
        server.start()
    if tier == "node":
        assert cluster.registry
        hosts = (cluster.registry.host, cluster.registry.pod_host)
        cluster.node = node.Node(folder, binaries, plane, f"{hosts[0]}/pause:1", plain=hosts)
        for server in cluster.node.servers:
            undo.callback(server.stop)
        cluster.node.start()
    elif tier == "control":
        cluster.fake = FakeKubelet(plane.api())
        undo.callback(cluster.fake.stop)
        cluster.fake.start()
    return cluster


def _start_registry(cluster: Cluster, undo: ExitStack) -> None:
    cluster.registry = Registry(cluster.folder, node.GATEWAY)
    undo.callback(cluster.registry.stop)
    cluster.registry.start()
    cluster.registry.push_pause(cluster.programs / "pause")
    cluster.base = cluster.registry.push_base()


def sweep(*, real_pods: bool) -> None:
    """Put away what clusters left whose process was killed: their servers died with it, the rest is still here.

    ``real_pods``: those with a real node too; only for who holds the lock, as it takes away bridge and cgroups.
    """
    for folder in Path(tempfile.gettempdir()).resolve().glob(f"{_PREFIX}*"):
        try:
            with (folder / _LOCK).open("a+") as lock:  # one that was half removed has none any more
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if (folder / machine.RECORD).exists():
                    if not real_pods:
                        continue
                    machine.restore(folder)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # in use, or another user's


def main() -> None:
    tier = next((tier for tier in TIERS if tier in sys.argv[1:]), None)
    if tier is None:
        sys.exit(f"usage: {sys.argv[0]} {'|'.join(TIERS)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, which a shell's background does not get
    with running(tier) as cluster:
        print(f"export KUBECONFIG={cluster.kubeconfig}\nPATH={cluster.programs}:$PATH\n# logs: {cluster.folder}/*.log")
        if cluster.registry:
            print("# for tests in another shell, as somebody's cluster (tests/cluster/README.md):")
            print(f"export GITDATA_TEST_CLUSTER=kubeconfig GITDATA_TEST_REGISTRY={cluster.registry.host}/tests")
            print(f"export GITDATA_TEST_GATEWAY={cluster.gateway}")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            print("stopping")


if __name__ == "__main__":
    main()
