"""docs/kubernetes.md by its own text: every ```sh block, in order, on a cluster that has never seen gitdata."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from cluster.processes import TestbedError
from cluster.registry import registries_conf
from cluster.testbed import Cluster
from gitdata.backends.builders import ImageSettings, LocalBuilder
from gitdata.backends.contexts import name_folder
from gitdata.backends.git import Git
from helpers.builds import build_options
from helpers.forward_proxy import forward_proxy
from helpers.git_daemon import serve_git
from helpers.machine import BIN, Repo
from helpers.mail import running_sink
from helpers.s3 import S3
from helpers.system_images import kept_storage

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
IN_PODS = "/etc/gitdata/build"


def script() -> str:
    """The commands, each with the options that say what this machine and this cluster have of their own."""
    text = "\n".join(BLOCK.findall((ROOT / "docs" / "kubernetes.md").read_text()))
    text = text.replace("gitdata images push --system", 'gitdata images push --system --config "$HERE"')
    text = text.replace("gitdata deploy", 'gitdata deploy --config "$THERE" --mail-key-env SENDGRID_API_KEY')
    return f"set -eux\n{text}"


def big_image(registry: str, options: tuple[str, ...], env: Mapping[str, str], place: Path) -> None:
    """Build and push TensorFlow's image as somebody's CI would: it takes minutes, and here its layers are kept."""
    settings = ImageSettings(
        registry, builder="buildah", options=options, mirrors={registry.partition("/")[0]: f"http://{registry}"}
    )
    repo = Repo.create(place)
    folder = "stage-images/object-detect"
    (repo.path / folder).parent.mkdir()
    subprocess.run(["cp", "-r", ROOT / folder, repo.path / folder], check=True)
    subprocess.run(["rm", "-rf", repo.path / folder / "__pycache__"], check=True)
    git, commit = Git(repo.path), repo.commit("its image")
    named = name_folder(git, commit, folder, settings)
    assert named is not None
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        LocalBuilder(settings).build(git, commit, folder, named.reference)


@pytest.fixture
def installation(node_cluster: Cluster, pod_s3: S3, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a reader brings along: git server, bucket, registry; as an environment for the commands."""
    registry, gateway = node_cluster.registry, node_cluster.gateway
    assert registry is not None
    assert gateway is not None
    Repo.create(tmp_path / "git" / "cameras.git", bare=True)
    mirrors = f'mirrors = {{ "{registry.pod_host}" = "http://{registry.pod_host}" }}\n'
    with ExitStack() as stack:
        git = stack.enter_context(serve_git(tmp_path / "git", gateway))
        sink = stack.enter_context(running_sink(tmp_path / "mails", host=gateway))
        proxy = stack.enter_context(forward_proxy(gateway))
        options = build_options(tmp_path)
        storage = kept_storage(registry, tmp_path)
        here, there = tmp_path / "here.toml", tmp_path / "there.toml"
        here.write_text(f'[images]\nbuilder = "buildah"\noptions = {json.dumps(options)}\n{mirrors}')
        volumes = [f"--volume={IN_PODS}/pip.conf:/etc/pip.conf:ro", f"--volume={IN_PODS}/ca.crt:{AUTHORITIES}:ro"]
        there.write_text(
            f'[controller]\npoll_seconds = 1\n[mail]\nhost = "{sink.url}"\n'
            f'[kubernetes]\ncpu = "100m"\nagent_cpu = "50m"\nagent_memory = "256Mi"\n'
            f'[builds]\ncpu = "100m"\n'
            f'[images]\nargs = {{ HTTPS_PROXY = "{proxy}" }}\noptions = {json.dumps(volumes)}\n{mirrors}'
        )
        big_image(f"{registry.pod_host}/team", options, storage, tmp_path / "big")
        node_cluster.namespace("gitdata-builds", "privileged")
        files = {"pip.conf": (tmp_path / "pip.conf").read_text(), "ca.crt": AUTHORITIES.read_text()}
        files["registry.conf"] = registries_conf(registry.pod_host)
        node_cluster.api.create(
            "/api/v1/namespaces/gitdata-builds/configmaps", {"metadata": {"name": "gitdata-build"}, "data": files}
        )
        yield {
            **os.environ,
            **storage,
            **pod_s3.env,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "KUBECONFIG": str(node_cluster.kubeconfig),
            "HERE": str(here),
            "THERE": str(there),
            "GITDATA": str(ROOT),
            "REGISTRY": f"{registry.pod_host}/team",
            "REPOSITORY": f"{git}/cameras.git",
            "REMOTE": f"s3://{pod_s3.bucket()}/cameras",
            "SENDGRID_API_KEY": "key",
        }


def test_a_reader_gets_from_an_empty_cluster_to_the_camera_pipeline(
    node_cluster: Cluster, installation: dict[str, str], tmp_path: Path
) -> None:
    transcript = tmp_path / "transcript"
    with transcript.open("w") as file:
        done = subprocess.run(
            ["bash", "-c", script()],
            cwd=tmp_path,
            env=installation,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    if done.returncode:
        for words in (["get", "pods,jobs", "-A"], ["-n", "gitdata-system", "logs", "deployment/gitdata-controller"]):
            with transcript.open("a") as file, suppress(TestbedError):
                file.write(node_cluster.kubectl(*words))
        raise AssertionError(transcript.read_text()[-10_000:])
    left = {n["metadata"]["name"] for n in node_cluster.api.list("/api/v1/namespaces")}
    assert not left & {"gitdata-system", "gitdata-jobs"}
