"""The one door to a Kubernetes API server: plain dictionaries in and out.

Called by executors.kubernetes and by ``deploy``, ``undeploy`` and ``doctor``. Of the ``kubernetes`` package it uses
what finds and renews credentials and what speaks TLS; bodies pass as they are, because the models of 36 and 37 differ
and refuse fields that they do not know. Every request has a time limit, and what may pass by itself (429, 5xx, a lost
connection) is tried again: names are deterministic, so that a second POST can only say "already exists". It decides
nothing about jobs.
"""

from __future__ import annotations

import copy
import http.client
import json
import random
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote, urlencode, urlsplit

import urllib3
import yaml
from kubernetes import config as kube_config
from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject

from gitdata.errors import MachineError, RemoteError
from gitdata.text import reason

Object: TypeAlias = dict[str, Any]

_RBAC, _REVIEWS = "/apis/rbac.authorization.k8s.io/v1", "/apis/authorization.k8s.io/v1"
_ADMISSION = "/apis/admissionregistration.k8s.io/v1"
_ROOTS = {  # of kinds that are not in the core
    "jobs": "/apis/batch/v1",
    "deployments": "/apis/apps/v1",
    "networkpolicies": "/apis/networking.k8s.io/v1",
    "roles": _RBAC,
    "rolebindings": _RBAC,
    "clusterroles": _RBAC,
    "clusterrolebindings": _RBAC,
    "validatingadmissionpolicies": _ADMISSION,
    "validatingadmissionpolicybindings": _ADMISSION,
    "selfsubjectaccessreviews": _REVIEWS,
    "subjectaccessreviews": _REVIEWS,
}
_CLUSTER_WIDE = {"nodes", "namespaces", "clusterroles", "clusterrolebindings"}
_CLUSTER_WIDE |= {kind for kind, root in _ROOTS.items() if root in (_REVIEWS, _ADMISSION)}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PAGE = 500
_CONNECT_SECONDS, _READ_SECONDS = 5.0, 30.0
_WATCH_GRACE = 10.0  # seconds after which the end of a watch is overdue, and the connection taken for dead
_LONGEST_EVENT = 16 << 20
_TRIES, _PAUSE, _LONGEST_PAUSE = 5, 0.2, 10.0
_AGAIN = frozenset({429, 500, 502, 503, 504})
_MERGE_PATCH, _APPLY_PATCH = "application/merge-patch+json", "application/apply-patch+yaml"
_MANAGER = "gitdata"  # whose fields an applied object's are


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


