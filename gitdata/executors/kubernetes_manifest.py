"""The Job that a cluster gets for one attempt at a run. Pure: the same job and settings are the same bytes.

Called by executors.kubernetes. One Indexed Job; a pod works through one shard of the plan after another's index:

    install (init)   copies the static launcher into a shared folder
    agent (sidecar)  the worker image, alone with the storage credentials: stages datums, reads and stores outputs
    user             the stage's image as it is; the launcher in it runs the command for each datum

The pod carries the plan's digest and the number of shards, never a list of datums. Nothing that a commit says goes
anywhere but into fields that are named here, each checked; commands and variables are in the plan and not here.
"""

from __future__ import annotations

import json
import math
from typing import Any, TypeAlias

from gitdata.executors.base import Job
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.executors.kubernetes_stage import check_stage, node_selector, quantity, resources, run_as, tolerations
from gitdata.model import Stage

Object: TypeAlias = dict[str, Any]

# Labels hold 63 characters: whole digests are annotations.
INSTANCE = "app.kubernetes.io/instance"
QUEUE = "kueue.x-k8s.io/queue-name"
DATUMS, SHARDS, PLAN, STORE, ZONE = (f"gitdata.dev/{name}" for name in ("datums", "shards", "plan", "store", "zone"))
FORGOTTEN = "gitdata.dev/forgotten"  # a Job whose results are published
COMMIT, ENVIRONMENT, IMAGE, TIMEOUT = (f"gitdata.dev/{name}" for name in ("commit", "environment", "image", "timeout"))
REPOSITORY = "gitdata.dev/repository"

FAILED_FOR_GOOD = 1  # the launcher's word: every datum was tried to its end, and one failed
BACKOFF_PER_INDEX = 2
LAUNCH = "/usr/local/bin/gitdata-launch"
_SECRET_OPTIONS = frozenset({"access_key_id", "secret_access_key", "session_token"})


def selector(settings: KubernetesSettings) -> str:
    """What selects all jobs of this controller."""
    return f"app.kubernetes.io/managed-by=gitdata,{INSTANCE}={settings.owner}"


def _notes(job: Job, settings: KubernetesSettings) -> dict[str, str]:
    """What is too long for labels. Two attempts of one name agree in store and zone; the plan may differ."""
    return {
        COMMIT: job.commit,
        DATUMS: str(job.datums),
        ENVIRONMENT: job.environment.id,
        PLAN: job.plan,
        SHARDS: str(job.shards),
        STORE: settings.store_url,
        TIMEOUT: str(job.stage.job_timeout_ms),
        ZONE: job.zone,
        **({REPOSITORY: settings.repository_id} if settings.repository else {}),
    }


def manifest(job: Job, image: str, settings: KubernetesSettings, command: tuple[str, ...] = ()) -> Object:
    """The Job. image: the stage's, by digest. command: what the image runs where the stage says nothing.

    Raises InvalidInputError for what a stage may not ask for.
    """
    check_stage(job.stage, settings)
    labels = {
        "app.kubernetes.io/name": "gitdata-stage",
        "app.kubernetes.io/component": "stage",
        "app.kubernetes.io/part-of": "gitdata",
        "app.kubernetes.io/managed-by": "gitdata",
        INSTANCE: settings.owner,
        "gitdata.dev/stage": job.name.rsplit("-", 2)[0],
        "gitdata.dev/plan": job.plan[:40],
    }
    notes = _notes(job, settings)
    if not job.environment.id.startswith("oci:"):  # its id does not say which image ran
        notes[IMAGE] = image
    spec: Object = {
        "completionMode": "Indexed",
        "completions": job.shards,
        "parallelism": min(max(1, job.workers), job.shards),
        "backoffLimitPerIndex": BACKOFF_PER_INDEX,
        "maxFailedIndexes": job.shards,  # a failed index must not stop the others
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                {
                    "action": "FailIndex",
                    # Named, so that the end of a sidecar can never match.
                    "onExitCodes": {"containerName": "user", "operator": "In", "values": [FAILED_FOR_GOOD]},
                },
            ]
        },
        "template": {
            "metadata": {
                "labels": {**labels, "gitdata.dev/network": job.stage.scheduling.network},
                "annotations": {**settings.pod_annotations, "kubectl.kubernetes.io/default-container": "user", **notes},
            },
            "spec": _pod(job, image, settings, command),
        },
    }
    if job.stage.job_timeout_ms:
        spec["activeDeadlineSeconds"] = math.ceil(job.stage.job_timeout_ms / 1000)
    metadata: Object = {"name": job.name, "namespace": settings.namespace, "labels": dict(labels), "annotations": notes}
    if settings.queue:
        metadata["labels"][QUEUE] = settings.queue
        spec["suspend"] = True
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod(job: Job, image: str, settings: KubernetesSettings, command: tuple[str, ...]) -> Object:
    uid, gid = run_as(job.stage, settings.user, allow_root=settings.allow_root)
    user = _user(job.stage, image, settings)
    disk = user["resources"]["limits"]["ephemeral-storage"]
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsUser": uid,
            "runAsGroup": gid,
            "fsGroup": gid,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
            **({"runAsNonRoot": True} if uid else {}),
        },
        "initContainers": [_install(settings), _agent(job, settings, command, disk)],
        "containers": [user],
        "volumes": [
            {"name": "work", "emptyDir": {"sizeLimit": disk}},
            {"name": "bin", "emptyDir": {"sizeLimit": "16Mi"}},
            *(
                {"name": f"secret-{n}", "secret": {"secretName": s.name, "defaultMode": 0o440}}
                for n, s in enumerate(job.stage.transform.secrets)
                if s.mount_path
            ),
        ],
    }
    asked = job.stage.scheduling
    optional: Object = {
        "serviceAccountName": asked.service_account or settings.service_account,
        "priorityClassName": asked.priority_class,
        "imagePullSecrets": [{"name": n} for n in dict.fromkeys((*settings.pull_secrets, *asked.pull_secrets))],
        "nodeSelector": node_selector(job.stage, settings),
        "tolerations": tolerations(job.stage, settings),
    }
    spec |= {name: value for name, value in optional.items() if value}
    return spec


