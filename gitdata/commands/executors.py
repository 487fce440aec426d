"""Which executor a controller works with, made from its configuration and closed with all that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from gitdata.backends.builders import LocalBuilder
from gitdata.controller.config import Settings
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Executor
from gitdata.executors.local import LocalExecutor


@contextmanager
def open_executor(
    settings: Settings, remote: str, cache: Path, *, say: Callable[[str], None], kubeconfig: str = "", context: str = ""
) -> Iterator[Executor]:
    """The executor that ``[executor]`` names. remote: URL of the store. Raises InvalidInputError, MachineError."""
    if settings.executor.kind == "kubernetes":
        with _kubernetes(settings, remote, cache, say, kubeconfig, context) as made:
            yield made
        return
    executor = LocalExecutor(
        remote,
        settings.remote,
        cores=settings.controller.cores or None,
        cache_home=cache,
        flush_seconds=settings.controller.flush_seconds,
        secrets=settings.secrets,
        container_options=settings.executor.container_options,
    )
    with closing(executor):
        yield executor


@contextmanager
def _kubernetes(
    settings: Settings, remote: str, cache: Path, say: Callable[[str], None], kubeconfig: str, context: str
) -> Iterator[Executor]:
    from gitdata.executors.kubernetes import KubernetesExecutor  # half a second: only where a cluster is used

    if not settings.kubernetes.worker_image:
        raise InvalidInputError(
            "the configuration names no worker image for the pods",
            hint="set worker_image in [kubernetes]; `gitdata images push --system` prints it",
        )
    builds = bool(settings.images.registry) and settings.images.builder != "none"
    builder = LocalBuilder(settings.images, logs=cache / "builds", say=say) if builds else None
    executor = KubernetesExecutor(
        replace(settings.kubernetes, store_url=remote, store_options=settings.remote),
        kubeconfig=kubeconfig,
        context=context,
        logins=Path(settings.images.logins) if settings.images.logins else None,
        images=settings.images,
        builder=builder,
    )
    try:
        yield executor
    finally:
        executor.close()
        if builder is not None:
            builder.close()
