"""The control plane: etcd, API server, controller-manager and scheduler. Called by testbed.py.

Everything listens on 127.0.0.1, except that the API server of a cluster with real pods has an address of its own
on the pods' bridge, port 443: what a pod finds in KUBERNETES_SERVICE_HOST works without kube-proxy.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.api import Api
from cluster.credentials import ADMIN, Credentials, make_credentials
from cluster.processes import Server, eventually, free_port

SERVICE_NETWORK = "10.214.0.0/24"
SERVICE_ADDRESS = "10.214.0.1"  # of the service `kubernetes`: the first of the network
GRACE_SECONDS = 20  # without a sign of life of its kubelet, a node counts as lost
EVICTION_SECONDS = 5  # then its pods are given up


@dataclass
class ControlPlane:
    """controllers: empty on the tier ``api``, which has nobody to make pods of Jobs."""

    credentials: Credentials
    url: str
    etcd: Server
    apiserver: Server
    controllers: list[Server]
    _apis: dict[tuple[str | None, str | None], Api] = field(default_factory=dict, init=False, repr=False)

    @property
    def servers(self) -> list[Server]:
        return [self.etcd, self.apiserver, *self.controllers]

    def api(self, user: str | None = ADMIN, token: str | None = None) -> Api:
        """``token``: for a service account's; ``user`` None with no token is an anonymous client."""
        if (user, token) not in self._apis:  # each keeps its connections
            own = self.credentials.tokens[user] if user else None
            self._apis[user, token] = Api(self.url, self.credentials.folder / "ca.crt", token or own)
        return self._apis[user, token]

    def kubeconfig(self, user: str = ADMIN) -> Path:
        return self.credentials.kubeconfig(user, self.url)

    def ready(self) -> None:
        """Wait until the API server answers, after a start."""
        api = self.api()
        eventually(
            "the API server", lambda: api.text("/readyz") == "ok", seconds=120, needs=[self.etcd, self.apiserver]
        )
        eventually("the namespace default", lambda: api.get("/api/v1/namespaces/default"), needs=[self.apiserver])

    @contextmanager
    def without_apiserver(self) -> Iterator[None]:
        """Its API server is killed, and answers again after the block."""
        self.apiserver.kill()
        try:
            yield
        finally:
            self.apiserver.start()
            self.ready()


def control_plane(folder: Path, programs: Path, *, controllers: bool, gateway: str | None) -> ControlPlane:
    """Nothing is started yet. ``gateway``: the host's address on the pods' bridge, where pods are real."""
    host, port = (SERVICE_ADDRESS, 443) if gateway else ("127.0.0.1", free_port())
    credentials = make_credentials(
        folder / "credentials", ["127.0.0.1", SERVICE_ADDRESS, *([gateway] if gateway else [])]
    )
    etcd_url = f"http://127.0.0.1:{free_port()}"
    plane = ControlPlane(
        credentials,
        f"https://{host}:{port}",
        _etcd(folder, programs, etcd_url),
        _apiserver(folder, programs, credentials, etcd_url, host, port, gateway or "127.0.0.1"),
        [],
    )
    if controllers:
        plane.controllers.append(_controller_manager(plane, folder, programs))
        plane.controllers.append(_controller(plane, folder, programs, "kube-scheduler", []))
    return plane


def _etcd(folder: Path, programs: Path, url: str) -> Server:
    peer = f"http://127.0.0.1:{free_port()}"
    argv: list[str | Path] = [programs / "etcd", "--data-dir", folder / "etcd", "--unsafe-no-fsync", "--log-level=warn"]
    argv += [f"--listen-client-urls={url}", f"--advertise-client-urls={url}", f"--listen-peer-urls={peer}"]
    argv += [f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=default={peer}"]
    return Server("etcd", argv, folder)


def _apiserver(
    folder: Path, programs: Path, credentials: Credentials, etcd_url: str, host: str, port: int, advertised: str
) -> Server:
    at = credentials.folder
    argv = [
        str(programs / "kube-apiserver"),
        f"--etcd-servers={etcd_url}",
        f"--bind-address={host}",
        f"--secure-port={port}",
        f"--advertise-address={advertised}",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        f"--tls-cert-file={at / 'server.crt'}",
        f"--tls-private-key-file={at / 'server.key'}",
        f"--token-auth-file={at / 'tokens.csv'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={at / 'sa.key'}",
        f"--service-account-signing-key-file={at / 'sa.key'}",
        "--allow-privileged=true",
        f"--default-not-ready-toleration-seconds={EVICTION_SECONDS}",
        f"--default-unreachable-toleration-seconds={EVICTION_SECONDS}",
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-client-certificate={at / 'client.crt'}",
        f"--kubelet-client-key={at / 'client.key'}",
        "--profiling=false",
    ]
    if advertised.startswith("127."):
        argv.append("--endpoint-reconciler-type=none")  # loopback is no endpoint of a service
    return Server("kube-apiserver", argv, folder)


def _controller_manager(plane: ControlPlane, folder: Path, programs: Path) -> Server:
    at = plane.credentials.folder
    more = [
        "--use-service-account-credentials=true",
        f"--service-account-private-key-file={at / 'sa.key'}",
        f"--root-ca-file={at / 'ca.crt'}",
        f"--node-monitor-grace-period={GRACE_SECONDS}s",
        "--node-monitor-period=2s",
    ]
    return _controller(plane, folder, programs, "kube-controller-manager", more)


def _controller(plane: ControlPlane, folder: Path, programs: Path, name: str, more: list[str]) -> Server:
    kubeconfig = plane.kubeconfig(f"system:{name}")
    argv = [
        str(programs / name),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--bind-address=127.0.0.1",
        f"--secure-port={free_port()}",
        f"--cert-dir={folder / name}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        "--profiling=false",
        *more,
    ]
    return Server(name, argv, folder)
