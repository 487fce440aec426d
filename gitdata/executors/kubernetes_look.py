"""What is known of the Jobs of a cluster: the LIST that everything rests on, and the looks at pods that do not go well.

Used by executors.kubernetes alone. Asked ten times a second, it answers from what it knows until the doorbell rings or
that is too old; then it asks once, and the longer that took the longer it waits before it asks again. An API server
that does not answer raises: it is never taken for a cluster without jobs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from gitdata.backends.kube import Kube, KubeError, Object
from gitdata.errors import RemoteError
from gitdata.executors.kubernetes_manifest import FORGOTTEN, selector
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.executors.kubernetes_status import (
    INDEX,
    OF_JOB,
    age,
    cut_off,
    ended,
    has_run,
    needs_pods,
    over,
    starting,
    terminal,
    troubles,
    unfinished,
)
from gitdata.executors.kubernetes_watch import Doorbell
from gitdata.model import JobStatus

_SOONEST = 0.1  # seconds between two LISTs; at least as many times as long as one takes:
_SHARE = 5
_STARTING_SECONDS = 5.0  # a younger pod may still be starting
_FEW = 10  # pods that may be asked for whenever one of them ends
_SILENT_PODS = 3  # of which events are read


@dataclass(frozen=True, slots=True)
class _Look:
    """at: on the monotonic clock. rung: how often the bell had rung for the Job's pods before."""

    at: float
    took: float
    rung: int
    uid: str
    status: JobStatus


