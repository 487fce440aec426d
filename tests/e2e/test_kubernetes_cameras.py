"""The camera pipeline on a real cluster: a push, images built and pushed, Jobs, outputs on S3, notes, output branch."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.processes import eventually
from cluster.testbed import Cluster
from helpers.builds import build_options
from helpers.machine import BIN, Program, Repo
from helpers.mail import running_sink
from helpers.s3 import S3
from helpers.system_images import kept_storage

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
CAMERAS = ROOT / "examples" / "cameras"
NAMESPACE = "cameras"
STAGES = ("validate", "object-detect", "threat-detect", "plot")


@contextmanager
def controller(command: list[str], log: Path, env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stderr=file)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def executed(gitdata: Program, commit: str) -> dict[str, int]:
    """Stage -> how many datums ran for a commit."""
    jobs = gitdata.json("job", "list", "--json")
    return {job["stage"]: job["datums"]["processed"] for job in jobs if job["source_commit"] == commit}


def configuration(cluster: Cluster, s3: S3, worker_image: str, mail: str, place: Path) -> Path:
    assert cluster.registry is not None
    config = place / "controller.toml"
    config.write_text(
        f'[executor]\nkind = "kubernetes"\n[mail]\nhost = "{mail}"\n'
        f'[kubernetes]\nnamespace = "{NAMESPACE}"\nworker_image = "{worker_image}"\ncpu = "100m"\n'
        f'agent_cpu = "50m"\nagent_memory = "256Mi"\n'
        f'[images]\nregistry = "{cluster.registry.host}/cameras"\nbuilder = "buildah"\n'
        f"options = {json.dumps(build_options(place))}\n"
        f'[remote]\nendpointurl = "{s3.endpoint}"\nregion = "{s3.env["AWS_REGION"]}"\n'
    )
    return config


def namespace(cluster: Cluster, s3: S3) -> None:
    cluster.namespace(NAMESPACE)
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    data = {key: base64.b64encode(s3.env[key].encode()).decode() for key in keys}
    secret = {"metadata": {"name": "gitdata-store"}, "data": data}
    cluster.api.create(f"/api/v1/namespaces/{NAMESPACE}/secrets", secret)


def pipeline(origin: Repo, place: Path, remote: str) -> tuple[Repo, Program]:
    """A person's clone with the camera pipeline, not yet committed."""
    work = origin.clone(place)
    gitdata = Program(str(BIN / "gitdata"), cwd=work.path)
    gitdata("init", "--remote", remote)
    for folder in ("images", "model", "rules", "stages"):
        shutil.copytree(CAMERAS / folder, work.path / folder)
    for stage in STAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "stage-images" / stage, work.path / "stage-images" / stage, ignore=ignored)
    gitdata("add", "images", "model")
    return work, gitdata


def test_a_push_builds_runs_and_publishes(
    node_cluster: Cluster, pod_s3: S3, worker_image: str, dvc: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert node_cluster.registry is not None
    for name, value in pod_s3.env.items():
        monkeypatch.setenv(name, value)
    remote = f"s3://{pod_s3.bucket()}/cameras"
    namespace(node_cluster, pod_s3)
    origin = Repo.create(tmp_path / "origin.git", bare=True)
    Program(str(BIN / "gitdata"), cwd=origin.path)("hooks", "install", "--server")
    log = tmp_path / "controller.log"
    with running_sink(tmp_path / "mails") as sink:
        config = configuration(node_cluster, pod_s3, worker_image, sink.url, tmp_path)
        command = [sys.executable, "-m", "gitdata", "controller", "--repo", str(origin.path), "--remote", remote]
        command += ["--config", str(config), "--kubeconfig", str(node_cluster.kubeconfig)]
        env = {**os.environ, **kept_storage(node_cluster.registry, tmp_path), "SENDGRID_API_KEY": "key"}
        with controller(command, log, env):
            work, gitdata = pipeline(origin, tmp_path / "work", remote)
            first = work.commit("Two cameras, a model, rules and four stages")
            work.git("push", "--quiet", "--set-upstream", "origin", "main")
            gitdata("job", "wait", "--timeout", "1200", timeout=1250)
            assert executed(gitdata, first) == {"validate": 8, "object-detect": 7, "threat-detect": 7, "plot": 1}
            shutil.copy(next((CAMERAS / "more").glob("*.jpg")), work.path / "images")
            second = work.commit("One more picture")  # the hook brings the pointer up to date
            work.git("push", "--quiet")
            gitdata("job", "wait", "--timeout", "300", timeout=350)
            assert executed(gitdata, second) == dict.fromkeys(STAGES, 1)
            written = len(gitdata("ls", "origin/gitdata/main:threat-detect/mail").stdout.splitlines())
            eventually("the mails", lambda: len(sink.subjects()) == written, seconds=30)
    assert written >= 2
    said = log.read_text()
    assert said.count(": built in ") == len(STAGES), "each image once"
    assert "Traceback" not in said

    # Stock DVC brings what pods made; what TensorFlow saw is in it.
    clone = origin.clone(tmp_path / "clone", "--branch", "gitdata/main")
    dvc("pull", cwd=clone.path)
    assert (clone.path / "plot" / "threats.png").read_bytes().startswith(b"\x89PNG")
    found = [json.loads(path.read_text()) for path in (clone.path / "object-detect").glob("*/*.json")]
    assert {thing["class"] for image in found for thing in image["objects"]} >= {"person", "car"}

    # Provenance: the image folder's tree, in the note of the source commit and in the trace.
    origin_notes = clone.git("ls-remote", "origin", "refs/notes/gitdata/provenance")
    clone.git("fetch", "--quiet", "origin", "refs/notes/gitdata/provenance:refs/notes/gitdata/provenance")
    note = clone.git("notes", "--ref", "gitdata/provenance", "show", second)
    assert origin_notes
    assert clone.head(f"{second}:stage-images/object-detect") in note
    trace = gitdata("prov", "trace", "plot/threats.png@origin/gitdata/main").stdout
    assert "model" in trace
    assert "images" in trace

    # Every Job ran an image by its digest, has ended and will go.
    jobs = node_cluster.api.list(f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs")
    assert len(jobs) == 2 * len(STAGES)
    for job in jobs:
        assert "@sha256:" in job["spec"]["template"]["spec"]["containers"][0]["image"]
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
        assert not job["status"].get("active")
