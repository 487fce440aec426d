"""The Job that builds one image folder on a cluster. Pure: the same reference, context and settings are the same bytes.

Called by executors.kubernetes_build. One pod; its containers share folders and run one after another:

    context (init)  the worker image, alone with the keys of the store: fetches, verifies and unpacks the context
    build (init)    the builder image: buildah runs the Dockerfile; of logins it has only those for base images
    push            the builder image: pushes what was built, alone with the login for that; says the digest

Whoever writes a Dockerfile is root in the build container, so it gets the least with which buildah works: in a user
namespace of its own, which needs SETUID, SETGID and SETFCAP to be made, no seccomp filter (RuntimeDefault refuses
user namespaces) and no other capability. There is no shell: what a commit says is no part of any command line.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from gitdata.backends.builders import DOCKERFILE, ImageSettings
from gitdata.backends.contexts import PROXY
from gitdata.backends.registry import parse_reference
from gitdata.executors.kubernetes_manifest import literal, store_keys, store_place
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.identity import sha256

Object: TypeAlias = dict[str, Any]

REFERENCE, CONTEXT, FOLDER = (f"gitdata.dev/{name}" for name in ("reference", "context", "folder"))
LABELS = {"app.kubernetes.io/name": "gitdata-build", "app.kubernetes.io/managed-by": "gitdata"}
FETCH, BUILD, PUSH = "context", "build", "push"  # the containers
DIGEST_FILE = "/dev/termination-log"
_NAME = 24  # hex characters: 96 bits
_CAPABILITIES = ("SETUID", "SETGID", "SETFCAP")
_DOCKER_KEY = ".dockerconfigjson"
_REGISTRIES = {"key": "registries.conf", "path": "registries.conf"}  # a file of another name may be no TOML
_SETTINGS_FOLDER, _LOGIN_FOLDER = "/etc/gitdata/build", "/etc/gitdata/login"


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """``[builds]`` of the controller's configuration. image: the builder image, by digest.

    namespace: where builds run. service_account: whose pods they are, "" for the default one. push_secret,
    pull_secret: Secrets (kubernetes.io/dockerconfigjson) there with the login for folder images, and for the images
    that they start from; "" for none. config_map: one there, if it exists, whose file registries.conf is a part of
    buildah's registries.conf.d; all of its files are in /etc/gitdata/build, and certificates there are trusted.
    cpu, memory, disk: of a build. storage: buildah's driver; ``vfs`` where user namespaces may not mount an overlay.
    keep_seconds: how long a Job that has ended is kept. poll_seconds: how often it is looked at.
    """

    image: str = ""
    namespace: str = "gitdata-builds"
    service_account: str = "gitdata-build"
    push_secret: str = ""
    pull_secret: str = ""
    config_map: str = "gitdata-build"
    cpu: str = "1"
    memory: str = "2Gi"
    disk: str = "10Gi"
    storage: str = "overlay"
    keep_seconds: int = 600
    poll_seconds: float = 1.0


def job_name(reference: str) -> str:
    return f"build-{sha256(reference.encode())[:_NAME]}"


def build_job(
    reference: str,
    context: str,
    folder: str,
    settings: BuildSettings,
    cluster: KubernetesSettings,
    images: ImageSettings,
) -> Object:
    """The Job. context: the sha256 of the tar. folder: for people. Raises InvalidInputError for no reference."""
    parse_reference(reference)
    notes = {REFERENCE: reference, CONTEXT: context, FOLDER: folder}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": job_name(reference),
            "namespace": settings.namespace,
            "labels": {**LABELS, "app.kubernetes.io/part-of": "gitdata"},
            "annotations": notes,
        },
        "spec": {
            "backoffLimit": 0,  # what fails once would fail again; the controller decides
            "podReplacementPolicy": "Failed",
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "ttlSecondsAfterFinished": settings.keep_seconds,
            "template": {
                "metadata": {"labels": {**LABELS, "app.kubernetes.io/part-of": "gitdata"}, "annotations": notes},
                "spec": _pod(reference, context, settings, cluster, images),
            },
        },
    }


def _pod(
    reference: str, context: str, settings: BuildSettings, cluster: KubernetesSettings, images: ImageSettings
) -> Object:
    build = ["build", "--isolation", "chroot", "--platform", images.platform, "--tag", reference]
    for name, value in sorted(images.args.items()):
        build += ["--build-arg", f"{name}={value}"]
    build += [*images.options, "--file", f"/context/{DOCKERFILE}", "/context"]
    push = ["push", "--digestfile", DIGEST_FILE, reference]
    spec: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 5,
        "activeDeadlineSeconds": max(1, math.ceil(images.build_seconds)),  # from when it is on a node
        "securityContext": {"runAsUser": 0, "runAsGroup": 0},
        "initContainers": [
            _fetch(context, cluster),
            _buildah(BUILD, build, settings.pull_secret, settings, images),
        ],
        "containers": [_buildah(PUSH, push, settings.push_secret, settings, images)],
        "volumes": [
            {"name": "context", "emptyDir": {"sizeLimit": settings.disk}},
            {"name": "fetched", "emptyDir": {"sizeLimit": settings.disk}},
            {"name": "storage", "emptyDir": {"sizeLimit": settings.disk}},
            {"name": "settings", "configMap": {"name": settings.config_map, "optional": True}},
            {
                "name": "registries",
                "configMap": {"name": settings.config_map, "optional": True, "items": [_REGISTRIES]},
            },
            *(
                {"name": f"login-{name}", "secret": {"secretName": secret, "defaultMode": 0o400}}
                for name, secret in ((BUILD, settings.pull_secret), (PUSH, settings.push_secret))
                if secret
            ),
        ],
    }
    if settings.service_account:
        spec["serviceAccountName"] = settings.service_account
    if cluster.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in cluster.pull_secrets]
    if cluster.node_selector:
        spec["nodeSelector"] = dict(cluster.node_selector)
    if cluster.tolerations:
        spec["tolerations"] = [dict(one) for one in cluster.tolerations]
    return spec


def _fetch(context: str, cluster: KubernetesSettings) -> Object:
    told = {
        **store_place(cluster, cluster.zone),
        "GITDATA_CONTEXT": context,
        "GITDATA_INTO": "/context",
        "TMPDIR": "/fetched",
    }
    env = [{"name": name, "value": literal(value)} for name, value in told.items()]
    wanted = {"memory": cluster.agent_memory}
    return {
        "name": FETCH,
        "image": cluster.worker_image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-P", "-X", "utf8", "-m", "gitdata.worker.context"],
        "env": [*env, *store_keys(cluster)],
        "resources": {"requests": {"cpu": cluster.agent_cpu, **wanted}, "limits": wanted},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "runAsUser": cluster.user[0],
            "runAsGroup": cluster.user[1],
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumeMounts": [{"name": "context", "mountPath": "/context"}, {"name": "fetched", "mountPath": "/fetched"}],
    }


def _buildah(name: str, words: list[str], login: str, settings: BuildSettings, images: ImageSettings) -> Object:
    env = {name: value for name, value in sorted(images.args.items()) if PROXY.fullmatch(name)}
    env |= {"HOME": "/tmp", "SSL_CERT_DIR": f"/etc/ssl/certs:{_SETTINGS_FOLDER}"}
    mounts: list[Object] = [
        {"name": "storage", "mountPath": "/var/lib/containers", "subPath": "images"},
        {"name": "storage", "mountPath": "/var/tmp", "subPath": "vartmp"},
        {"name": "storage", "mountPath": "/tmp", "subPath": f"tmp-{name}"},
        {"name": "storage", "mountPath": "/run", "subPath": f"run-{name}"},
        {"name": "registries", "mountPath": "/etc/containers/registries.conf.d", "readOnly": True},
        {"name": "settings", "mountPath": _SETTINGS_FOLDER, "readOnly": True},
    ]
    if name == BUILD:
        mounts.append({"name": "context", "mountPath": "/context", "readOnly": True})
    if login:
        mounts.append({"name": f"login-{name}", "mountPath": _LOGIN_FOLDER, "readOnly": True})
        words = [words[0], "--authfile", f"{_LOGIN_FOLDER}/{_DOCKER_KEY}", *words[1:]]
    wanted = {"memory": settings.memory, "ephemeral-storage": settings.disk}
    return {
        "name": name,
        "image": settings.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [literal(word) for word in ("buildah", "--storage-driver", settings.storage, *words)],
        "env": [{"name": k, "value": literal(v)} for k, v in env.items()],
        "resources": {"requests": {"cpu": settings.cpu, **wanted}, "limits": wanted},
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"], "add": list(_CAPABILITIES)},
            "readOnlyRootFilesystem": True,
            "seccompProfile": {"type": "Unconfined"},
        },
        "volumeMounts": mounts,
    }
