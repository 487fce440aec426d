"""Jobs as Kubernetes Jobs: the second executor behind the Protocol.

Made by the command ``controller``. The cluster is the only memory: what is known of jobs is what a LIST by label says,
read again after a few seconds, so that a controller that was killed finds everything where it was. Only why a job was
ended (its Job is gone by then) is kept here until it is forgotten. The time limit of finished Jobs is set when they
are forgotten, which is after publication: a Job that vanished before would be run again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gitdata.backends.git import Git
from gitdata.backends.images import folder_tree
from gitdata.backends.kube import AlreadyThereError, Cluster, Kube, KubeError, NotFoundError
from gitdata.backends.registry import Reference, Registries, parse_reference, read_logins, resolve
from gitdata.errors import BusyError, ConflictError, InvalidInputError
from gitdata.executors.base import Job, Progress
from gitdata.executors.kubernetes_manifest import STORE, ZONE, manifest, selector
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.executors.kubernetes_stage import check_secrets, resources, run_as
from gitdata.executors.kubernetes_status import age, ended, needs_pods, progress, terminal, troubles
from gitdata.model import Environment, JobStatus, Stage

_KEEP_SECONDS = 3600  # a finished Job whose result is published
_OF_JOB = "batch.kubernetes.io/job-name"
_LOG_LINES = 1000  # of each pod
_LOOK_SECONDS = 5.0  # a younger pod may still be starting
_DEFAULTS: Mapping[str, str] = MappingProxyType({"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"})


class KubernetesExecutor:
    """Jobs of one store's zone in one namespace. kubeconfig, context: "" for the usual places.

    logins: a Docker configuration with the controller's logins to registries, None for none.
    """

    name = "kubernetes"

    def __init__(
        self, settings: KubernetesSettings, *, kubeconfig: str = "", context: str = "", logins: Path | None = None
    ) -> None:
        if not settings.store_url.lower().startswith("s3://"):
            raise InvalidInputError(
                f"{settings.store_url}: pods of a cluster cannot reach it", hint="use s3://bucket/prefix"
            )
        parse_reference(settings.worker_image)
        self._settings = settings
        self._kube = Kube(Cluster(settings.namespace, kubeconfig, context))
        self._registries = Registries(
            settings.registries, settings.mirrors, read_logins(logins) if logins else None, settings.platform
        )
        self._lock = threading.Lock()
        self._digests: dict[str, Reference] = {}
        self._jobs: dict[str, dict[str, Any]] = {}
        self._read = 0.0  # on the monotonic clock
        self._looked: dict[str, tuple[float, JobStatus]] = {}
        self._counted: dict[str, Progress] = {}  # of jobs that have ended
        self._ended: dict[str, JobStatus] = {}

    # ----------------------------------------------------------------------------------------------------- planning

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "") -> Environment:
        image = stage.transform.image
        if folder_tree(git, commit, image) is not None:
            raise InvalidInputError(
                f"stage {stage.name}: image {image} is a folder of this commit, which a cluster cannot run yet",
                hint="build and push it, and name the image with its registry",
            )
        if not stage.transform.cmd:
            raise InvalidInputError(f"stage {stage.name}: on a cluster a stage needs transform.cmd")
        run_as(stage, self._settings.user, allow_root=self._settings.allow_root)
        check_secrets(stage, self._settings.secrets)
        resources(stage, _DEFAULTS, self._settings.gpu)
        if known.startswith("oci:sha256:"):
            parse_reference(image)
            return Environment(known, image)
        found = self._digests.get(image)
        if found is None:
            found = self._digests[image] = resolve(image, self._registries)
        return Environment(f"oci:{found.digest}", image)

    # ------------------------------------------------------------------------------------------------ jobs by name

    def start(self, job: Job, git: Git) -> None:
        if job.zone != self._settings.zone:
            raise InvalidInputError(f"job {job.name} is of the zone {job.zone}, not {self._settings.zone}")
        named = parse_reference(job.stage.transform.image)
        image = Reference(named.host, named.path, digest=job.environment.id.removeprefix("oci:")).pinned
        body = manifest(job, image, self._settings)
        self._ended.pop(job.name, None)
        try:
            made = self._kube.create("jobs", body)
        except AlreadyThereError:
            made = self._adopt(job)
        except KubeError as error:
            if error.transient:
                raise
            self._ended[job.name] = JobStatus("failed", error.message, infrastructure=True)
            return
        with self._lock:
            self._jobs[job.name] = made

    def _adopt(self, job: Job) -> dict[str, Any]:
        try:
            found = self._kube.get("jobs", job.name)
        except NotFoundError as error:
            raise BusyError(f"job {job.name} has just been deleted") from error
        notes = found["metadata"].get("annotations") or {}
        if (notes.get(STORE), notes.get(ZONE)) != (self._settings.store_url, job.zone):
            raise ConflictError(
                f"the namespace {self._settings.namespace} has a Job {job.name} that is not of this remote",
                hint="delete it, or give this controller a namespace of its own",
            )
        if "ttlSecondsAfterFinished" in found["spec"]:  # an old one that was forgotten: it says nothing of this start
            self._kube.delete("jobs", job.name, uid=found["metadata"]["uid"])
            raise BusyError(f"an older job {job.name} is being deleted")
        if found["metadata"].get("deletionTimestamp"):
            raise BusyError(f"job {job.name} is still being deleted")
        return found

    def status(self, name: str) -> JobStatus | None:
        if name in self._ended:
            return self._ended[name]
        job = self._snapshot().get(name)
        return None if job is None else self._status(name, job)

    def progress(self, name: str) -> Progress:
        job = self._snapshot().get(name)
        if job is None:
            return Progress()
        if terminal(job) and name not in self._counted:
            self._counted[name] = progress(job, self._kube.find("pods", labels=f"{_OF_JOB}={name}"))
        return self._counted.get(name) or progress(job)

    def jobs(self) -> dict[str, JobStatus]:
        found = {name: self._status(name, job) for name, job in self._snapshot().items()}
        return {**found, **self._ended}

    def log(self, name: str) -> bytes:
        """What the commands of a job's pods have printed so far, the last of it; of pods that are gone nothing."""
        found = []
        for pod in self._kube.find("pods", labels=f"{_OF_JOB}={name}"):
            with suppress(KubeError):  # its container has not begun, or its node is gone
                found.append(self._kube.log(pod["metadata"]["name"], "user", lines=_LOG_LINES))
        return b"".join(found)

    def cancel(self, name: str) -> None:
        job = self._snapshot().get(name)
        if job is not None and name not in self._ended and not terminal(job):
            self._end(name, job, JobStatus("failed", "cancelled", infrastructure=True))

    def forget(self, name: str) -> None:
        job = self._snapshot().get(name)
        if job is not None and not terminal(job) and name not in self._ended:
            return
        self._ended.pop(name, None)
        self._looked.pop(name, None)
        self._counted.pop(name, None)
        if job is not None:
            with suppress(NotFoundError):  # it is gone already
                self._kube.patch("jobs", name, {"spec": {"ttlSecondsAfterFinished": _KEEP_SECONDS}})
            with self._lock:
                self._jobs.pop(name, None)

    def close(self) -> None:
        """Nothing: jobs of a cluster go on."""

    # ---------------------------------------------------------------------------------------------------- looking

    def _snapshot(self) -> dict[str, dict[str, Any]]:
        """All our Jobs that are not yet forgotten, not older than a few seconds."""
        with self._lock:
            if time.monotonic() - self._read >= self._settings.refresh_seconds:
                listed = self._kube.find("jobs", labels=selector(self._settings))
                self._jobs = {
                    job["metadata"]["name"]: job for job in listed if "ttlSecondsAfterFinished" not in job["spec"]
                }
                self._read = time.monotonic()
            return dict(self._jobs)

    def _status(self, name: str, job: dict[str, Any]) -> JobStatus:
        if name in self._ended:
            return self._ended[name]
        if not needs_pods(job):
            return ended(job, ()) or _alive(job)
        at, status = self._looked.get(name, (0.0, None))
        if status is None or time.monotonic() - at >= self._settings.refresh_seconds:
            status = self._look(name, job)
            self._looked[name] = (time.monotonic(), status)
        return self._ended.get(name, status)

    def _look(self, name: str, job: dict[str, Any]) -> JobStatus:
        """Look at the pods of a Job whose own status does not say enough."""
        now = datetime.now(UTC)
        if not terminal(job) and age(job, now) < min(_LOOK_SECONDS, self._settings.stuck_seconds):
            return _alive(job)
        pods = self._kube.find("pods", labels=f"{_OF_JOB}={name}")
        done = ended(job, pods)
        if done is not None:
            return done
        starting = [pod for pod in pods if pod.get("status", {}).get("phase") == "Pending"]
        events = [] if pods else self._kube.events(name)
        waited = max((age(pod, now) for pod in starting), default=age(job, now))
        found = troubles(pods, events, self._settings)
        for trouble in found:
            if waited >= trouble.limit:
                status = JobStatus("failed", trouble.message, infrastructure=trouble.infrastructure)
                self._end(name, job, status)
                return status
        alive = _alive(job)
        return JobStatus(alive.state, found[0].message) if found else alive

    def _end(self, name: str, job: dict[str, Any], status: JobStatus) -> None:
        """Delete a Job with its pods, and remember why."""
        self._ended[name] = status
        self._kube.delete("jobs", name, uid=job["metadata"].get("uid", ""))
        with self._lock:
            self._jobs.pop(name, None)


def _alive(job: dict[str, Any]) -> JobStatus:
    status = job.get("status") or {}
    restarts = int(status.get("failed") or 0)
    if job["spec"].get("suspend"):
        return JobStatus("pending", "it waits for its queue", restarts=restarts)
    begun = status.get("ready") or status.get("succeeded") or restarts
    return JobStatus("running" if begun else "pending", restarts=restarts)