class Watch:
    """An answer without an end: ``{"type": …, "object": …}`` for each change, as it comes. Iterate once."""

    def __init__(self, answer: urllib3.BaseHTTPResponse) -> None:
        self._answer = answer

    def __iter__(self) -> Iterator[Object]:
        """Ends when the server ends it. Raises GoneError, KubeError (also where the connection broke)."""
        try:
            for line in self._lines():
                event = json.loads(line)
                if event["type"] == "ERROR":
                    raise _problem(int(event["object"].get("code") or 500), json.dumps(event["object"]).encode())
                yield event
        except (urllib3.exceptions.HTTPError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise KubeError(f"a watch of the Kubernetes API server broke: {reason(error)}") from error
        finally:
            self._answer.close()

    def _lines(self) -> Iterator[bytes]:
        rest = b""
        for piece in self._answer.stream(1 << 16, decode_content=False):
            rest += piece
            if b"\n" in piece:
                *whole, rest = rest.split(b"\n")
                yield from filter(None, whole)
            elif len(rest) > _LONGEST_EVENT:
                raise ValueError("an event without an end")

    def end(self) -> None:
        """End it from another thread: whoever iterates gets a KubeError."""
        with suppress(ValueError, OSError, RuntimeError):  # it has ended already
            self._answer.shutdown()


class Kube:
    """One namespace of one cluster. May be used from several threads."""

    def __init__(self, cluster: Cluster) -> None:
        self.namespace = _name(cluster.namespace)
        self._configuration = _configuration(cluster)
        try:
            urlsplit(self._configuration.host)
            self._pool = RESTClientObject(self._configuration).pool_manager
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise _unconfigured(cluster, error) from error

    def get(self, kind: str, name: str) -> Object:
        """Raises NotFoundError."""
        return self._json("GET", self._path(kind, name))

    def find(self, kind: str, *, labels: str = "", fields: str = "", tries: int = _TRIES) -> list[Object]:
        """All objects that a label (or field) selector selects, page by page."""
        found: list[Object] = []
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        while True:
            try:
                page = self._json("GET", self._path(kind), query={k: v for k, v in query.items() if v}, tries=tries)
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

    def resource_version(self, kind: str, *, labels: str = "") -> str:
        """What the server's past is now: a watch goes on from it."""
        page = self._json("GET", self._path(kind), query={"limit": "1", "labelSelector": labels}, tries=1)
        return str((page.get("metadata") or {}).get("resourceVersion") or "")

    def watch(self, kind: str, labels: str, resource_version: str, *, seconds: float = 50) -> Watch:
        """What changes after a version; returns when the server has begun to tell.

        seconds: how long it lasts at most; a server that is gone without a word is noticed a little later. Raises
        GoneError (the version is too old), KubeError.
        """
        query = {"watch": "1", "labelSelector": labels, "resourceVersion": resource_version}
        query |= {"allowWatchBookmarks": "true", "timeoutSeconds": str(max(1, round(seconds)))}
        target = f"{self._path(kind)}?{urlencode(query)}"
        answer = self._request("GET", target, read=seconds + _WATCH_GRACE, stream=True)
        if answer.status >= 300:
            raise _problem(answer.status, answer.data)
        return Watch(answer)

    def create(self, kind: str, body: Object, *, dry_run: bool = False) -> Object:
        """Raises AlreadyThereError, RefusedObjectError. dry_run: validate and admit only, unknown fields refused."""
        query = {"dryRun": "All", "fieldValidation": "Strict"} if dry_run else {"fieldValidation": "Warn"}
        return self._json("POST", self._path(kind), body=body, query=query)

    def patch(self, kind: str, name: str, body: Object) -> Object:
        """Merge fields into an object. Raises NotFoundError."""
        return self._json("PATCH", self._path(kind, name), body=body, content=_MERGE_PATCH)

    def apply(self, body: Object, *, dry_run: bool = False) -> Object:
        """Server-side apply: make an object, or make the fields that ``body`` has what they are there.

        Fields that somebody else set and ``body`` has too become ours. Raises RefusedObjectError (also for a field
        that the server does not know), NotFoundError for a namespace that is not there.
        """
        place = self.within(body["metadata"].get("namespace", self.namespace))
        query = {"fieldManager": _MANAGER, "force": "true", "fieldValidation": "Strict"}
        path = place._path(plural(body["kind"]), body["metadata"]["name"])
        query |= {"dryRun": "All"} if dry_run else {}
        return self._json("PATCH", path, body=body, query=query, content=_APPLY_PATCH)

    def within(self, namespace: str) -> Kube:
        """The same cluster and connections, another namespace."""
        other = copy.copy(self)
        other.namespace = _name(namespace)
        return other

    def server_version(self) -> tuple[int, int]:
        """The API server's, as (1, 36)."""
        said = self._json("GET", "/version")
        major, minor = ("".join(c for c in str(said.get(part, "")) if c.isdecimal()) for part in ("major", "minor"))
        return int(major or 0), int(minor or 0)

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
        query = {"container": container, "limitBytes": str(4 << 20)} | ({"tailLines": str(lines)} if lines else {})
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
        tries: int = _TRIES,
    ) -> Object:
        said = self._send(method, path, body=body, query=query, content=content, tries=tries)
        try:
            answer = json.loads(said)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise KubeError(
                f"{method} {path}: {self._configuration.host} answered {said[:60]!r}, which is no object",
                hint="is that the API server? Something between it and us may answer in its place",
            )
        return answer

    def _send(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        query: Mapping[str, str] | None = None,
        content: str = "",
        tries: int = _TRIES,
    ) -> bytes:
        target = quote(path) + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        for tried in range(1, tries + 1):
            wait = min(_LONGEST_PAUSE, _PAUSE * 4 ** (tried - 1)) * random.uniform(0.5, 1)
            try:
                answer = self._request(method, target, body=data, content=content)
            except KubeError as error:
                problem = error
            else:
                if answer.status < 300:
                    return bytes(answer.data)
                problem = _problem(answer.status, answer.data)
                if answer.status not in _AGAIN:
                    raise problem
                wait = max(wait, _retry_after(answer.headers.get("Retry-After", "")))
            if tried < tries:
                time.sleep(wait)
        raise problem

    def _request(
        self,
        method: str,
        target: str,
        *,
        body: bytes | None = None,
        content: str = "",
        read: float = _READ_SECONDS,
        stream: bool = False,
    ) -> urllib3.BaseHTTPResponse:
        """One request, not repeated. Raises KubeError where there is no answer."""
        try:
            answer: urllib3.BaseHTTPResponse = self._pool.request(
                method,
                self._configuration.host.rstrip("/") + target,
                body=body,
                headers=self._headers(content),
                timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=read),
                retries=False,
                preload_content=not stream,
            )
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError, ValueError) as error:
            host = self._configuration.host
            raise KubeError(f"the Kubernetes API server {host} cannot be reached: {reason(error)}") from error
        return answer

    def _headers(self, content: str) -> dict[str, str]:
        headers = {"Accept": "application/json, */*", "Content-Type": content or "application/json"}
        # Asked for each request: tokens of service accounts are replaced while we run.
        settings: dict[str, Any] = dict(self._configuration.auth_settings())
        for setting in settings.values():
            if setting["in"] == "header" and setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers


def plural(kind: str) -> str:
    """The name of a kind in paths: ``NetworkPolicy`` -> ``networkpolicies``."""
    word = kind.lower()
    return word[:-1] + "ies" if word.endswith("y") else word + "s"


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
    except (kube_config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError, AttributeError) as error:
        raise _unconfigured(cluster, error) from error  # the last three: a file that is anything but a kubeconfig
    return found


def _unconfigured(cluster: Cluster, error: Exception) -> MachineError:
    words = " ".join(f"{cluster.kubeconfig or 'the kubeconfig'} cannot be used: {reason(error)}".split())[:500]
    return MachineError(
        f"no Kubernetes cluster is configured here: {words}",
        hint="set KUBECONFIG or --kubeconfig, or run the controller in the cluster",
    )


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
