"""The jobs behind the golden manifests, shared with the tests that show them to a real API server."""

from __future__ import annotations

from dataclasses import replace

from gitdata.executors.base import Job
from gitdata.executors.kubernetes_manifest import Object, manifest
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.model import Environment, PfsInput, Scheduling, Secret, Stage, Toleration, Transform

IMAGE = "registry.example/stage@sha256:" + "1" * 64
SETTINGS = KubernetesSettings(
    namespace="gitdata-jobs",
    worker_image="registry.example/gitdata-worker@sha256:" + "2" * 64,
    store_url="s3://bucket/data",
    store_options={"endpointurl": "http://s3.example:9000", "secret_access_key": "never in a manifest"},
)
PLAIN = Stage("Count_it", Transform("registry.example/stage:1", ("count", "--all")), PfsInput("in", "/*", "in"))


def job(stage: Stage = PLAIN, *, datums: int = 10, workers: int = 2, name: str = "count-it-0123456789-1") -> Job:
    environment = Environment("oci:sha256:" + "1" * 64, stage.transform.image)
    return Job(name, "ab" * 32, "main", stage, datums, workers, "c" * 40, environment)


def plain() -> Object:
    """A stage that asks for nothing."""
    return manifest(job(), IMAGE, SETTINGS)


def rich() -> Object:
    """A stage and a configuration that use everything."""
    transform = replace(
        PLAIN.transform,
        user="1000:2000",
        secrets=(Secret("mine", "key", "TOKEN"), Secret("files", mount_path="/var/secrets/files")),
    )
    scheduling = Scheduling(
        node_selector=(("kubernetes.io/arch", "amd64"), ("pool", "of the stage")),
        tolerations=(Toleration("spot", "Equal", "yes", "NoExecute", 30), Toleration(operator="Exists")),
        priority_class="batch-low",
        pull_secrets=("theirs",),
        service_account="gitdata-gpu",
        network="open",
    )
    asked = {"limits.cpu": "2", "limits.gpu": '{"number":1,"type":"amd.com/gpu"}', "limits.memory": "2G"}
    asked |= {"requests.cpu": "0.5", "requests.disk": "20Gi", "requests.memory": "1G"}
    stage = replace(PLAIN, transform=transform, resources=tuple(sorted(asked.items())), job_timeout_ms=90_500)
    stage = replace(stage, scheduling=scheduling)
    settings = replace(
        SETTINGS,
        secrets=("mine", "files"),
        service_account="gitdata-stage",
        service_accounts=("gitdata-gpu",),
        priority_classes=("batch-low",),
        stage_pull_secrets=("theirs",),
        pull_secrets=("pull",),
        queue="team-a",
        node_selector={"pool": "batch"},
        tolerations=({"key": "batch", "operator": "Exists", "effect": "NoSchedule"},),
    )
    return manifest(job(stage, datums=100_000, workers=300), IMAGE, settings)


GOLDEN = {"plain": plain, "rich": rich}