def _install(settings: KubernetesSettings) -> Object:
    small = {"cpu": "10m", "memory": "32Mi", "ephemeral-storage": "32Mi"}
    return {
        "name": "install",
        "image": settings.worker_image,
        "imagePullPolicy": "IfNotPresent",
        "command": [LAUNCH, "install", "/gitdata-bin/launch", "/work/pfs", "/work/tmp", "/work/ctl"],
        "resources": {"requests": small, "limits": {k: v for k, v in small.items() if k != "cpu"}},
        "securityContext": _confined(read_only=True),
        "volumeMounts": [{"name": "work", "mountPath": "/work"}, {"name": "bin", "mountPath": "/gitdata-bin"}],
    }


def _agent(job: Job, settings: KubernetesSettings, command: tuple[str, ...], disk: str) -> Object:
    told = {
        **store_place(settings, job.zone),
        "GITDATA_PLAN": job.plan,
        "GITDATA_SHARDS": str(job.shards),
        "GITDATA_BACKOFF": str(BACKOFF_PER_INDEX),
        "GITDATA_DISK": str(int(quantity(disk))),
        "GITDATA_FLUSH_SECONDS": f"{settings.flush_seconds:g}",
        # Many pods together tell no more than about ten times a second.
        "GITDATA_LIVE_SECONDS": f"{max(settings.live_seconds, min(job.workers, job.shards) / 10):g}",
    }
    if command:
        told["GITDATA_COMMAND"] = json.dumps(command)
    # Whether an earlier pod of this shard may have done some of it.
    tried = {"GITDATA_FAILURES": "job-index-failure-count", "GITDATA_EVICTIONS": "job-index-ignored-failure-count"}
    notes = [
        {"name": k, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['batch.kubernetes.io/{v}']"}}}
        for k, v in tried.items()
    ]
    # The scratch folder of the agent's own temporary files, on the shared volume where commands do not see it.
    env = [*({"name": k, "value": literal(v)} for k, v in told.items()), {"name": "TMPDIR", "value": "/work"}]
    wanted = {"memory": settings.agent_memory, "ephemeral-storage": "64Mi"}
    return {
        "name": "agent",
        "image": settings.worker_image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": ["python3", "-P", "-X", "utf8", "-m", "gitdata.worker.agent"],
        "env": [*env, *notes, *store_keys(settings)],
        "resources": {"requests": {"cpu": settings.agent_cpu, **wanted}, "limits": wanted},
        "securityContext": _confined(read_only=True),
        "volumeMounts": [{"name": "work", "mountPath": "/work"}],
    }


def store_place(settings: KubernetesSettings, zone: str) -> dict[str, str]:
    """Where the store is, as variables of a container that reads it."""
    options = {k: v for k, v in sorted(settings.store_options.items()) if k not in _SECRET_OPTIONS}
    return {
        "GITDATA_STORE": settings.store_url,
        "GITDATA_STORE_OPTIONS": json.dumps(options),
        "GITDATA_ZONE": zone,
    }


def store_keys(settings: KubernetesSettings) -> list[Object]:
    """The keys of the store, for such a container alone; none where its node has a role."""
    keys = {"AWS_ACCESS_KEY_ID": False, "AWS_SECRET_ACCESS_KEY": False, "AWS_SESSION_TOKEN": True}
    of = settings.store_secret
    return [
        {"name": key, "valueFrom": {"secretKeyRef": {"name": of, "key": key, "optional": optional}}}
        for key, optional in keys.items()
        if of
    ]


def literal(text: str) -> str:
    """The cluster puts values of variables in the place of $(NAME); $$ is a dollar."""
    return text.replace("$", "$$")


def _user(stage: Stage, image: str, settings: KubernetesSettings) -> Object:
    secrets = stage.transform.secrets
    env: list[Object] = [{"name": "HOME", "value": "/tmp"}, {"name": "LANG", "value": "C.UTF-8"}]
    env += [
        {"name": s.env_var, "valueFrom": {"secretKeyRef": {"name": s.name, "key": s.key}}} for s in secrets if s.env_var
    ]
    mounts = [
        {"name": "work", "mountPath": "/pfs", "subPath": "pfs"},
        {"name": "work", "mountPath": "/tmp", "subPath": "tmp"},
        {"name": "work", "mountPath": "/gitdata", "subPath": "ctl"},
        {"name": "bin", "mountPath": "/gitdata-bin", "readOnly": True},
    ]
    mounts += [
        {"name": f"secret-{n}", "mountPath": s.mount_path, "readOnly": True}
        for n, s in enumerate(secrets)
        if s.mount_path
    ]
    return {
        "name": "user",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["/gitdata-bin/launch", "run", "/gitdata"],
        "env": env,
        "resources": resources(stage, settings),
        "securityContext": _confined(read_only=False),
        "volumeMounts": mounts,
    }


def _confined(*, read_only: bool) -> Object:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": read_only,
    }
