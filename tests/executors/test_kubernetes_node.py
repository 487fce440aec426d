"""The Kubernetes executor with real pods: a kubelet, containerd, the worker image, a stage's image, S3.

Every test has a namespace of its own that enforces Pod Security ``restricted``.
"""

from __future__ import annotations

import pytest

from cluster import testbed
from executors.bench import Bench
from executors.conformance import EACH, Conformance
from gitdata.backends.builders import ImageSettings, LocalBuilder
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Executor
from gitdata.executors.kubernetes import KubernetesExecutor
from gitdata.model import Secret
from helpers.real_pods import bench, executor

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


__all__ = ["bench", "executor"]  # found here by pytest


class TestKubernetesConformance(Conformance):
    """Every promise of the Protocol; what speaks of image folders is said here of images."""

    JOB_TIMEOUT_MS = 20_000

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


def test_what_it_prints_while_it_runs(executor: KubernetesExecutor, bench: Bench) -> None:
    plan = bench.plan(executor, bench.stage("echo hello; sleep 60"), {"in": bench.input({"a": b""})})
    job = bench.job(plan)
    executor.start(job, bench.git)
    status = bench.wait(executor, job.name, until=lambda: bench.printed(job) == "hello\n")
    assert status.state in ("pending", "running")
    executor.cancel(job.name)


def test_a_folder_of_the_commit_runs_as_an_image_by_its_own_command(
    executor: KubernetesExecutor, bench: Bench, node_cluster: testbed.Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = node_cluster.registry
    assert registry is not None
    for name, value in registry.buildah_env.items():
        monkeypatch.setenv(name, value)
    base = bench.default_image.partition("@")[0].replace(registry.host, "docker.io")
    lines = [f"FROM {base}:3.11-slim-bookworm", "WORKDIR /code", "COPY . /code", "ENV GREETING=hello"]
    bench.repo.write("images/greet/Dockerfile", "\n".join([*lines, 'ENTRYPOINT ["sh", "/code/greet"]', 'CMD ["you"]']))
    bench.repo.write("images/greet/greet", 'echo "$GREETING $1"; pwd; cat /pfs/in/a > /pfs/out/copy\n')
    bench.repo.commit("an image")
    settings = ImageSettings(f"{registry.host}/team", builder="buildah", mirrors=registry.mirrors)
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
