"""Which executor a verb works with, made from the controller's configuration. Used by ``controller`` and ``doctor``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gitdata.controller.config import Settings
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Executor
from gitdata.executors.local import LocalExecutor


def open_executor(settings: Settings, remote: str, cache: Path, *, kubeconfig: str = "", context: str = "") -> Executor:
    """The executor that ``[executor]`` names. remote: URL of the store. Raises InvalidInputError, MachineError."""
    if settings.executor.kind == "kubernetes":
        return _kubernetes(settings, remote, kubeconfig, context)
    return LocalExecutor(
        remote,
        settings.remote,
        cores=settings.controller.cores or None,
        cache_home=cache,
        flush_seconds=settings.controller.flush_seconds,
        secrets=settings.secrets,
        container_options=settings.executor.container_options,
    )


def _kubernetes(settings: Settings, remote: str, kubeconfig: str, context: str) -> Executor:
    from gitdata.executors.kubernetes import KubernetesExecutor  # half a second: only where a cluster is used

    if not settings.kubernetes.worker_image:
        raise InvalidInputError(
            "the configuration names no worker image for the pods",
            hint="set worker_image in [kubernetes]; `gitdata images push --system` prints it",
        )
    return KubernetesExecutor(
        replace(settings.kubernetes, store_url=remote, store_options=settings.remote),
        kubeconfig=kubeconfig,
        context=context,
        logins=Path(settings.images.logins) if settings.images.logins else None,
    )
