"""The one door to a Kubernetes API server: plain dictionaries in and out.

Called by executors.kubernetes alone. Of the ``kubernetes`` package it uses what finds and renews credentials and what
speaks TLS; bodies pass as they are, because the models of 36 and 37 differ and refuse fields that they do not know.
Every request has a time limit, and what may pass by itself (429, 5xx, a lost connection) is tried again: names are
deterministic, so that a second POST can only say "already exists". It decides nothing about jobs.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode

import urllib3
from kubernetes import config as kube_config
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject

from gitdata.errors import MachineError, RemoteError

Object: TypeAlias = dict[str, Any]

_ROOTS = {"jobs": "/apis/batch/v1", "nodes": "/api/v1"}
_CLUSTER_WIDE = frozenset({"nodes", "namespaces"})
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PAGE = 500
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0
_TRIES, _PAUSE, _LONGEST_PAUSE = 5, 0.2, 10.0
_AGAIN = frozenset({429, 500, 502, 503, 504})
_MERGE_PATCH = "application/merge-patch+json"


class KubeError(RemoteError):
    """The API server refused, or could not be reached (status 0). reason: its machine-readable word."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint, transient=_passes(status, message))
        self.status, self.reason = status, reason


class NotFoundError(KubeError):
    """404: there is no such object, or no such namespace."""


class AlreadyThereError(KubeError):
    """409: an object of that name exists, or it changed since it was read."""


class GoneError(KubeError):
    """410: what a list or watch should go on from is too old."""


class RefusedObjectError(KubeError):
    """400 or 422: the server finds the object wrong, and will each time."""


_KINDS: Mapping[int, type[KubeError]] = {
    400: RefusedObjectError,
    404: NotFoundError,
    409: AlreadyThereError,
    410: GoneError,
    422: RefusedObjectError,
}


@dataclass(frozen=True, slots=True)
class Cluster:
    """Which cluster and namespace. kubeconfig, context: "" for the pod's own account, else the usual places."""

    namespace: str
    kubeconfig: str = ""
    context: str = ""


