"""Jobs as Kubernetes Jobs: the second executor behind the Protocol.

Made by the command ``controller``. The cluster is the only memory: what is known of jobs is what a LIST by label says,
read again after a few seconds, so that a controller that was killed finds everything where it was. Only why a job was
ended (its Job is gone by then) is kept here until it is forgotten. The time limit of finished Jobs is set when they
are forgotten, which is after publication: a Job that vanished before would be run again.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gitdata.backends.builders import Builder, ImageSettings
from gitdata.backends.git import Git
from gitdata.backends.kube import AlreadyThereError, Cluster, Kube, KubeError, NotFoundError
from gitdata.backends.registry import parse_reference
from gitdata.backends.stores import open_store
from gitdata.errors import BusyError, ConflictError, GitdataError, InvalidInputError
from gitdata.executors.base import Job, Progress, workers_on
from gitdata.executors.kubernetes_images import Image, Images, failure
from gitdata.executors.kubernetes_look import Lookout
from gitdata.executors.kubernetes_manifest import COMMIT, FORGOTTEN, REPOSITORY, STORE, ZONE, manifest
from gitdata.executors.kubernetes_nodes import Nodes, to_stderr
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.executors.kubernetes_stage import check_stage, node_selector, tolerations
from gitdata.executors.kubernetes_status import OF_JOB, progress, terminal
from gitdata.executors.live import LiveReader
from gitdata.model import Environment, JobStatus, Stage

_KEEP_SECONDS = 3600  # a finished Job whose result is published


class KubernetesExecutor:
    """Jobs of one store's zone in one namespace. kubeconfig, context: "" for the usual places.

    logins: a Docker configuration with the controller's logins to registries, None for none. images: where images come
    from and go. builder: of folder images; None builds none. Who made it closes it.
    """

    name = "kubernetes"

    def __init__(
        self,
        settings: KubernetesSettings,
        *,
        kubeconfig: str = "",
        context: str = "",
        logins: Path | None = None,
        builder: Builder | None = None,
        images: ImageSettings | None = None,
        say: Callable[[str], None] = to_stderr,
    ) -> None:
        if not settings.store_url.lower().startswith("s3://"):
            raise InvalidInputError(
                f"{settings.store_url}: pods of a cluster cannot reach it", hint="use s3://bucket/prefix"
            )
        parse_reference(settings.worker_image)
        self._settings = settings
        self._kube = Kube(Cluster(settings.namespace, kubeconfig, context))
        self._images = Images(images or ImageSettings(), logins, builder, patience=settings.stuck_seconds)
        self._nodes = Nodes(self._kube, say)
        self._look = Lookout(self._kube, settings)
        self._counted: dict[str, Progress] = {}  # of jobs that have ended
        self._live = LiveReader(lambda: open_store(settings.store_url, settings.store_options), settings.zone)

    # ----------------------------------------------------------------------------------------------------- planning

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        check_stage(stage, self._settings)
        if not stage.transform.image:
            if not self._settings.default_image:
                raise InvalidInputError(
                    f"stage {stage.name}: it names no image, and this controller has no default_image",
                    hint="name one in transform.image, or set default_image in [kubernetes]",
                )
            stage = replace(stage, transform=replace(stage.transform, image=self._settings.default_image))
        return self._images.environment(git, commit, stage, known, asked)

    def workers(self, stage: Stage) -> int:
        nodes = 1
        if stage.parallelism.coefficient_milli is not None:
            nodes = self._nodes.count(node_selector(stage, self._settings), tolerations(stage, self._settings))
        return workers_on(stage, nodes)

    # ------------------------------------------------------------------------------------------------ jobs by name

    def start(self, job: Job, git: Git) -> None:
        if job.zone != self._settings.zone:
            raise InvalidInputError(f"job {job.name} is of the zone {job.zone}, not {self._settings.zone}")
        self._look.ended.pop(job.name, None)
        image = self._images.ready(job)
        if image is not None:
            try:
                self._create(job, image)
            except GitdataError as error:
                if not error.transient or (isinstance(error, KubeError) and not error.status):
                    raise
                # A quota that is full, perhaps of what another branch has to publish first, a webhook that is away, an
                # older Job that is still being deleted: what concerns this Job alone keeps nobody else waiting.
                self._images.begin(job, git, self._prepared, error.message)
        elif job.name in self._look.jobs():  # it has what it runs, whatever became of its image
            self._look.put(self._adopt(job))
        else:
            self._images.begin(job, git, self._prepared)

    def _prepared(self, job: Job, found: Image | GitdataError) -> None:
        """Called when a job's image is there or cannot be had. Raises what may pass: then it is called again."""
        if isinstance(found, GitdataError):
            self._look.ended[job.name] = failure(found)
            return
        try:
            self._create(job, found)
        except GitdataError as error:
            if error.transient:
                raise
            self._look.ended[job.name] = failure(error)

    def _create(self, job: Job, image: Image) -> None:
        body = manifest(job, image.reference, self._settings, image.command)
        try:
            made = self._kube.create("jobs", body)
        except AlreadyThereError:
            made = self._adopt(job)
        except KubeError as error:
            if error.transient:
                raise
            self._look.ended[job.name] = JobStatus("failed", error.message, infrastructure=True)
            return
        self._look.put(made)

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
        if name in self._look.ended:
            return self._look.ended[name]
        waiting = self._images.waiting(name)
        if waiting is not None:
            return waiting
        job = self._look.jobs().get(name)
        return None if job is None else self._look.status(name, job)

    def progress(self, name: str) -> Progress:
        job = self._look.jobs().get(name)
        if job is None:
            return Progress()
        said = self._look.ended.get(name)
        if (terminal(job) or said) and name not in self._counted:
            pods = self._kube.find("pods", labels=f"{OF_JOB}={name}")
            self._counted[name] = progress(job, pods, done=said is not None and said.state == "succeeded")
        return self._counted.get(name) or progress(job, live=self._live.shards(name))

    def jobs(self) -> dict[str, JobStatus]:
        found = {name: self._look.status(name, job) for name, job in self._look.jobs().items()}
        return {**found, **self._images.all_waiting(), **self._look.ended}

    def lost(self) -> set[str]:
        return set()  # Jobs outlive who started them

    def commit(self, name: str) -> str:
        return self._note(name, COMMIT)

    def is_foreign(self, name: str) -> bool:
        # One that does not say so may be of an older version of ours.
        return self._note(name, REPOSITORY) not in ("", self._settings.repository_id)

    def _note(self, name: str, note: str) -> str:
        job = self._look.jobs().get(name)
        return "" if job is None else str((job["metadata"].get("annotations") or {}).get(note, ""))

    def cancel(self, name: str) -> None:
        cancelled = JobStatus("failed", "cancelled", infrastructure=True)
        waited = self._images.drop(name)
        job = self._look.jobs().get(name)  # also where it waits here: another controller may have been quicker
        if job is not None and name not in self._look.ended and not terminal(job):
            self._look.end(name, job, cancelled)
        elif waited:
            self._look.ended[name] = cancelled

    def forget(self, name: str) -> None:
        job = self._look.jobs().get(name)
        if job is not None and not terminal(job) and name not in self._look.ended:
            return
        if job is not None:
            forgotten = {
                "metadata": {"labels": {FORGOTTEN: "true"}},
                "spec": {"ttlSecondsAfterFinished": _KEEP_SECONDS},
            }
            with suppress(NotFoundError):  # it is gone already
                self._kube.patch("jobs", name, forgotten)
        self._look.ended.pop(name, None)
        self._look.drop(name)
        self._counted.pop(name, None)
        self._live.forget(name)

    def close(self) -> None:
        """Listen no more; jobs of a cluster go on."""
        self._look.bell.close()
        self._images.close()
