"""The Kubernetes executor with real pods: a kubelet, containerd, the worker image, a stage's image, S3.

The worker image is put together from its parts here (``stage-images/worker/Dockerfile`` needs the network). Every
test has a namespace of its own that enforces Pod Security ``restricted``.
"""

from __future__ import annotations

import base64
import tarfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import obstore
import pytest

import gitdata
from cluster import testbed
from cluster.layers import base_layer, compress
from executors.bench import Bench
from executors.conformance import EACH, Conformance
from gitdata.backends.builders import ImageSettings, LocalBuilder
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Executor
from gitdata.executors.kubernetes import KubernetesExecutor
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.model import Secret
from helpers.machine import Repo
from helpers.pods import compile_launcher
from helpers.s3 import S3, serve_s3

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
_PACKAGES = "usr/local/lib/python3.11/dist-packages"


@pytest.fixture(scope="module")
def worker_image(node_cluster: testbed.Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("worker")
    tar = folder / "layer.tar"

    def kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = 0
        info.mode |= 0o755 if info.isdir() else 0o444
        return None if "__pycache__" in info.name else info

    with tarfile.open(tar, "w") as archive:
        for package in (gitdata, obstore):
            place = Path(str(package.__file__)).parent
            archive.add(place, f"{_PACKAGES}/{place.name}", filter=kept)
        archive.add(compile_launcher(folder), "usr/local/bin/gitdata-launch")
    assert node_cluster.registry is not None
    config = {"User": "65532:65532", "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]}
    return node_cluster.registry.push("gitdata/worker", "test", [base_layer(), compress(tar)], config)


@pytest.fixture(scope="module")
def pod_s3(node_cluster: testbed.Cluster) -> Iterator[S3]:
    """A server of objects that pods reach."""
    assert node_cluster.gateway is not None
    with serve_s3(node_cluster.gateway) as server:
        yield server


@pytest.fixture
def bench(
    repo: Repo, tmp_path: Path, pod_s3: S3, node_cluster: testbed.Cluster, monkeypatch: pytest.MonkeyPatch
) -> Bench:
    for name, value in pod_s3.env.items():
        monkeypatch.setenv(name, value)
    made = Bench(repo, tmp_path, f"s3://{pod_s3.bucket()}/data")
    assert node_cluster.base is not None
    made.default_image = node_cluster.base
    return made


@pytest.fixture
def executor(
    node_cluster: testbed.Cluster, bench: Bench, pod_s3: S3, worker_image: str
) -> Iterator[KubernetesExecutor]:
    namespace = node_cluster.namespace(f"jobs-{uuid4().hex[:8]}")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    data = {key: base64.b64encode(pod_s3.env[key].encode()).decode() for key in keys}
    secret = {"metadata": {"name": "gitdata-store"}, "data": data}
    node_cluster.api.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    settings = KubernetesSettings(
        namespace=namespace,
        worker_image=worker_image,
        store_url=bench.url,
        store_options={"endpointurl": pod_s3.endpoint, "region": pod_s3.env["AWS_REGION"]},
        cpu="100m",
        memory="256Mi",
        disk="256Mi",
        agent_cpu="50m",
        agent_memory="256Mi",
        refresh_seconds=0.2,
        live_seconds=0.5,
    )
    yield KubernetesExecutor(settings, kubeconfig=str(node_cluster.kubeconfig))
    node_cluster.api.delete(f"/api/v1/namespaces/{namespace}")


class TestKubernetesConformance(Conformance):
    """Every promise of the Protocol; what speaks of image folders is said here of images."""

    def test_code_is_the_image_folder_and_the_working_folder(self, executor: Executor, bench: Bench) -> None:
        assert bench.run(executor, bench.stage("pwd", working_dir="/usr/bin"), {"a": b""}).log() == "/usr/bin\n"

    def test_environment_names_the_image_and_refuses_what_cannot_run(self, executor: Executor, bench: Bench) -> None:
        commit = bench.repo.git("rev-parse", "HEAD").strip()
        tag = bench.default_image.partition("@")[0] + ":3.11-slim-bookworm"
        found = executor.environment(bench.git, commit, bench.stage("true", image=tag))
        assert found.id == f"oci:{bench.default_image.partition('@')[2]}"
        with pytest.raises(InvalidInputError, match="secret"):
            executor.environment(bench.git, commit, bench.stage("true", secrets=(Secret("no-such", "key", "V"),)))


def test_an_ordinary_user_without_credentials(executor: KubernetesExecutor, bench: Bench) -> None:
    done = bench.run(
        executor, bench.stage("id -u; env | grep -c AWS_; ls /var/run/secrets /work; true", input=EACH), {"a": b""}
    )
    lines = done.log().splitlines()
    assert lines[:2] == ["65532", "0"]
    assert sum("No such file or directory" in line for line in lines) == 2


def test_the_log_while_it_runs(executor: KubernetesExecutor, bench: Bench) -> None:
    plan = bench.plan(executor, bench.stage("echo hello; sleep 60"), {"in": bench.input({"a": b""})})
    job = bench.job(plan)
    executor.start(job, bench.git)
    bench.wait(executor, job.name, until=lambda: executor.log(job.name) == b"hello\n")
    executor.cancel(job.name)


def test_a_folder_of_the_commit_runs_as_an_image_by_its_own_command(
    executor: KubernetesExecutor, bench: Bench, node_cluster: testbed.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert node_cluster.registry is not None
    for name, value in node_cluster.registry.buildah_env.items():
        monkeypatch.setenv(name, value)
    base = bench.default_image.partition("@")[0].replace(node_cluster.registry.host, "docker.io")
    lines = [f"FROM {base}:3.11-slim-bookworm", "WORKDIR /code", "COPY . /code", "ENV GREETING=hello"]
    bench.repo.write("images/greet/Dockerfile", "\n".join([*lines, 'ENTRYPOINT ["sh", "/code/greet"]', 'CMD ["you"]']))
    bench.repo.write("images/greet/greet", 'echo "$GREETING $1"; pwd; cat /pfs/in/a > /pfs/out/copy\n')
    bench.repo.commit("an image")
    settings = ImageSettings(f"{node_cluster.registry.host}/team", builder="buildah")
    builder = LocalBuilder(settings)
    folders = KubernetesExecutor(
        executor._settings, kubeconfig=str(node_cluster.kubeconfig), images=settings, builder=builder
    )
    done = bench.run(folders, bench.stage(image="images/greet", cmd=()), {"a": b"data"})
    assert done.log() == "hello you\n/code\n"
    assert done.only.failure is None
    assert [entry.path for entry in done.only.outputs] == ["copy"]
    folders.close()
    builder.close()
