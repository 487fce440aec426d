"""Rendered objects -> a cluster: applied, waited for, and taken away again.

Called by the commands ``deploy`` and ``undeploy``. Nothing that lacks the label of this system is ever changed or
deleted; that is looked at for all objects before the first is touched. A namespace that was there before is used and
left. Applying twice changes nothing; what is no longer among the objects is deleted, but no namespace and no Job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeAlias

from gitdata.backends.kube import Kube, KubeError, NotFoundError, plural
from gitdata.errors import BusyError, ConflictError, RemoteError
from gitdata.executors.kubernetes_build_manifest import LABELS
from gitdata.executors.kubernetes_deploy import CONFIG, CONTROLLER, LABEL, NAMESPACES, OWNER, SYSTEM, Places
from gitdata.executors.kubernetes_manifest import INSTANCE
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.executors.kubernetes_status import troubles

Object: TypeAlias = dict[str, Any]
Say: TypeAlias = Callable[[str], None]

ENFORCE = "pod-security.kubernetes.io/enforce"
_LOOK_SECONDS = 0.5
_REFUSED_SECONDS = 5.0  # the word may be about a pod of before
_PATIENCE = KubernetesSettings(stuck_seconds=45.0, unschedulable_seconds=120.0)
# In the order in which they go: first what makes others, last what holds them.
_NAMESPACED = ("Deployment", "ConfigMap", "Secret", "NetworkPolicy", "RoleBinding", "Role", "ServiceAccount")
_CLUSTER_WIDE = (
    *("ClusterRoleBinding", "ClusterRole"),
    *("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"),
)


def title(o: Object) -> str:
    """``secret gitdata-jobs/gitdata-store``."""
    meta = o["metadata"]
    return f"{o['kind'].lower()} {'/'.join(filter(None, [meta.get('namespace'), meta['name']]))}"


def apply(kube: Kube, objects: Sequence[Object], say: Say) -> None:
    """Make the cluster have these objects. Raises ConflictError before anything is changed, KubeError."""
    there = {title(o): _existing(kube, o) for o in objects}
    foreign = [o for o in objects if (found := there[title(o)]) and not _same_system(found, o)]
    left = [o for o in foreign if o["kind"] == "Namespace"]
    if bad := [title(o) for o in foreign if o not in left]:
        raise ConflictError(
            f"the cluster has {', '.join(bad)} that this gitdata did not make",
            hint="delete it, or deploy into other namespaces (--namespace-system, --namespace-jobs)",
        )
    for o in objects:
        if o in left:
            say(f"{title(o)} was there before: it is used as it is")
            _check_security(o, there[title(o)] or {}, say)
        else:
            kube.apply(o)
            say(f"{title(o)} applied")


def _existing(kube: Kube, o: Object) -> Object | None:
    place = kube.within(o["metadata"].get("namespace", kube.namespace))
    try:
        found = place.get(plural(o["kind"]), o["metadata"]["name"])
    except NotFoundError:
        return None
    if found["metadata"].get("deletionTimestamp"):
        raise BusyError(f"{title(o)} is still being deleted", hint="try again in a minute")
    return found


def _same_system(found: Object, o: Object) -> bool:
    labels = found["metadata"].get("labels") or {}
    return bool(labels.get(LABEL) == o["metadata"]["labels"][LABEL])


def _check_security(o: Object, found: Object, say: Say) -> None:
    level = (found["metadata"].get("labels") or {}).get(ENFORCE, "")
    wanted = o["metadata"]["labels"][ENFORCE]
    if level != wanted:
        say(f"hint: kubectl label namespace {o['metadata']['name']} {ENFORCE}={wanted}  (it is {level or 'not set'})")


# ------------------------------------------------------------------------------------------------------------ waiting


def wait(kube: Kube, deployment: Object, seconds: float) -> None:
    """Wait until the controller's pod of this very configuration is ready. Raises RemoteError saying what is wrong."""
    place = kube.within(deployment["metadata"]["namespace"])
    end = time.monotonic() + seconds
    while True:
        found = place.get("deployments", deployment["metadata"]["name"])
        if _available(found):
            return
        words = _why(place, deployment, found, late=time.monotonic() >= end)
        if words:
            raise RemoteError(
                f"the controller does not start: {words}",
                hint=f"kubectl -n {place.namespace} describe deployment,pod; correct it and deploy again",
            )
        time.sleep(_LOOK_SECONDS)


def _available(found: Object) -> bool:
    status = found.get("status") or {}
    return bool(
        status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        and status.get("updatedReplicas") == status.get("availableReplicas") == status.get("replicas") == 1
    )


def _why(place: Kube, wanted: Object, found: Object, *, late: bool) -> str:
    """What keeps the pod from being ready, "" while it may yet become so."""
    now = datetime.now(UTC)
    for condition in (found.get("status") or {}).get("conditions") or []:
        since = (now - datetime.fromisoformat(condition["lastTransitionTime"])).total_seconds()
        if (
            condition["type"] == "ReplicaFailure"
            and condition["status"] == "True"
            and (late or since >= _REFUSED_SECONDS)
        ):
            return str(condition.get("message") or condition.get("reason"))
    template = wanted["spec"]["template"]["metadata"]
    pods = [
        pod
        for pod in place.find("pods", labels=",".join(f"{k}={v}" for k, v in template["labels"].items()))
        if (pod["metadata"].get("annotations") or {}).get(CONFIG) == template["annotations"][CONFIG]
    ]
    for pod in pods:
        for trouble in troubles(found, [_pending(pod)], (), _PATIENCE, now):
            if late or trouble.lasts:
                return _with_log(place, pod, trouble.message)
    if not late:
        return ""
    return _with_log(place, pods[0], "it is not ready in time") if pods else "there is no pod of it yet"


