"""What a stage may ask of a cluster: its user, secrets and resources, each checked. Pure.

Called by executors.kubernetes while planning, so that a wish that cannot be met is said before anything runs, and by
kubernetes_manifest. Everything here comes from a commit.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Container, Mapping
from typing import Any

from gitdata.errors import InvalidInputError
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
    if not all(part.isascii() and part.isdecimal() and int(part) <= _MAX_ID for part in (user, group or "0")):
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
            clean = posixpath.isabs(path) and posixpath.normpath(path) == path and path != "/" and ":" not in path
            if not clean or any(path == taken or path.startswith(f"{taken}/") for taken in _TAKEN):
                raise InvalidInputError(f"{where}: mount_path {path!r} cannot be had", hint="such as /var/secrets/name")


def resources(stage: Stage, defaults: Mapping[str, str], gpu: str) -> dict[str, dict[str, str]]:
    """Requests and limits of the user's container.

    Of memory and disk a pod gets what it may use, no more: what overcommits a node is killed at random. cpu: a request,
    and a limit only where the stage sets one.
    """
    asked = dict(stage.resources)
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
    for kind, count in _gpus(stage, asked, gpu).items():
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
