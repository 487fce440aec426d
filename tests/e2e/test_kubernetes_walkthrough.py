"""docs/kubernetes.md by its own text: every ```sh block, in order, on a cluster that has never seen gitdata."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster.processes import TestbedError, eventually
from cluster.registry import registries_conf
from cluster.testbed import Cluster
from gitdata.backends.builders import ImageSettings, LocalBuilder
from gitdata.backends.contexts import name_folder
from gitdata.backends.git import Git
from helpers.builds import build_options
from helpers.forward_proxy import forward_proxy
from helpers.git_daemon import serve_git
from helpers.machine import BIN, Program, Repo
from helpers.mail import running_sink
from helpers.s3 import S3
from helpers.system_images import kept_storage

pytestmark = [pytest.mark.cluster, pytest.mark.slow]
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
IN_PODS = "/etc/gitdata/build"
BIG = ("stage-images/object-detect", "stage-images/plot")  # TensorFlow, matplotlib
LEFT_OVER = shutil.ignore_patterns("__pycache__")  # of other tests


def commands() -> tuple[str, str]:
    """Those of the whole page and those that take it away again; each with what this machine has of its own."""
    *blocks, last = BLOCK.findall((ROOT / "docs" / "kubernetes.md").read_text())
    text = "\n".join(blocks)
    text = text.replace("gitdata images push --system", 'gitdata images push --system --config "$HERE"')
    text = text.replace("gitdata deploy", 'gitdata deploy --config "$THERE" --mail-key-env SENDGRID_API_KEY')
    return text, last


def follow(text: str, cluster: Cluster, env: Mapping[str, str], place: Path) -> None:
    """Run commands as one would type them; what they printed is in ``transcript``."""
    transcript = place / "transcript"
    with transcript.open("a") as file:
        command = ["bash", "-euxc", text]
        done = subprocess.run(command, cwd=place, env=env, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    if done.returncode:
        asked = (["get", "pods,jobs", "-A"], ["get", "events", "-A"])
        for words in (*asked, ["-n", "gitdata-system", "logs", "deployment/gitdata-controller"]):
            with transcript.open("a") as file:
                try:
                    file.write(cluster.kubectl(*words))
                except TestbedError as error:
                    file.write(f"{words}: {error}\n")
        raise AssertionError(transcript.read_text()[-20_000:])


def big_images(registry: str, options: tuple[str, ...], env: Mapping[str, str], place: Path) -> None:
    """Build and push what takes minutes, as somebody's CI would; here its layers are kept."""
    settings = ImageSettings(
        registry, builder="buildah", options=options, mirrors={registry.partition("/")[0]: f"http://{registry}"}
    )
    repo = Repo.create(place)
    for folder in BIG:
        shutil.copytree(ROOT / folder, repo.path / folder, ignore=LEFT_OVER)
    git, commit = Git(repo.path), repo.commit("their images")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        for folder in BIG:
            named = name_folder(git, commit, folder, settings)
            assert named is not None
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
        storage = stack.enter_context(kept_storage(registry, tmp_path))
        here, there = tmp_path / "here.toml", tmp_path / "there.toml"
        here.write_text(f'[images]\nbuilder = "buildah"\noptions = {json.dumps(options)}\n{mirrors}')
        volumes = [f"--volume={IN_PODS}/pip.conf:/etc/pip.conf:ro", f"--volume={IN_PODS}/ca.crt:{AUTHORITIES}:ro"]
        there.write_text(
            f'[controller]\npoll_seconds = 1\n[mail]\nhost = "{sink.url}"\n'
            f'[kubernetes]\ncpu = "100m"\nagent_cpu = "50m"\nagent_memory = "256Mi"\n'
            f'[builds]\ncpu = "100m"\n'
            f'[images]\nargs = {{ HTTP_PROXY = "{proxy}", HTTPS_PROXY = "{proxy}", NO_PROXY = "{gateway}" }}\n'
            f"options = {json.dumps(volumes)}\n{mirrors}"
        )
        with kept_storage(registry, tmp_path, "cameras") as cameras:
            big_images(f"{registry.pod_host}/team", options, cameras, tmp_path / "big")
        node_cluster.namespace("gitdata-builds", "privileged")
        files = {"pip.conf": (tmp_path / "pip.conf").read_text(), "ca.crt": AUTHORITIES.read_text()}
        files["registries.conf"] = registries_conf(registry.pod_host)
        node_cluster.api.create(
            "/api/v1/namespaces/gitdata-builds/configmaps", {"metadata": {"name": "gitdata-build"}, "data": files}
        )
        for part in ("examples/cameras", "stage-images"):
            shutil.copytree(ROOT / part, tmp_path / "gitdata" / part, ignore=LEFT_OVER)
        yield {
            **os.environ,
            **storage,
            **pod_s3.env,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "KUBECONFIG": str(node_cluster.kubeconfig),
            "HERE": str(here),
            "THERE": str(there),
            "GITDATA": str(tmp_path / "gitdata"),
            "REGISTRY": f"{registry.pod_host}/team",
            "REPOSITORY": f"{git}/cameras.git",
            "REMOTE": f"s3://{pod_s3.bucket()}/cameras",
            "SENDGRID_API_KEY": "key",
        }


