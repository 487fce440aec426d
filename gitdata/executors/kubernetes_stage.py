"""What a stage may ask of a cluster: user, secrets, resources, nodes, each checked. Pure.

Called by executors.kubernetes while planning, so that a wish that cannot be met is said before anything runs, and by
kubernetes_manifest. Everything here comes from a commit.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Container, Mapping
from decimal import Decimal
from typing import Any

from gitdata.errors import InvalidInputError
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.model import Stage

_QUANTITY = re.compile(r"[0-9]{1,15}(\.[0-9]{1,9})?([KMGTPE]i|[mkMGTPE])?")
_RESOURCE = re.compile(r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")
_TAKEN = ("/pfs", "/tmp", "/gitdata", "/gitdata-bin", "/proc", "/dev", "/sys")
_NAMES = {"cpu": "cpu", "memory": "memory", "disk": "ephemeral-storage"}
_MAX_ID = 2**31 - 1


def run_as(stage: Stage, default: tuple[int, int], *, allow_root: bool) -> tuple[int, int]:
    """uid and gid of a stage's pods. Names cannot be looked up: they are in an image that nobody has opened yet."""
    text = stage.transform.user
    if not text:
        return default
    user, _, group = text.partition(":")
    if not all(
        part.isascii() and part.isdecimal() and len(part) <= 10 and int(part) <= _MAX_ID
        for part in (user, group or "0")
    ):
        raise InvalidInputError(
            f"stage {stage.name}: transform.user {text}: on a cluster a user must be a number",
            hint='write "1000" or "1000:1000"',
        )
    uid, gid = int(user), int(group or user)
    if uid == 0 and not allow_root:
        raise InvalidInputError(
            f"stage {stage.name}: transform.user is root, which this cluster's configuration does not allow",
            hint="name another user, or set allow_root in the controller's configuration",
        )
    return uid, gid


def check_secrets(stage: Stage, allowed: Container[str]) -> None:
    """Raises InvalidInputError unless each secret is listed, and goes to a variable or a folder of its own."""
    for secret in stage.transform.secrets:
        where = f"stage {stage.name}: secret {secret.name}"
        if secret.name not in allowed:
            raise InvalidInputError(
                f"{where}: stages of this controller may not use it",
                hint="list its name in the controller's configuration",
            )
        if secret.env_var and not _KEY.fullmatch(secret.key):
            raise InvalidInputError(f"{where}: env_var needs the key of the value", hint="add key")
        path = secret.mount_path
        if not secret.env_var and not path:
            raise InvalidInputError(f"{where}: say where it goes", hint="add env_var and key, or mount_path")
        if path:
            # normpath leaves two slashes at the beginning as they are.
            clean = path.startswith("/") and not path.startswith("//") and posixpath.normpath(path) == path
            clean = clean and path != "/" and ":" not in path
            if not clean or any(path == taken or path.startswith(f"{taken}/") for taken in _TAKEN):
                raise InvalidInputError(f"{where}: mount_path {path!r} cannot be had", hint="such as /var/secrets/name")


def check_stage(stage: Stage, settings: KubernetesSettings) -> None:
    """Everything that a stage asks of the cluster. Raises InvalidInputError for the first thing it may not have."""
    run_as(stage, settings.user, allow_root=settings.allow_root)
    check_secrets(stage, settings.secrets)
    wanted = resources(stage, settings)
    for name, most in (("cpu", settings.max_cpu), ("memory", settings.max_memory)):
        for asked in (wanted["requests"].get(name), wanted["limits"].get(name)):
            if most and asked and quantity(asked) > quantity(most):
                raise InvalidInputError(
                    f"stage {stage.name}: {asked} of {name} is more than the {most} that stages may have here",
                    hint=f"ask for less, or raise max_{name} in the controller's configuration",
                )
    _check_scheduling(stage, settings)


