"""Folder images built on the cluster itself: ``[images] builder = "cluster"``, the second builder behind the Protocol.

Made by the commands, called by executors.kubernetes_images from several threads. The folder goes into the object store
as a tar named by its sha256, and a Job named by the image's reference builds and pushes it: whoever asks for the same
image meanwhile adopts that Job, and so does a controller that was killed and comes back. Nothing is remembered here.
"""

from __future__ import annotations

import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitdata.backends.builders import ImageSettings, build_problem, check_dockerfile, registries
from gitdata.backends.git import Git
from gitdata.backends.images import export_tree, folder_tree
from gitdata.backends.kube import AlreadyThereError, Kube, NotFoundError, Object
from gitdata.backends.objects import ObjectStore
from gitdata.backends.registry import parse_reference, resolve
from gitdata.data.hashing import hash_file
from gitdata.errors import BusyError, ConflictError, GitdataError, InvalidInputError, MachineError, RemoteError
from gitdata.executors.kubernetes_build_manifest import (
    FETCH,
    LABELS,
    PUSH,
    REFERENCE,
    BuildSettings,
    build_job,
    job_name,
)
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.executors.kubernetes_status import OF_JOB, cut_off, terminal, troubles
from gitdata.formats.keys import context_key
from gitdata.text import reason
from gitdata.worker.context import pack

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_GONE_SECONDS = 60.0  # how long an older Job of the name may take to go
_LOOK_SECONDS = 5.0  # between two looks at the pods of a build that runs
_TOLD_LINES = 20


def _quiet(text: str) -> None:
    """Nobody is told."""


