"""A registry on loopback and the settings of buildah for it, without any cluster.

``conftest.py`` hands it out. What a machine lacks skips the tests that need it, and pytest's summary says so.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster import machine
from cluster.processes import eventually
from cluster.programs import CACHE
from cluster.registry import BASE, Registry

USER, PASSWORD = "team", "secret"
_HTPASSWD = f"{USER}:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"  # bcrypt of the password


def why_not() -> str | None:
    """Why this machine cannot build images for a registry of its own; None if it can."""
    missing = [name for name in ("buildah", "docker-registry") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; `make test-cluster` installs them"
    if os.geteuid() != 0:
        return "buildah with chroot isolation needs root here"
    if not list(CACHE.glob("base-*.json")) and shutil.which("debootstrap") is None:
        return "there is no base image and no debootstrap to make one; `make test-cluster` installs it"
    return None


@contextmanager
def running_registry(*, private: bool = False, base: bool = True) -> Iterator[Registry]:
    """A registry until the end of the block; a private one wants USER and PASSWORD."""
    folder = Path(tempfile.mkdtemp(prefix="gitdata-registry-")).resolve()
    try:
        registry = Registry(folder)
        if private:
            (folder / "htpasswd").write_text(_HTPASSWD)
            file = Path(registry.server.argv[-1])
            auth = {"htpasswd": {"realm": "private", "path": str(folder / "htpasswd")}}
            file.write_text(json.dumps(json.loads(file.read_text()) | {"auth": auth}))
            registry.server.start()
            eventually("the private registry", lambda: _listens(registry.port), needs=[registry.server])
        else:
            registry.start()
        try:
            if base:
                registry.push_base()
            yield registry
        finally:
            registry.stop()
            machine.unmount(folder)  # what builds that were killed have left
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def shared_registry() -> Iterator[Registry]:
    if reason := why_not():
        pytest.skip(f"building images: {reason}")
    with running_registry() as registry:
        yield registry


@pytest.fixture
def image_registry(home: Path, shared_registry: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The session's registry with its base image; buildah of this test knows it and no other."""
    for name, value in shared_registry.buildah_env.items():
        monkeypatch.setenv(name, value)
    return shared_registry


def base_image() -> str:
    """What Dockerfiles of tests start from when they run something."""
    return f"docker.io/{BASE}"


def _listens(port: int) -> bool:
    with socket.create_connection(("127.0.0.1", port), 1):
        return True
