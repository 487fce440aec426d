"""gitdata deploy on a real node: the controller's image, its probes, its keys, its rights, with real pods."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.processes import eventually
from cluster.testbed import Cluster
from gitdata.cli import main
from helpers.git_daemon import serve_git
from helpers.machine import Repo
from helpers.s3 import S3
from helpers.system_images import pushed

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def test_a_deployed_controller_becomes_ready_and_is_taken_away(
    node_cluster: Cluster,
    pod_s3: S3,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node_cluster.ours("it installs and takes away gitdata under its usual names")
    for name, value in pod_s3.env.items():
        monkeypatch.setenv(name, value)
    registry, gateway = node_cluster.registry, node_cluster.gateway
    assert registry is not None
    assert gateway is not None
    worker, controller = pushed(registry, tmp_path, ["worker", "controller"])
    origin = Repo.create(tmp_path / "git" / "project.git", bare=True)
    work = Repo.create(tmp_path / "work")
    work.git("push", "--quiet", str(origin.path), "HEAD:refs/heads/main")
    kubeconfig = ["--kubeconfig", str(node_cluster.kubeconfig)]
    with serve_git(tmp_path / "git", gateway) as url:
        words = ["--git", f"{url}/project.git", "--remote", f"s3://{pod_s3.bucket()}/data", "--laptop", *kubeconfig]
        words += ["--controller-image", controller, "--worker-image", worker]
        code = main(["deploy", *words])
        said = capsys.readouterr()
        assert code == 0, said.out + said.err
        assert "the controller is ready" in said.out
        code = main(["doctor", "--kubernetes", *kubeconfig])
        said = capsys.readouterr()
        assert code == 0, said.out + said.err
        assert "missing" not in said.out
        assert "ok      controller: the controller is ready" in said.out
        log = node_cluster.kubectl("-n", "gitdata-system", "logs", "deployment/gitdata-controller")
        assert f"watching {url}/project.git" in log
        (tmp_path / "git").rename(tmp_path / "gone")  # git is away: the pod lives, and is not ready

        def ready() -> str:
            words = ("-n", "gitdata-system", "get", "deployment", "gitdata-controller")
            return node_cluster.kubectl(*words, "-o", "jsonpath={.status.readyReplicas}")

        eventually("a pod that is not ready", lambda: ready() == "", seconds=120)
        (tmp_path / "gone").rename(tmp_path / "git")
        eventually("a pod that is ready again", lambda: ready() == "1", seconds=120)
    assert main(["undeploy", "--yes", *kubeconfig]) == 0
    assert "gitdata" not in node_cluster.kubectl("get", "namespaces", "-o", "name")
