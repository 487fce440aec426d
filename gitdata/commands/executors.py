"""Which executor a controller works with, made from its configuration and closed with all that belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gitdata.backends.builders import LocalBuilder
from gitdata.backends.git_records import hide_password
from gitdata.backends.stores import open_store
from gitdata.controller.config import Settings
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Executor
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.executors.local import LocalExecutor

if TYPE_CHECKING:
    from gitdata.executors.kubernetes_build import ClusterBuilder

_MOMENT = 1.0  # seconds: what other stages and branches wait for a registry


@contextmanager
def open_executor(
    settings: Settings,
    remote: str,
    cache: Path,
    *,
    origin: str,
    say: Callable[[str], None],
    kubeconfig: str = "",
    context: str = "",
    config: Path | None = None,
) -> Iterator[Executor]:
    """The executor that ``[executor]`` names. remote: URL of the store, origin: of the git repository.

    config: the file of the settings, which no stage may read.

    Raises InvalidInputError, MachineError.
    """
    if settings.executor.kind == "kubernetes":
        settings = replace(settings, kubernetes=replace(settings.kubernetes, repository=hide_password(origin)))
        with _kubernetes(settings, remote, cache, say, kubeconfig, context) as made:
            yield made
        return
    executor = LocalExecutor(
        remote,
        settings.remote,
        cores=settings.controller.cores or None,
        cache_home=cache,
        moment=_MOMENT,
        flush_seconds=settings.controller.flush_seconds,
        secrets=settings.secrets,
        container_options=settings.executor.container_options,
        private=_private(settings, origin, config),
    )
    with closing(executor):
        yield executor


def _private(settings: Settings, origin: str, config: Path | None) -> list[str | Path]:
    """Files and folders of a controller's own."""
    folder = origin.removeprefix("file://")
    named = (config, settings.mail.key_file, settings.images.logins, *settings.secret_files)
    return [place for place in (*named, folder if folder.startswith("/") else None) if place]


@contextmanager
def _kubernetes(
    settings: Settings, remote: str, cache: Path, say: Callable[[str], None], kubeconfig: str, context: str
) -> Iterator[Executor]:
    from gitdata.executors.kubernetes import KubernetesExecutor  # half a second: only where a cluster is used

    cluster = replace(settings.kubernetes, store_url=remote, store_options=settings.remote)
    if not cluster.worker_image:
        raise InvalidInputError(
            "the configuration names no worker image for the pods",
            hint="set worker_image in [kubernetes]; `gitdata images push --system` prints it",
        )
    with ExitStack() as stack:
        builder: LocalBuilder | ClusterBuilder | None = None
        if settings.images.registry and settings.images.builder == "cluster":
            builder = _cluster_builder(settings, cluster, kubeconfig, context, say)
        elif settings.images.registry and settings.images.builder != "none":
            builder = LocalBuilder(settings.images, logs=cache / "builds", say=say)
        if builder is not None:
            stack.enter_context(closing(builder))
        executor = KubernetesExecutor(
            cluster,
            kubeconfig=kubeconfig,
            context=context,
            logins=Path(settings.images.logins) if settings.images.logins else None,
            images=settings.images,
            builder=builder,
            say=say,
        )
        yield stack.enter_context(closing(executor))


def _cluster_builder(
    settings: Settings, cluster: KubernetesSettings, kubeconfig: str, context: str, say: Callable[[str], None]
) -> ClusterBuilder:
    from gitdata.backends.kube import Cluster, Kube
    from gitdata.executors.kubernetes_build import ClusterBuilder

    kube = Kube(Cluster(settings.builds.namespace, kubeconfig, context))
    store = open_store(cluster.store_url, cluster.store_options)
    return ClusterBuilder(kube, store, settings.builds, cluster, settings.images, say=say)