def _pending(pod: Object) -> Object:
    """A pod that crashes is Running to Kubernetes; its containers say otherwise."""
    return {**pod, "status": {**(pod.get("status") or {}), "phase": "Pending"}}


def _with_log(place: Kube, pod: Object, words: str) -> str:
    said = ""
    with suppress(KubeError):  # its container has not begun
        said = place.log(pod["metadata"]["name"], "controller", lines=3).decode(errors="replace").strip()
    return f"{words}; its last words: {said}" if said else words


# ----------------------------------------------------------------------------------------------------------- removing


@dataclass(frozen=True, slots=True)
class Made:
    """What a cluster has of a system, in the order in which it is to go. owner: of its jobs, "" if nobody says."""

    objects: Sequence[Object]
    spaces: Sequence[str]
    owner: str


def made(kube: Kube, places: Places) -> Made:
    """Look for everything that has the label."""
    system = kube.within(places.system)
    labels = f"{LABEL}={places.system}"
    homes = [_titled(o, "Namespace") for o in system.find("namespaces", labels=labels)]
    names = {places.system, places.jobs, places.builds, *(o["metadata"]["name"] for o in homes)}
    owner = ""
    with suppress(NotFoundError):
        notes = system.get("deployments", CONTROLLER)["metadata"].get("annotations") or {}
        owner = notes.get(OWNER, "")
        names |= set(filter(None, notes.get(NAMESPACES, "").split(",")))
    spaces = sorted(names)
    found = [
        _titled(o, kind)
        for kind in _NAMESPACED
        for name in spaces
        for o in kube.within(name).find(plural(kind), labels=labels)
    ]
    found += [_titled(o, kind) for kind in _CLUSTER_WIDE for o in system.find(plural(kind), labels=labels)]
    return Made([*found, *homes], spaces, owner)


def jobs(kube: Kube, found: Made, places: Places) -> list[Object]:
    """The Jobs that the system's controller started: nobody is left to read their results."""
    mine = f"app.kubernetes.io/managed-by=gitdata,{INSTANCE}={found.owner}"
    asked = [(name, mine) for name in found.spaces if found.owner]
    if any(o["metadata"].get("namespace") == places.builds for o in found.objects):  # the builds there are ours
        asked.append((places.builds, ",".join(f"{k}={v}" for k, v in LABELS.items())))
    return [_titled(o, "Job") for name, labels in asked for o in kube.within(name).find("jobs", labels=labels)]


def halt(kube: Kube, found: Made) -> None:
    """Let the controller run no more, if there is one."""
    for o in found.objects:
        if o["kind"] == "Deployment":
            with suppress(NotFoundError):
                kube.patch("deployments", o["metadata"]["name"], {"spec": {"replicas": 0}})


def stopped(kube: Kube, places: Places, seconds: float) -> None:
    """Wait until no controller runs, so that no Job is started behind our back."""
    end = time.monotonic() + seconds
    labels = f"app.kubernetes.io/name={CONTROLLER},{LABEL}={places.system}"
    while kube.within(places.system).find("pods", labels=labels) and time.monotonic() < end:
        time.sleep(_LOOK_SECONDS)


def _titled(o: Object, kind: str) -> Object:
    return {**o, "kind": kind}  # items of a list do not say it


def prune(kube: Kube, before: Made, objects: Sequence[Object], say: Say) -> None:
    """After ``apply``: delete what the system had before and has no more. Namespaces stay, with what others put there.

    What is not in ``before`` is not touched: another deploy may just have made it.
    """
    wanted = {title(o) for o in objects}
    left = [o for o in before.objects if title(o) not in wanted]
    things = [o for o in left if o["kind"] != "Namespace"]
    remove(kube, things, lambda text: say(f"{text}: it is not asked for any more"))
    for o in left:
        if o["kind"] == "Namespace" and not o["metadata"].get("deletionTimestamp"):
            say(f"hint: {title(o)} is not used any more: kubectl delete {title(o)}")


def remove(kube: Kube, objects: Iterable[Object], say: Say) -> None:
    """Delete these very objects, in this order."""
    for o in objects:
        meta = o["metadata"]
        if kube.within(meta.get("namespace", SYSTEM)).delete(plural(o["kind"]), meta["name"], uid=meta["uid"]):
            say(f"{title(o)} deleted")


def gone(kube: Kube, namespaces: Iterable[Object], seconds: float) -> list[str]:
    """Wait until these namespaces are gone; those that are still there."""
    end = time.monotonic() + seconds
    left = [o["metadata"]["name"] for o in namespaces]
    while left:
        known = {o["metadata"]["name"]: o["metadata"]["uid"] for o in kube.find("namespaces")}
        left = [name for name in left if name in known]
        if time.monotonic() >= end:
            break
        if left:
            time.sleep(_LOOK_SECONDS)
    return left