def executed(gitdata: Program) -> list[dict[str, int]]:
    """For each push, oldest first: stage -> how many datums ran."""
    found: dict[str, dict[str, int]] = {}
    for job in reversed(gitdata.json("job", "list")):
        found.setdefault(job["source_commit"], {})[job["stage"]] = job["datums"]["processed"]
    return list(found.values())


def test_a_reader_gets_from_an_empty_cluster_to_the_camera_pipeline(
    node_cluster: Cluster,
    pod_s3: S3,
    installation: dict[str, str],
    dvc: Program,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    going, leaving = commands()
    follow(going, node_cluster, installation, tmp_path)
    gitdata = Program(str(BIN / "gitdata"), cwd=tmp_path / "cameras")
    for name, value in pod_s3.env.items():
        monkeypatch.setenv(name, value)
    first = {"validate": 8, "object-detect": 7, "threat-detect": 7, "plot": 1}
    assert executed(gitdata) == [first, dict.fromkeys(first, 1)]

    # Stock DVC brings what pods made; what TensorFlow saw is in it, and each message was mailed once.
    clone = Repo(tmp_path / "cameras").clone(tmp_path / "clone", "--no-checkout")
    clone.git(
        "fetch", "--quiet", installation["REPOSITORY"], "gitdata/main", "+refs/notes/gitdata/*:refs/notes/gitdata/*"
    )
    clone.git("checkout", "--quiet", "FETCH_HEAD")
    dvc("pull", cwd=clone.path)
    assert (clone.path / "plot" / "threats.png").read_bytes().startswith(b"\x89PNG")
    seen = [json.loads(path.read_text()) for path in (clone.path / "object-detect").glob("*/*.json")]
    assert {thing["class"] for image in seen for thing in image["objects"]} >= {"person", "car"}
    written = len(list((clone.path / "threat-detect" / "mail").iterdir()))
    eventually("the mails", lambda: len(list((tmp_path / "mails").glob("*.json"))) == written >= 2, seconds=30)

    # Provenance is in the note of the source commit: the tree of the image's folder is what was built.
    source = clone.git("rev-parse", "HEAD^2").strip()
    note = clone.git("notes", "--ref", "gitdata/provenance", "show", source)
    assert clone.head(f"{source}:stage-images/object-detect") in note

    # Each Job ran an image by its digest, has ended and will go; the small images were built on the cluster, each once.
    jobs = node_cluster.api.list("/apis/batch/v1/namespaces/gitdata-jobs/jobs")
    assert len(jobs) == 2 * len(first)
    for job in jobs:
        assert "@sha256:" in job["spec"]["template"]["spec"]["containers"][0]["image"]
        assert job["spec"]["ttlSecondsAfterFinished"] > 0
        assert not job["status"].get("active")
    log = node_cluster.kubectl("-n", "gitdata-system", "logs", "deployment/gitdata-controller")
    assert log.count(": built on the cluster in ") == len(first) - len(BIG)
    assert "Traceback" not in log

    follow(leaving, node_cluster, installation, tmp_path)
    left = {n["metadata"]["name"] for n in node_cluster.api.list("/api/v1/namespaces")}
    assert not left & {"gitdata-system", "gitdata-jobs"}
