"""Somebody's cluster (kind, k3d, minikube) in place of the tier ``node``: ``with borrowing() as cluster``.

Called by fixtures.py where GITDATA_TEST_KUBECONFIG names one, or GITDATA_TEST_CLUSTER=kubeconfig allows the one of
KUBECONFIG. Only namespaces with a name of this run are made there, and deleted at the end. Nothing of it is stopped or
installed: a test that needs that skips and says so. The variables are read at import: tests are sealed.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import pytest

from cluster import machine
from cluster.api import Api, ApiError
from cluster.control import ControlPlane
from cluster.credentials import ADMIN
from cluster.processes import Server, TestbedError, eventually, run
from cluster.programs import CACHE, programs
from cluster.registry import Registry
from cluster.testbed import CannotRunError, Cluster

_NAMED, _ALLOWED = os.environ.get("GITDATA_TEST_KUBECONFIG", ""), os.environ.get("GITDATA_TEST_CLUSTER") == "kubeconfig"
_KUBECONFIG = _NAMED or (os.environ.get("KUBECONFIG", "") if _ALLOWED else "")
_REGISTRY, _GATEWAY = os.environ.get("GITDATA_TEST_REGISTRY", ""), os.environ.get("GITDATA_TEST_GATEWAY", "")
ASKED = bool(_NAMED) or _ALLOWED
MARK = "gitdata.dev/test"  # on each namespace: what a killed run left is found by it


def _not_here(what: str) -> NoReturn:
    pytest.skip(f"somebody's cluster: {what}")


class _Plane(ControlPlane):
    """The way to an API server that somebody else runs."""

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig, self.controllers = kubeconfig, []
        found = json.loads(kubeconfig.read_text())
        cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
        self.url, self._token = cluster["server"], user.get("token")
        self._ca = _file(kubeconfig, "ca.crt", cluster.get("certificate-authority-data"))
        certificate = _file(kubeconfig, "client.crt", user.get("client-certificate-data"))
        key = _file(kubeconfig, "client.key", user.get("client-key-data"))
        self._client = (certificate, key) if certificate and key else None
        if not (self._token or self._client):
            raise CannotRunError("the kubeconfig has neither a token nor a client certificate (a program is not asked)")

    @property
    def servers(self) -> list[Server]:
        _not_here("its servers are not ours to stop")

    def api(self, user: str | None = ADMIN, token: str | None = None) -> Api:
        if token or user != ADMIN:
            return Api(self.url, self._ca, token)
        return Api(self.url, self._ca, self._token, self._client)

    def ready(self) -> None:
        eventually("the API server", lambda: self.api().text("/readyz") == "ok", seconds=30)

    def kubeconfig(self, user: str = ADMIN) -> Path:
        return self._kubeconfig


def _file(kubeconfig: Path, name: str, data: str | None) -> Path | None:
    if not data:
        return None
    path = kubeconfig.with_name(name)
    path.write_bytes(base64.b64decode(data))
    return path


class _Registry(Registry):
    """One that somebody else runs and this machine pushes to without a login. host: with all that names begin with."""

    def __init__(self, folder: Path, place: str) -> None:
        self.folder = folder / "registry"
        self.folder.mkdir()
        self.host, self.servers = place.rstrip("/"), []
        self.address, _, prefix = self.host.partition("/")
        self.prefix = f"{prefix}/" if prefix else ""
        self.buildah_env = self._buildah_settings()
        self._tls = True
        with suppress(OSError, http.client.HTTPException):
            self._ask("GET", "/v2/")
            return
        self._tls = False
        self._ask("GET", "/v2/")

    @property
    def mirrors(self) -> dict[str, str]:
        return {} if self._tls else {self.address: f"http://{self.address}"}

    @property
    def pod_host(self) -> str:
        if self.address.partition(":")[0] in ("localhost", "127.0.0.1"):
            _not_here(f"pods do not reach the registry {self.address}")
        return self.host

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls:
            return http.client.HTTPSConnection(self.address, timeout=120, context=ssl.create_default_context())
        return http.client.HTTPConnection(self.address, timeout=120)


@dataclass
class Borrowed(Cluster):
    """prefix: of the names of all namespaces that tests make."""

    prefix: str = field(default_factory=lambda: f"gitdata-test-{uuid4().hex[:8]}-")

    @property
    def gateway(self) -> str:
        if not _GATEWAY:
            _not_here("GITDATA_TEST_GATEWAY does not say at which address of this machine pods reach it")
        return _GATEWAY

    def ours(self, why: str) -> None:
        _not_here(why)

    def namespace(self, name: str, enforce: str = "restricted") -> str:
        if name.startswith("gitdata-"):
            self.ours(f"the test wants a namespace that is called {name}")
        made = super().namespace(f"{self.prefix}{name}", enforce)
        self.api.patch(f"/api/v1/namespaces/{made}", {"metadata": {"labels": {MARK: self.prefix.strip("-")}}})
        return made

    def _watched(self) -> list[Server]:
        return []

    def leave(self) -> None:
        """Delete the namespaces, and wait a while for it.

        Jobs first: a namespace that ends waits for their pods, the pods for the Job controller to count them, and that
        one for a new pod, which such a namespace does not take.
        """
        made = {"labelSelector": f"{MARK}={self.prefix.strip('-')}"}
        for space in self.api.list("/api/v1/namespaces", **made):
            name = space["metadata"]["name"]
            with suppress(ApiError):  # a test has deleted it
                self.api.delete(f"/apis/batch/v1/namespaces/{name}/jobs", {"propagationPolicy": "Background"})
                self.api.delete(f"/api/v1/namespaces/{name}")
        eventually(
            "the end of the tests' namespaces", lambda: not self.api.list("/api/v1/namespaces", **made), seconds=180
        )


@contextmanager
def borrowing() -> Iterator[Borrowed]:
    """Until the end of the block. Raises CannotRunError, which says what is missing."""
    folder = Path(tempfile.mkdtemp(prefix="gitdata-borrowed-")).resolve()
    try:
        yield from _borrow(folder)
    finally:
        machine.unmount(folder)  # what builds that were killed have left
        shutil.rmtree(folder, ignore_errors=True)


def _borrow(folder: Path) -> Iterator[Borrowed]:
    if not _KUBECONFIG:
        raise CannotRunError("GITDATA_TEST_CLUSTER=kubeconfig wants KUBECONFIG or GITDATA_TEST_KUBECONFIG")
    if not _REGISTRY:
        raise CannotRunError("GITDATA_TEST_REGISTRY does not name the registry that this machine pushes to")
    own = programs()
    kubectl = own / "kubectl" if own else shutil.which("kubectl")
    if not kubectl:
        raise CannotRunError("there is no kubectl")
    if not shutil.which("buildah") or os.geteuid() != 0:
        raise CannotRunError("images are built with buildah, by root")
    if not list(CACHE.glob("base-*.json")) and not shutil.which("debootstrap"):
        raise CannotRunError("there is no base image and no debootstrap to make one")
    config = folder / "kubeconfig"
    words = ("config", "view", "--flatten", "--minify", "--raw", "-o", "json")  # the current context and no other
    try:
        config.write_text(run(kubectl, *words, env={"KUBECONFIG": _KUBECONFIG}))
        cluster = Borrowed("node", folder, Path(kubectl).parent, _Plane(config))
        cluster.plane.ready()
        cluster.registry = _Registry(folder, _REGISTRY)
        cluster.base = cluster.registry.push_base()
    except (OSError, LookupError, TestbedError) as error:
        raise CannotRunError(f"somebody's cluster cannot be used: {error}") from error
    try:
        yield cluster
    finally:
        cluster.leave()