class Kube:
    """One namespace of one cluster. May be used from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self.namespace = _name(cluster.namespace)
        self._configuration = _configuration(cluster)
        self._pool = RESTClientObject(self._configuration).pool_manager

    def get(self, kind: str, name: str) -> Object:
        """Raises NotFoundError."""
        return self._json("GET", self._path(kind, name))

    def find(self, kind: str, *, labels: str = "", fields: str = "") -> list[Object]:
        """All objects that a label (or field) selector selects, page by page, from the server's cache at best."""
        found: list[Object] = []
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        while True:
            try:
                page = self._json("GET", self._path(kind), query={k: v for k, v in query.items() if v})
            except GoneError:
                if "continue" not in query:
                    raise
                found.clear()  # the list took longer than the server keeps its past: from the start
                del query["continue"]
                continue
            found.extend(page.get("items") or [])
            token = page.get("metadata", {}).get("continue")
            if not token:
                return found
            query["continue"] = token

    def create(self, kind: str, body: Object, *, dry_run: bool = False) -> Object:
        """Raises AlreadyThereError, RefusedObjectError. dry_run: validate and admit only, unknown fields refused."""
        query = {"dryRun": "All", "fieldValidation": "Strict"} if dry_run else {"fieldValidation": "Warn"}
        return self._json("POST", self._path(kind), body=body, query=query)

    def patch(self, kind: str, name: str, body: Object) -> Object:
        """Merge fields into an object. Raises NotFoundError."""
        return self._json("PATCH", self._path(kind, name), body=body, content=_MERGE_PATCH)

    def delete(self, kind: str, name: str, *, uid: str = "") -> bool:
        """Delete an object and, in the background, what it owns; False if there was none (or none with that uid).

        The policy is always said: the server's default for a Job leaves its pods running without an owner.
        """
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._json("DELETE", self._path(kind, name), body=options)
        except (NotFoundError, AlreadyThereError):
            return False
        return True

    def log(self, pod: str, container: str, *, lines: int = 0) -> bytes:
        """What a container has printed, at most 4 MiB of it; lines: only so many of the last."""
        query = {"container": container, "limitBytes": str(4 << 20)}
        if lines:
            query["tailLines"] = str(lines)
        return self._send("GET", f"{self._path('pods', pod)}/log", query=query)

    def events(self, name: str) -> list[Object]:
        """The events about an object of this name, oldest first."""
        found = self.find("events", fields=f"involvedObject.name={_name(name)}")
        return sorted(found, key=lambda e: e.get("lastTimestamp") or e.get("eventTime") or "")

    # --------------------------------------------------------------------------------------------------- the wire

    def _path(self, kind: str, name: str = "") -> str:
        root = _ROOTS.get(kind, "/api/v1")
        place = kind if kind in _CLUSTER_WIDE else f"namespaces/{self.namespace}/{kind}"
        return f"{root}/{place}/{_name(name)}" if name else f"{root}/{place}"

    def _json(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
        content: str = "",
    ) -> Object:
        answer = json.loads(self._send(method, path, body=body, query=query, content=content))
        if not isinstance(answer, dict):
            raise KubeError(f"{method} {path}: the API server answered with no object")
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
        content: str = "",
    ) -> bytes:
        url = f"{self._configuration.host.rstrip('/')}{quote(path)}" + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        for tried in range(1, _TRIES + 1):
            wait = min(_LONGEST_PAUSE, _PAUSE * 4 ** (tried - 1)) * random.uniform(0.5, 1)
            try:
                answer = self._pool.request(
                    method,
                    url,
                    body=data,
                    headers=self._headers(content),
                    timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
                    retries=False,
                )
            except urllib3.exceptions.HTTPError as error:
                problem = KubeError(f"the Kubernetes API server {self._configuration.host} cannot be reached: {error}")
            else:
                if answer.status < 300:
                    return bytes(answer.data)
                problem = _problem(answer.status, answer.data)
                if answer.status not in _AGAIN:
                    raise problem
                wait = max(wait, _retry_after(answer.headers.get("Retry-After", "")))
            if tried < _TRIES:
                time.sleep(wait)
        raise problem

    def _headers(self, content: str) -> dict[str, str]:
        headers = {"Accept": "application/json, */*", "Content-Type": content or "application/json"}
        # Asked for each request: tokens of service accounts are replaced while we run.
        settings: dict[str, Any] = dict(self._configuration.auth_settings())
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers


def _configuration(cluster: Cluster) -> Configuration:
    found = Configuration()
    try:
        if cluster.kubeconfig or cluster.context:
            kube_config.load_kube_config(cluster.kubeconfig or None, cluster.context or None, found)
        else:
            try:
                kube_config.load_incluster_config(client_configuration=found)
            except kube_config.ConfigException:
                kube_config.load_kube_config(client_configuration=found)
    except (kube_config.ConfigException, OSError) as error:
        raise MachineError(
            f"no Kubernetes cluster is configured here: {error}",
            hint="set KUBECONFIG, or run the controller in the cluster",
        ) from error
    return found


def _problem(status: int, data: bytes) -> KubeError:
    """The server's own words, which name the object and the field."""
    try:
        said = json.loads(data)
        message, reason = str(said["message"]), str(said.get("reason", ""))
    except (ValueError, KeyError, TypeError):
        message, reason = data[:300].decode(errors="replace") or f"HTTP status {status}", ""
    kind = _KINDS.get(status, KubeError)
    hint = "its RBAC rules are in k8s-jobs/" if status in (401, 403) else ""
    return kind(f"Kubernetes: {message}", status=status, reason=reason, hint=hint)


def _passes(status: int, message: str) -> bool:
    """Whether the same request may succeed later; a full quota empties as jobs end."""
    return status == 0 or status in _AGAIN or (status == 403 and "exceeded quota" in message)


def _retry_after(text: str) -> float:
    return min(_LONGEST_PAUSE, float(text)) if text.isdecimal() else 0.0


def _name(text: str) -> str:
    """Names come from plans and settings; one that is no name never becomes part of a path."""
    if not _NAME.fullmatch(text):
        raise RefusedObjectError(f"{text[:100]!r} is no name of a Kubernetes object", status=422)
    return text
