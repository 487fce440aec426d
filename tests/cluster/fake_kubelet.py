"""A kubelet without containers: its node takes pods, and each meets the fate that its annotations name.

Started by testbed.py on the tier ``control``; a test may start more, with other names. It runs nothing itself:
``act`` may do a pod's work in this process.

Annotation ``gitdata.test/fate`` (or ``gitdata.test/fate-<completion index>``, which wins): what becomes of the pod,
by comma for the first, second, … try of its index, the last one for all that follow:

    succeed (default) | exit N [WORDS] | oom | evicted | image (cannot be pulled) | hang (runs until it is deleted)

Annotation ``gitdata.test/seconds``: how long it runs first.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from cluster.api import Api, ApiError, Object

FATE, SECONDS = "gitdata.test/fate", "gitdata.test/seconds"
INDEX, FAILURES = "batch.kubernetes.io/job-completion-index", "batch.kubernetes.io/job-index-failure-count"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
HEARTBEAT_SECONDS = 4
Act = Callable[[Object], str | None]


class FakeKubelet:
    """act: called once for each pod, when it runs; may name the fate instead of the annotation."""

    def __init__(self, api: Api, name: str = "fake1", *, act: Act | None = None, pods: int = 5000) -> None:
        self.api, self.name, self.act = api, name, act
        self.capacity = {"cpu": "4000", "memory": "8Ti", "ephemeral-storage": "8Ti", "pods": str(pods)}
        self._ended = threading.Event()
        self._known: set[str] = set()
        self._work = ThreadPoolExecutor(8, thread_name_prefix=name)
        self._threads = [threading.Thread(target=f, name=name) for f in (self._beat, self._watch)]

    def start(self) -> None:
        """Make the node known, then serve it until ``stop``."""
        node = {"metadata": {"name": self.name, "labels": {"kubernetes.io/hostname": self.name}}}
        lease = {"metadata": {"name": self.name}, "spec": {"holderIdentity": self.name, "leaseDurationSeconds": 20}}
        for path, body in (("/api/v1/nodes", node), (LEASES, lease)):
            try:
                self.api.create(path, body)
            except ApiError as error:
                if error.status != 409:  # it was here before
                    raise
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """As a machine that loses its power: the node stays and is soon not ready, its pods stay as they are."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        self._work.shutdown(cancel_futures=True)

    def _beat(self) -> None:
        while True:
            now = datetime.now(UTC)
            ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": _time(now)}
            status = {"capacity": self.capacity, "allocatable": self.capacity, "conditions": [ready]}
            try:
                self.api.patch(f"/api/v1/nodes/{self.name}/status", {"status": status})
                self.api.patch(f"{LEASES}/{self.name}", {"spec": {"renewTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}})
            except (OSError, LookupError):
                pass  # the server restarts; the next beat tells it
            if self._ended.wait(HEARTBEAT_SECONDS):
                return

    def _watch(self) -> None:
        """LIST, then watch in short turns: an event missed while the server was away is found by the next LIST."""
        mine = {"fieldSelector": f"spec.nodeName={self.name}"}
        while not self._ended.is_set():
            try:
                listed = self.api.get("/api/v1/pods", **mine)
                for pod in listed["items"]:
                    self._see(pod)
                version = listed["metadata"]["resourceVersion"]
                for kind, pod in self.api.watch("/api/v1/pods", 2, resourceVersion=version, **mine):
                    if kind in ("ADDED", "MODIFIED"):
                        self._see(pod)
                    if self._ended.is_set():
                        return
            except (OSError, LookupError):
                self._ended.wait(0.2)

    def _see(self, pod: Object) -> None:
        uid, gone = pod["metadata"]["uid"], "deletionTimestamp" in pod["metadata"]
        key = f"{uid} deleted" if gone else uid
        if key in self._known or (pod["status"].get("phase") in ("Succeeded", "Failed") and not gone):
            return
        self._known.add(key)
        self._work.submit(self._persist, self._remove if gone else self._begin, pod)

    def _persist(self, step: Callable[[Object], None], pod: Object) -> None:
        """Do one step with a pod until the server has taken it, or the pod is no longer there."""
        while not self._ended.is_set():
            try:
                return step(pod)
            except ApiError as error:
                if error.status in (404, 409, 422):
                    return None
            except OSError:
                pass
            self._ended.wait(0.2)
        return None

    def _begin(self, pod: Object) -> None:
        fate = fate_of(pod)
        if fate == "image":
            waiting = {"reason": "ImagePullBackOff", "message": "Back-off pulling image: not found"}
            return self._say(pod, "Pending", {"waiting": waiting})
        started = _time()
        self._say(pod, "Running", {"running": {"startedAt": started}})
        seconds = float(pod["metadata"].get("annotations", {}).get(SECONDS, 0))
        if seconds:
            timer = threading.Timer(seconds, self._end_later, (pod, fate, started))
            timer.daemon = True
            return timer.start()
        return self._end(pod, fate, started)

    def _end_later(self, pod: Object, fate: str, started: str) -> None:
        if not self._ended.is_set():
            self._work.submit(self._persist, lambda pod: self._end(pod, fate, started), pod)

    def _end(self, pod: Object, fate: str, started: str) -> None:
        fate = (self.act(pod) if self.act else None) or fate
        if fate == "hang":
            return None
        if fate == "evicted":
            disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}
            extra = {"reason": "Evicted", "message": "The node was low on resource: memory.", "conditions": [disrupted]}
            return self._say(pod, "Failed", _ended(137, "Error", started), extra)
        number, _, words = fate.removeprefix("exit ").partition(" ")
        code = 137 if number == "oom" else int(number.replace("succeed", "0"))
        reason = "OOMKilled" if fate == "oom" else "Error" if code else "Completed"
        state = _ended(code, reason, started, words)
        return self._say(pod, "Failed" if code else "Succeeded", state)

    def _say(self, pod: Object, phase: str, state: Object, more: Object | None = None) -> None:
        """Write a status. The first container has ``state``; the others, sidecars too, end well when it ends."""
        status: Object = {"phase": phase, "startTime": pod["status"].get("startTime") or _time()}
        ended = state.get("terminated")
        other = _ended(0, "Completed", ended["startedAt"]) if ended else state
        for kind, key in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses")):
            found = enumerate(pod["spec"].get(kind, []))
            status[key] = [_container(c, state if kind == "containers" and n == 0 else other) for n, c in found]
        ready = {"type": "Ready", "status": str(phase == "Running"), "lastTransitionTime": _time()}
        conditions = [ready, *(more or {}).get("conditions", [])]
        kept = [c for c in pod["status"].get("conditions", []) if c["type"] not in {c["type"] for c in conditions}]
        status |= (more or {}) | {"conditions": [*kept, *conditions]}
        self.api.patch(f"{_path(pod)}/status", {"metadata": {"uid": pod["metadata"]["uid"]}, "status": status})

    def _remove(self, pod: Object) -> None:
        """A pod that is asked to go is stopped (exit 143 if it still ran) and then really deleted."""
        pod = self.api.get(_path(pod))
        if pod["status"].get("phase") not in ("Succeeded", "Failed"):
            self._say(pod, "Failed", _ended(143, "Error", pod["status"].get("startTime") or _time()))
        self.api.delete(_path(pod), {"gracePeriodSeconds": 0, "preconditions": {"uid": pod["metadata"]["uid"]}})


def fate_of(pod: Object) -> str:
    """What the annotations say about this try of this index."""
    notes = pod["metadata"].get("annotations") or {}
    fates = notes.get(f"{FATE}-{notes.get(INDEX)}") or notes.get(FATE) or "succeed"
    tries = [fate.strip() for fate in fates.split(",")]
    return str(tries[min(int(notes.get(FAILURES, 0)), len(tries) - 1)])


def _container(spec: Object, state: Object) -> Object:
    ended = "terminated" in state
    names = {"name": spec["name"], "image": spec["image"], "imageID": "" if "waiting" in state else spec["image"]}
    return {
        **names,
        "ready": "running" in state,
        "started": "running" in state or ended,
        "restartCount": 0,
        "state": state,
    }


def _ended(code: int, reason: str, started: str, words: str = "") -> dict[str, Any]:
    said = {"message": words} if words else {}
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": started, "finishedAt": _time(), **said}}


def _path(pod: Object) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _time(at: datetime | None = None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", (at or datetime.now(UTC)).utctimetuple())
