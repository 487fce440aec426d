"""Images that are really built, the system's own by digest. Their layers stay in the testbed's cache."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.layers import base_layer
from cluster.processes import run
from cluster.programs import CACHE
from cluster.registry import Registry
from gitdata.backends.builders import ImageSettings, LocalBuilder
from gitdata.executors.system_images import push_system
from helpers.builds import build_options

_MANY = 150  # images, with those that are only layers: then all are built anew


def pushed(registry: Registry, folder: Path, names: Sequence[str]) -> list[str]:
    """``registry/gitdata-NAME@sha256:…`` for each name. folder: for settings."""
    options = build_options(folder)
    with kept_storage(registry, folder) as env, pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        if len(run("buildah", "images", "--all", "--quiet").split()) > _MANY:
            run("buildah", "rmi", "--all", "--force")
        builder = LocalBuilder(ImageSettings(registry.host, builder="buildah", options=options))
        found = list(push_system(builder, registry.host, names=names))
    return [f"{reference.partition('@')[0].rpartition(':')[0]}@{reference.partition('@')[2]}" for reference in found]


@contextmanager
def kept_storage(registry: Registry, folder: Path, whose: str = "system") -> Iterator[dict[str, str]]:
    """The environment of a buildah that keeps what it builds; another base image has another folder.

    whose: images that have a folder of their own. One at a time in each: what is mounted is written down in the test's
    own folder, where others do not see it.
    """
    images = CACHE / f"{whose}-images-{base_layer().digest.removeprefix('sha256:')[:12]}"
    places = f"graphroot = {json.dumps(str(images))}\nrunroot = {json.dumps(str(folder / f'run-{whose}'))}\n"
    configuration = folder / f"storage-{whose}.conf"
    configuration.write_text(f'[storage]\ndriver = "overlay"\n{places}')
    with (CACHE / f"{whose}-images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield {**registry.buildah_env, "CONTAINERS_STORAGE_CONF": str(configuration), "TMPDIR": str(folder)}