class ClusterBuilder:
    """kube: of the builds' namespace. cluster: worker image, store and nodes. say: is told the end of each build."""

    def __init__(
        self,
        kube: Kube,
        store: ObjectStore,
        settings: BuildSettings,
        cluster: KubernetesSettings,
        images: ImageSettings,
        *,
        say: Callable[[str], None] = _quiet,
    ) -> None:
        for name, image in (
            ("image in [builds]", settings.image),
            ("worker_image in [kubernetes]", cluster.worker_image),
        ):
            if not image:
                raise InvalidInputError(
                    "the configuration names no image for builds on the cluster",
                    hint=f"set {name}; `gitdata images push --system` prints it",
                )
            parse_reference(image)
        self._kube, self._store, self._say = kube, store, say
        self._settings, self._cluster, self._images = settings, cluster, images
        self._closed = threading.Event()

    def build(self, git: Git, commit: str, folder: str, reference: str) -> str:
        tree = folder_tree(git, commit, folder)
        if tree is None:
            raise InvalidInputError(f"image {folder}: the commit has no such folder")
        check_dockerfile(git, tree, folder)
        began = time.monotonic()
        context = self._bring(git, tree, folder)
        body = build_job(reference, context, folder, self._settings, self._cluster, self._images)
        self._start(folder, reference, body)
        try:
            digest = self._digest(folder, reference)
        except GitdataError as error:
            self._say(f"image {folder}: its build on the cluster failed: {error.message}")
            raise
        self._say(f"image {folder}: built on the cluster in {time.monotonic() - began:.1f} s as {reference}")
        return digest

    def close(self) -> None:
        """Wait for nothing any more. Jobs go on: whoever asks next adopts them."""
        self._closed.set()

    # ------------------------------------------------------------------------------------------------- the context

    def _bring(self, git: Git, tree: str, folder: str) -> str:
        """Put the folder into the store; the digest it is named by."""
        try:
            with tempfile.TemporaryDirectory(prefix="gitdata-context-") as scratch:
                tar = Path(scratch) / "context.tar"
                pack(export_tree(git, tree, folder, Path(scratch) / "context"), tar)
                found = hash_file(tar)
                key = context_key(self._cluster.zone, found.sha256)
                there = self._store.head(key)
                if there is None or there.size != found.size:
                    self._store.upload(key, tar, found.md5)
                return found.sha256
        except OSError as error:
            raise MachineError(f"image {folder}: cannot be packed: {reason(error)}") from error

    # ----------------------------------------------------------------------------------------------------- the Job

    def _start(self, folder: str, reference: str, body: Object) -> None:
        """Create the Job, or adopt one that runs or has built it; an older one that failed makes room first."""
        deadline = time.monotonic() + _GONE_SECONDS
        while True:
            with suppress(AlreadyThereError):
                self._kube.create("jobs", body)
                return
            with suppress(NotFoundError):  # it has just gone
                found = self._kube.get("jobs", body["metadata"]["name"])
                self._check_ours(found, reference)
                deleted = found["metadata"].get("deletionTimestamp")
                if not deleted and not (terminal(found) and _condition(found)[0] == "Failed"):
                    return
                if not deleted:
                    self._kube.delete("jobs", found["metadata"]["name"], uid=found["metadata"]["uid"])
            if time.monotonic() > deadline:
                raise BusyError(f"image {folder}: an older build of it is still being deleted")
            self._wait(folder)

    def _check_ours(self, found: Object, reference: str) -> None:
        labels, notes = (found["metadata"].get(name) or {} for name in ("labels", "annotations"))
        if any(labels.get(k) != v for k, v in LABELS.items()) or notes.get(REFERENCE) != reference:
            raise ConflictError(
                f"the namespace {self._settings.namespace} has a Job {found['metadata']['name']}"
                f" that does not build {reference}",
                hint="delete it, or give builds a namespace of their own",
            )

    def _digest(self, folder: str, reference: str) -> str:
        """Wait for the end of the Job; what it pushed."""
        name, looked = job_name(reference), time.monotonic()
        while True:
            try:
                job = self._kube.get("jobs", name)
            except NotFoundError as error:
                problem = f"image {folder}: the Job {name} that built it was deleted"
                raise MachineError(problem, transient=True) from error
            if terminal(job):
                return self._outcome(folder, reference, job)
            if time.monotonic() - looked >= _LOOK_SECONDS:
                self._look(folder, name, job)
                looked = time.monotonic()
            self._wait(folder)

    def _outcome(self, folder: str, reference: str, job: Object) -> str:
        pods = self._kube.find("pods", labels=f"{OF_JOB}={job['metadata']['name']}")
        if _condition(job)[0] != "Complete":
            raise self._failure(folder, job, pods)
        for pod in pods:
            said = _ends(pod).get(PUSH, {}).get("message", "").strip()
            if pod.get("status", {}).get("phase") == "Succeeded" and _DIGEST.fullmatch(said):
                return str(said)
        return resolve(reference, registries(self._images)).digest  # its pod is gone: the registry knows

    def _look(self, folder: str, name: str, job: Object) -> None:
        """End a Job whose pod cannot start, or will never be said to have ended."""
        pods = self._kube.find("pods", labels=f"{OF_JOB}={name}")
        events = [] if pods else self._kube.events(name)
        now = datetime.now(UTC)
        lost = cut_off(pods, self._cluster, now)
        for trouble in lost + troubles(job, pods, events, self._cluster, now):
            if trouble.lasts:
                self._kube.delete("jobs", name, uid=job["metadata"]["uid"])
                what = "go on" if trouble in lost else "start"
                raise MachineError(
                    f"image {folder}: its build does not {what}: {trouble.message}",
                    hint=f"see the namespace {self._settings.namespace}",
                )

    def _failure(self, folder: str, job: Object, pods: Sequence[Object]) -> GitdataError:
        """Whose fault the end of a build is."""
        where = f"; kubectl -n {self._settings.namespace} logs job/{job['metadata']['name']} --all-containers"
        for pod in sorted(pods, key=lambda p: str(p["metadata"].get("creationTimestamp")), reverse=True):
            status = pod.get("status", {})
            if status.get("reason") == "DeadlineExceeded":
                return InvalidInputError(
                    f"image {folder}: its build was ended after {self._images.build_seconds:g} s (build_seconds)",
                    hint=f"make it quicker, or raise build_seconds{where}",
                )
            if status.get("reason"):  # such as Evicted
                return MachineError(f"image {folder}: its build was ended: {status['reason']}: {status.get('message')}")
            for container, end in _ends(pod).items():
                if end.get("exitCode"):
                    return self._ended(folder, container, end, where)
        return MachineError(f"image {folder}: its build failed: {_condition(job)[1]}", transient=True)

    def _ended(self, folder: str, container: str, end: Object, where: str) -> GitdataError:
        said = str(end.get("message") or "")
        lines = ["".join(c for c in line if c.isprintable()) for line in said.splitlines() if line.strip()]
        if container == FETCH:
            words = " | ".join(lines[-_TOLD_LINES:]) or f"exit {end['exitCode']}"
            return RemoteError(f"image {folder}: the cluster cannot fetch its context: {words}", transient=True)
        if end.get("reason") == "OOMKilled":
            hint = f"raise memory in [builds] ({self._settings.memory})"
            return MachineError(f"image {folder}: its {container} ran out of memory", hint=hint)
        return build_problem(folder, container, lines, where)

    def _wait(self, folder: str) -> None:
        if self._closed.wait(self._settings.poll_seconds):
            raise MachineError(f"image {folder}: not waited for, because the controller ends", transient=True)


def _condition(job: Object) -> tuple[str, str]:
    """Complete or Failed, with the cluster's words."""
    for found in (job.get("status") or {}).get("conditions") or ():
        if found["type"] in ("Complete", "Failed") and found["status"] == "True":
            return found["type"], str(found.get("message") or found.get("reason") or "it failed")
    return "", ""


def _ends(pod: Object) -> dict[str, dict[str, Any]]:
    """How each container of a pod has ended, in the order in which they run."""
    status = pod.get("status") or {}
    found = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    return {one["name"]: (one.get("state") or {}).get("terminated") or {} for one in found}