def _check_scheduling(stage: Stage, settings: KubernetesSettings) -> None:
    asked = stage.scheduling
    accounts = (settings.service_account, *settings.service_accounts)
    for what, names, allowed, setting in (
        ("service account", (asked.service_account,), accounts, "service_accounts"),
        ("priority class", (asked.priority_class,), settings.priority_classes, "priority_classes"),
        (
            "pull secret",
            asked.pull_secrets,
            (*settings.pull_secrets, *settings.stage_pull_secrets),
            "stage_pull_secrets",
        ),
    ):
        for name in filter(None, names):
            if name not in allowed:
                raise InvalidInputError(
                    f"stage {stage.name}: {what} {name}: stages of this controller may not use it",
                    hint=f"list it as {setting} in the controller's configuration",
                )
    for key in (*(key for key, _ in asked.node_selector), *(one.key for one in asked.tolerations)):
        if settings.node_labels and key not in settings.node_labels:
            raise InvalidInputError(
                f"stage {stage.name}: {key or 'every taint'}: stages of this controller may not choose nodes by it",
                hint="list it as node_labels in the controller's configuration",
            )
    if asked.network == "open" and not settings.open_network:
        raise InvalidInputError(
            f"stage {stage.name}: network: open is not allowed on this cluster",
            hint="remove it, or set open_network in the controller's configuration",
        )


def node_selector(stage: Stage, settings: KubernetesSettings) -> dict[str, str]:
    """Labels of the nodes that take a stage's pods; what the controller's configuration says cannot be undone."""
    return {**dict(stage.scheduling.node_selector), **settings.node_selector}


def tolerations(stage: Stage, settings: KubernetesSettings) -> list[dict[str, Any]]:
    """Taints that a stage's pods bear, in the API's words."""
    found: list[dict[str, Any]] = [dict(one) for one in settings.tolerations]
    for one in stage.scheduling.tolerations:
        said = {"key": one.key, "operator": one.operator, "value": one.value, "effect": one.effect}
        made: dict[str, Any] = {name: value for name, value in said.items() if value}
        found.append(made if one.seconds is None else {**made, "tolerationSeconds": one.seconds})
    return found


def quantity(text: str) -> Decimal:
    """The number that a quantity of Kubernetes means. Raises InvalidInputError."""
    if not _QUANTITY.fullmatch(text):
        raise InvalidInputError(f"{text!r} is no quantity", hint="such as 500m, 2, 1Gi")
    number = text.rstrip("mkKMGTPEi")
    unit = text[len(number) :]
    if unit == "m":
        return Decimal(number) / 1000
    power = " kMGTPE".index(unit[:1].replace("K", "k") or " ")
    return Decimal(number) * Decimal(1024 if unit.endswith("i") else 1000) ** power


def resources(stage: Stage, settings: KubernetesSettings) -> dict[str, dict[str, str]]:
    """Requests and limits of the user's container.

    Of memory and disk a pod gets what it may use, no more: what overcommits a node is killed at random. cpu: a request,
    and a limit only where the stage sets one.
    """
    asked = dict(stage.resources)
    defaults = {"cpu": settings.cpu, "memory": settings.memory, "ephemeral-storage": settings.disk}
    requests, limits = {}, {}
    for name, theirs in _NAMES.items():
        limit, request = asked.get(f"limits.{name}", ""), asked.get(f"requests.{name}", "")
        for field, value in (("resource_limits", limit), ("resource_requests", request)):
            if value and not _QUANTITY.fullmatch(value):
                raise InvalidInputError(
                    f"stage {stage.name}: {field}.{name}: {value!r} is no quantity", hint="such as 500m, 2, 1Gi"
                )
        if name == "cpu":
            requests[theirs] = request or limit or defaults[theirs]
            if limit:
                limits[theirs] = limit
        else:
            requests[theirs] = limits[theirs] = limit or request or defaults[theirs]
    for kind, count in _gpus(stage, asked, settings.gpu).items():
        requests[kind] = limits[kind] = count
    return {"requests": requests, "limits": limits}


def _gpus(stage: Stage, asked: Mapping[str, str], default: str) -> dict[str, str]:
    text = asked.get("limits.gpu") or asked.get("requests.gpu")
    if not text:
        return {}
    value: Any = json.loads(text)
    kind, count = (value.get("type", default), value.get("number", 1)) if isinstance(value, dict) else (default, value)
    if not _RESOURCE.fullmatch(str(kind)):
        raise InvalidInputError(f"stage {stage.name}: gpu type {kind!r} is no resource", hint="such as nvidia.com/gpu")
    return {str(kind): str(int(count))} if int(count) else {}
