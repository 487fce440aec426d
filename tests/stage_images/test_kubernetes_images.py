"""The system's own images: built from this source by gitdata, small, and at work under Pod Security ``restricted``.

For amd64 or arm64, whichever this machine is: the other is NOT TESTED, as no emulation is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.processes import run
from cluster.registry import BASE, Registry
from cluster.testbed import Cluster
from gitdata.executors.system_images import SYSTEM
from helpers.registries import running_registry, why_not
from helpers.system_images import kept_storage, pushed

pytestmark = pytest.mark.slow
MEGABYTE = 1_000_000
MOST = {"worker": 12, "controller": 75, "builder": 60}  # above the image that all start from, as pulled


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@pytest.fixture(scope="module")
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    if reason := why_not():
        pytest.skip(f"building images: {reason}")
    with running_registry() as found:
        yield found


@pytest.fixture(scope="module")
def images(registry: Registry, folder: Path) -> dict[str, str]:
    return dict(zip(SYSTEM, pushed(registry, folder, SYSTEM), strict=True))


def layers(registry: Registry, reference: str) -> list[int]:
    """The size of each layer, as a node pulls them."""
    kinds = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.loads(run("curl", "-fsS", "-H", f"Accept: {kinds}", f"http://{registry.host}/v2/{reference}"))
    return [layer["size"] for layer in manifest["layers"]]


@pytest.mark.parametrize("name", SYSTEM)
def test_an_image_is_small(name: str, registry: Registry, images: dict[str, str]) -> None:
    path, _, digest = images[name].removeprefix(f"{registry.host}/").partition("@")
    base, _, tag = BASE.partition(":")
    below = layers(registry, f"{base}/manifests/{tag}")
    own = layers(registry, f"{path}/manifests/{digest}")[len(below) :]
    assert 0 < sum(own) < MOST[name] * MEGABYTE


def inside(registry: Registry, folder: Path, image: str, *words: str) -> str:
    """What a program prints in an image."""
    with kept_storage(registry, folder) as env:
        container = run("buildah", "from", "--quiet", image, env=env).strip()
        try:
            return run("buildah", "run", "--isolation=chroot", container, "--", *words, env=env)
        finally:
            run("buildah", "rm", container, env=env)


def test_the_builder_image_has_a_builder(registry: Registry, folder: Path, images: dict[str, str]) -> None:
    assert inside(registry, folder, images["builder"], "buildah", "--version").startswith("buildah version")


def test_the_controller_image_has_what_a_controller_starts(
    registry: Registry, folder: Path, images: dict[str, str]
) -> None:
    script = "id -un; git --version; ssh -V 2>&1; gitdata --version; ls -d /opt/gitdata/lib/python*/site-packages/dvc"
    lines = inside(registry, folder, images["controller"], "sh", "-c", f"{script}; true").splitlines()
    assert lines[0] == "gitdata"
    assert lines[1].startswith("git version")
    assert lines[2].startswith("OpenSSH")
    assert lines[3].startswith("gitdata ")


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("worker", ["gitdata-launch", "install", "/work/launch", "/work/pfs"]),
        ("worker", ["python3", "-P", "-c", "import gitdata.worker.agent, gitdata.worker.context, gitdata.backends.s3"]),
        ("controller", ["gitdata", "controller", "--help"]),
        ("controller", ["gitdata", "doctor", "--help"]),
    ],
)
def test_it_runs_under_restricted_on_a_read_only_root(
    name: str, command: list[str], node_cluster: Cluster, folder: Path
) -> None:
    assert node_cluster.registry is not None
    (image,) = pushed(node_cluster.registry, folder, [name])
    space = node_cluster.namespace(f"images-{uuid4().hex[:8]}")
    locked = {
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    places = ["/work", "/tmp", "/var/lib/gitdata"]
    container = {
        "name": "only",
        "image": image,
        "command": command,
        "securityContext": locked,
        "volumeMounts": [{"name": "work", "mountPath": place, "subPath": place.strip("/")} for place in places],
    }
    pod = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {"fsGroup": 65532},
        "containers": [container],
        "volumes": [{"name": "work", "emptyDir": {}}],
    }
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "runs"},
        "spec": {"backoffLimit": 0, "template": {"spec": pod}},
    }
    node_cluster.api.create(f"/apis/batch/v1/namespaces/{space}/jobs", job)
    done = node_cluster.job_ended(space, "runs")
    pods = node_cluster.api.list(f"/api/v1/namespaces/{space}/pods")
    said = [node_cluster.api.text(f"/api/v1/namespaces/{space}/pods/{p['metadata']['name']}/log") for p in pods]
    assert done.get("succeeded") == 1, said
