"""What ``doctor --kubernetes`` looks at in a cluster; each function returns its good news or raises GitdataError.

Called by the command ``doctor``, ``check_server`` by ``deploy`` too. It only reads and asks the API server what is
allowed. Where the controller is deployed, its own rights count; before that, those of who asks, who would run it with
a kubeconfig.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from gitdata.backends.kube import Kube, KubeError, NotFoundError, plural
from gitdata.backends.registry import Registries, image_command, parse_reference
from gitdata.errors import InvalidInputError, RemoteError
from gitdata.executors.kubernetes_apply import ENFORCE
from gitdata.executors.kubernetes_deploy import CONTROLLER, LABEL, REGISTRY, STORE, Places

Object: TypeAlias = dict[str, Any]

OLDEST = (1, 33)
# What the controller asks of the API, as k8s-jobs/ grants it.
RIGHTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("batch", "jobs"): ("create", "get", "list", "watch", "patch", "delete"),
    ("", "pods"): ("list", "watch"),
    ("", "events"): ("list",),
}
BUILD_RIGHTS: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("batch", "jobs"): ("create", "get", "delete"),
    ("", "pods"): ("list",),
    ("", "events"): ("list",),
}
_DEPLOY = "gitdata deploy makes it"


@dataclass(frozen=True, slots=True)
class Patient:
    """kube: of the cluster. config: the controller's TOML, None to read the cluster's own. logins: to registries."""

    kube: Kube
    places: Places
    config: Mapping[str, Any] | None = None
    logins: Mapping[str, tuple[str, str]] | None = None

    # ------------------------------------------------------------------------------------------------- the checks

    def server(self) -> str:
        return f"Kubernetes {check_server(self.kube)} answers"

    def namespaces(self) -> str:
        for name in (self.places.system, self.places.jobs):
            level = (self._get("Namespace", name)["metadata"].get("labels") or {}).get(ENFORCE, "")
            if level != "restricted":
                raise InvalidInputError(
                    f"namespace {name}: Pod Security is {level or 'not set'}, not restricted",
                    hint=f"kubectl label namespace {name} {ENFORCE}=restricted",
                )
        return f"{self.places.system}, {self.places.jobs}: restricted"

    def rights(self) -> str:
        user = f"system:serviceaccount:{self.places.system}:{CONTROLLER}" if self._deployment() else ""
        whose = "the controller" if user else "you"
        asked = [(self.places.jobs, key, verb) for key, verbs in RIGHTS.items() for verb in verbs]
        if self._config().get("images", {}).get("builder") == "cluster":
            asked += [(self.places.builds, key, verb) for key, verbs in BUILD_RIGHTS.items() for verb in verbs]
        asked.append(("", ("", "nodes"), "list"))
        lacking = [
            f"{verb} {resource} in {space or 'the cluster'}"
            for space, (group, resource), verb in asked
            if not self._may(user, space, group, resource, verb)
        ]
        if lacking:
            hint = f"{_DEPLOY}; or grant it as k8s-jobs/base/rbac.yaml does"
            raise RemoteError(f"{whose} may not {', '.join(lacking)}", hint=hint)
        excess = user and self._may(user, self.places.jobs, "", "secrets", "get")
        if excess:
            raise InvalidInputError("the controller may read Secrets of the jobs", hint="take that right away from it")
        return f"{whose} may do all {len(asked)} things that are needed"

    def secrets(self) -> str:
        cluster = self._config().get("kubernetes", {})
        store = cluster.get("store_secret", STORE)
        wanted = [
            (self.places.jobs, name)
            for name in (store, *cluster.get("pull_secrets", ()), *cluster.get("secrets", ()))
            if name
        ]
        if self._deployment():
            wanted += [
                (self.places.system, name)
                for name in (store, *({REGISTRY} & set(cluster.get("pull_secrets", ()))))
                if name
            ]
        for space, name in wanted:
            self._get("Secret", name, space)
        return ", ".join(f"{space}/{name}" for space, name in wanted) or "none is needed: the nodes have a role"

    def network(self) -> str:
        for name in ("gitdata-nothing", "gitdata-closed"):
            self._get("NetworkPolicy", name, self.places.jobs)
        return "the rules are there; whether the cluster's network plugin enforces them cannot be seen from here"

    def builds(self) -> str:
        """Whether the controller's token is kept from the nodes where builds may be more than stages may."""
        space = self.places.builds
        try:
            self.kube.get("namespaces", space)
        except NotFoundError:
            return "no builds on the cluster"
        for kind in ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"):
            self._get(kind, space)
        return f"{space} admits builds alone; their Dockerfiles are root in a user namespace, without a seccomp filter"

    def controller(self) -> str:
        found = self._deployment()
        if not found:
            raise RemoteError("no controller runs in the cluster", hint="gitdata deploy, or run one with a kubeconfig")
        status = found.get("status") or {}
        if status.get("availableReplicas") != 1:
            pods = self.kube.within(self.places.system).find("pods", labels=f"{LABEL}={self.places.system}")
            states = "; ".join(f"pod {p['metadata']['name']} {_state(p)}" for p in pods) or "there is no pod of it"
            raise RemoteError(
                f"the controller is not ready: {states}",
                hint=f"kubectl -n {self.places.system} logs deployment/{CONTROLLER}",
            )
        return "the controller is ready"

    def nodes(self) -> str:
        found = [n for n in self.kube.find("nodes") if not (n.get("spec") or {}).get("unschedulable")]
        platform = self._registries().platform
        machine = platform.split("/")[1]
        able = [
            n for n in found if ((n.get("status") or {}).get("nodeInfo") or {}).get("architecture", machine) == machine
        ]
        if not able:
            raise RemoteError(
                f"{len(found)} nodes take pods, none of them is {platform}",
                hint="set platform in [images]",
            )
        return f"{len(able)} nodes take pods"

    def worker_image(self) -> str:
        text = self._config().get("kubernetes", {}).get("worker_image", "")
        if not text:
            raise InvalidInputError("the configuration names no worker image", hint="set worker_image in [kubernetes]")
        reference = parse_reference(text)
        if not reference.digest:
            raise InvalidInputError(
                f"worker image {text} has no digest", hint="gitdata deploy writes it with its digest"
            )
        image_command(reference, self._registries())
        return f"{text} is there"

    # -------------------------------------------------------------------------------------------------- the cluster

    def _get(self, kind: str, name: str, space: str = "") -> Object:
        try:
            return self.kube.within(space or self.kube.namespace).get(plural(kind), name)
        except NotFoundError as error:
            where = f"{space}/{name}" if space else name
            raise RemoteError(f"there is no {kind} {where}", hint=_DEPLOY) from error

    def _deployment(self) -> Object | None:
        try:
            return self.kube.within(self.places.system).get("deployments", CONTROLLER)
        except KubeError as error:
            if error.status in (403, 404):
                return None
            raise

    def _config(self) -> Mapping[str, Any]:
        if self.config is not None:
            return self.config
        try:
            text = self.kube.within(self.places.system).get("configmaps", CONTROLLER)["data"]["controller.toml"]
            return tomllib.loads(text)
        except (NotFoundError, KeyError, tomllib.TOMLDecodeError):
            return {}

    def _registries(self) -> Registries:
        """How the controller asks registries, but for its logins, which are not for us to read."""
        images = self._config().get("images", {})
        return Registries((), images.get("mirrors", {}), self.logins, images.get("platform", "linux/amd64"))

    def _may(self, user: str, space: str, group: str, resource: str, verb: str) -> bool:
        name, _, sub = resource.partition("/")
        what = {"verb": verb, "group": group, "resource": name, "subresource": sub, "namespace": space}
        kind = "SubjectAccessReview" if user else "SelfSubjectAccessReview"
        spec = {"resourceAttributes": what} | ({"user": user} if user else {})
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        return bool(self.kube.create(plural(kind), body)["status"]["allowed"])


def check_server(kube: Kube) -> str:
    """The version of a server that is new enough: Jobs have all that is used since then. Raises RemoteError."""
    found = kube.server_version()
    if found < OLDEST:
        raise RemoteError(f"Kubernetes {found[0]}.{found[1]} is too old", hint="1.33 or newer is needed")
    return f"{found[0]}.{found[1]}"


def _state(pod: Object) -> str:
    status = pod.get("status") or {}
    for container in status.get("containerStatuses") or []:
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting:
            return f"waits: {waiting.get('reason', '')} {waiting.get('message', '')}".strip()
    return f"is {status.get('phase', 'Pending')}"