class Lookout:
    """Jobs by name, not yet forgotten. ended: what no longer depends on a Job, kept until it is forgotten."""

    def __init__(self, kube: Kube, settings: KubernetesSettings) -> None:
        self._kube, self._settings = kube, settings
        self._lock = threading.Lock()
        self._jobs: dict[str, Object] = {}
        # The uids of those of which a pod was seen to run: an ended Job does not say so. Whoever was not here then
        # takes its job_timeout for the cluster's fault, which costs no more than another attempt.
        self._ran: set[str] = set()
        self._read: float | None = None  # on the monotonic clock
        self._took = 0.0
        self._rung = 0
        self._failure: tuple[float, RemoteError] | None = None
        self._looks: dict[str, _Look] = {}
        self.ended: dict[str, JobStatus] = {}
        self.bell = Doorbell(kube, selector(settings), seconds=settings.watch_seconds)

    # -------------------------------------------------------------------------------------------------- all Jobs

    def jobs(self) -> dict[str, Object]:
        """All our Jobs. Raises KubeError, RemoteError."""
        self.bell.start()
        with self._lock:
            if self._is_old():
                self._list()
            return dict(self._jobs)

    def put(self, job: Object) -> None:
        with self._lock:
            self._jobs[job["metadata"]["name"]] = job

    def drop(self, name: str) -> None:
        """The Job is of no interest any more."""
        self._looks.pop(name, None)
        self.bell.forget(name)
        with self._lock:
            self._jobs.pop(name, None)

    def _is_old(self) -> bool:
        if self._read is None:
            return True
        since = time.monotonic() - self._read
        if self.bell.jobs_changed != self._rung and since >= max(_SOONEST, _SHARE * self._took):
            return True
        return since >= (self._settings.relist_seconds if self.bell.healthy else self._settings.refresh_seconds)

    def _list(self) -> None:
        began, rung = time.monotonic(), self.bell.jobs_changed
        if self._failure is not None and began - self._failure[0] < 1:
            raise RemoteError(self._failure[1].message, hint=self._failure[1].hint, transient=True)
        try:
            listed = self._kube.find("jobs", labels=f"{selector(self._settings)},!{FORGOTTEN}", tries=2)
        except KubeError as error:
            # A server that has just started may not yet know who may do what: only at our own start that is believed.
            passes = error.transient or (self._read is not None and error.status in (401, 403))
            if not passes:
                raise
            self._failure = (time.monotonic(), RemoteError(error.message, hint=error.hint, transient=True))
            raise self._failure[1] from error
        self._jobs = {job["metadata"]["name"]: job for job in listed if "ttlSecondsAfterFinished" not in job["spec"]}
        self._ran = {uid for job in listed if (uid := job["metadata"]["uid"]) in self._ran or has_run(job)}
        self.bell.keep(self._jobs)
        self._failure, self._rung, self._read = None, rung, time.monotonic()
        self._took = self._read - began

    # --------------------------------------------------------------------------------------------------- one Job

    def status(self, name: str, job: Object) -> JobStatus:
        if name in self.ended:
            return self.ended[name]
        last = self._looks.get(name)
        if last is not None and last.uid != job["metadata"].get("uid"):
            last = None
        rung = self.bell.pods_changed.get(name, 0)
        # Of many shards each end is no news: their pods are more than one wants to ask for that often.
        left = unfinished(job) if rung != (last.rung if last else 0) and not terminal(job) else []
        news = 0 < len(left) <= _FEW
        if terminal(job):
            if not needs_pods(job):
                return self._ended(job, ()) or _alive(job)
            due = last is None or last.status.state not in ("succeeded", "failed")
        elif not needs_pods(job) and not news:
            return self._ended(job, ()) or _alive(job)
        else:
            due = last is None or self._is_due(last, news=news)
        if due:
            began = time.monotonic()
            status = self._look(name, job, left if news else [])
            now = time.monotonic()
            last = self._looks[name] = _Look(now, now - began, rung, job["metadata"].get("uid", ""), status)
        assert last is not None
        return self.ended.get(name, last.status)

    def _ended(self, job: Object, pods: Iterable[Object]) -> JobStatus | None:
        return ended(job, pods, ran=job["metadata"].get("uid", "") in self._ran)

    def _is_due(self, last: _Look, *, news: bool) -> bool:
        since = time.monotonic() - last.at
        usual = self._settings.refresh_seconds * (_SHARE if self.bell.healthy else 1)
        return since >= max(_SOONEST if news else usual, _SHARE * last.took)

    def _look(self, name: str, job: Object, left: list[int]) -> JobStatus:
        """Look at the pods of a Job whose own status does not say enough. left: the last shards, if one has news."""
        if left and not (job.get("status") or {}).get("failedIndexes"):
            wanted = ",".join(map(str, left))
            status = over(job, self._kube.find("pods", labels=f"{OF_JOB}={name},{INDEX} in ({wanted})"))
            if status is not None:
                self.ended[name] = status
                return status
        now = datetime.now(UTC)
        if not terminal(job) and age(job, now) < min(_STARTING_SECONDS, self._settings.stuck_seconds):
            return _alive(job)
        pods = self._kube.find("pods", labels=f"{OF_JOB}={name}")
        done = self._ended(job, pods)
        if done is not None:
            return done
        found = cut_off(pods, self._settings, now)
        found += troubles(job, pods, self._events(name, pods, now), self._settings, now)
        for trouble in found:
            if trouble.lasts:
                status = JobStatus("failed", trouble.message, infrastructure=trouble.infrastructure)
                self.end(name, job, status)
                return status
        alive = _alive(job)
        return JobStatus(alive.state, found[0].message, restarts=alive.restarts) if found else alive

    def _events(self, name: str, pods: list[Object], now: datetime) -> list[Object]:
        """What the cluster itself says: why there are no pods, or why some have not begun for a while."""
        if not pods:
            return self._kube.events(name)
        pending = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Pending"]
        late = [pod for pod in pending if starting(pod, now) >= min(_STARTING_SECONDS, self._settings.stuck_seconds)]
        late.sort(key=lambda pod: not pod["spec"].get("nodeName"))  # why a pod has no node, it says itself
        return [event for pod in late[:_SILENT_PODS] for event in self._kube.events(pod["metadata"]["name"])]

    def end(self, name: str, job: dict[str, Any], status: JobStatus) -> None:
        """Delete a Job with its pods, and remember why."""
        self._kube.delete("jobs", name, uid=job["metadata"].get("uid", ""))
        self.ended[name] = status  # not before: where the API server does not answer, the Job goes on
        self.drop(name)


def _alive(job: Object) -> JobStatus:
    status = job.get("status") or {}
    restarts = int(status.get("failed") or 0)
    if job["spec"].get("suspend"):
        return JobStatus("pending", "it waits for its queue", restarts=restarts)
    begun = status.get("ready") or status.get("succeeded") or restarts
    return JobStatus("running" if begun else "pending", restarts=restarts)
