"""What a push costs on a cluster, beside what the cluster costs by itself, on the same one in the same run.

    python benchmarks/on_cluster.py [pods] [planning] [memory] [--json]

Makes the cluster of ``tests/cluster`` with real pods (root, Debian), a registry and an S3 server. ``pods``: from a push
to the first pod, a whole stage beside a bare Job of its image and command, a datum inside a pod. ``planning`` and
``memory``: the controller at scale. Nothing here asserts: a slow machine is not a failure.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import scale

from cluster.processes import eventually
from cluster.testbed import Cluster, running
from gitdata.controller.published import output_ref, published_source
from gitdata.formats.index import parse_index
from gitdata.formats.keys import index_name
from helpers import cluster_lab
from helpers.cluster_lab import ClusterLab
from helpers.lab import Lab
from helpers.machine import BIN, Program, sealed_environment
from helpers.pods import compile_launcher
from helpers.s3 import S3, serve_s3
from helpers.system_images import pushed

COMMAND_SECONDS = 5
DATUMS = 1000


@dataclass
class Installation:
    """A repository whose controller runs outside of the cluster and is woken by post-receive."""

    cluster: Cluster
    lab: Lab
    namespace: str
    s3: S3
    remote: str

    def stage(self, name: str, *cmd: str, glob: str = "/*", **more: Any) -> None:
        spec = {
            "pipeline": {"name": name},
            "transform": {"image": self.cluster.base, "cmd": cmd},
            "input": {"pfs": {"repo": f"{name}-in", "glob": glob}},
            **more,
        }
        self.lab.work.write(f"stages/{name}.json", json.dumps(spec))

    def published(self, commit: str) -> None:
        origin = self.lab.origin
        ref = output_ref("main")
        eventually("the outputs", lambda: published_source(origin, origin.refs(ref).get(ref)) == commit, seconds=600)

    def pods(self) -> list[dict[str, Any]]:
        return self.cluster.api.list(f"/api/v1/namespaces/{self.namespace}/pods")


def push_to_pod(at: Installation, repeat: int) -> dict[str, float]:
    """Seconds from the start of ``git push`` until the API server has the first pod, and until all is published."""
    at.stage("quick", "true")
    first, whole = [], []
    for number in range(repeat + 1):
        at.lab.work.write(f"quick-in/{number}", str(number))
        commit = at.lab.work.commit(f"file {number}")
        before = {pod["metadata"]["uid"] for pod in at.pods()}
        begun = time.perf_counter()
        at.lab.work.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
        while not {pod["metadata"]["uid"] for pod in at.pods()} - before:
            time.sleep(0.01)
        first.append(time.perf_counter() - begun)
        at.published(commit)
        whole.append(time.perf_counter() - begun)
    return {"push to first pod": statistics.median(first[1:]), "push to published": statistics.median(whole[1:])}


def stage_and_job(at: Installation, repeat: int) -> dict[str, float]:
    """A stage of one datum, from push to publication, and a bare Job, from creation to completion."""
    command = ["sleep", str(COMMAND_SECONDS)]
    at.stage("slow", *command)
    stages, jobs = [], []
    for number in range(repeat):
        at.lab.work.write("slow-in/file", str(number))
        commit = at.lab.work.commit(f"slow {number}")
        begun = time.perf_counter()
        at.lab.work.git("push", "--quiet", "origin", "HEAD:refs/heads/main")
        at.published(commit)
        stages.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        at.cluster.api.create(f"/apis/batch/v1/namespaces/{at.namespace}/jobs", bare_job(at, f"bare-{number}", command))
        at.cluster.job_ended(at.namespace, f"bare-{number}")
        jobs.append(time.perf_counter() - begun)
    stage, job = statistics.median(stages), statistics.median(jobs)
    return {"stage, push to published": stage, "bare Job": job, "difference": stage - job}


def bare_job(at: Installation, name: str, command: list[str]) -> dict[str, Any]:
    confined = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    person = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    container = {"name": "main", "image": at.cluster.base, "command": command, "securityContext": confined}
    pod = {"restartPolicy": "Never", "securityContext": person, "containers": [container]}
    return {"metadata": {"name": name}, "spec": {"template": {"spec": pod}}}


def inside_a_pod(at: Installation) -> dict[str, float]:
    """Milliseconds a datum of a command that does nothing, from the first one's start to the last one's end."""
    at.stage("many", "true", parallelism_spec={"constant": 1})
    for number in range(DATUMS):
        at.lab.work.write(f"many-in/{number:04d}", str(number))
    at.published(at.lab.push("many datums"))
    store = scale.open_remote(at.remote, at.s3)
    spans = []
    for info in store.list("gitdata/v1/main/datums/"):
        if (index_name(info.key) or "").startswith("seg-"):
            results = parse_index(store.read(info.key)).results
            if len(results) >= DATUMS / 10:
                spans.append((max(r.finished for r in results) - min(r.started for r in results)) / len(results))
    return {"ms a datum": statistics.median(spans)}


def install(cluster: Cluster, s3: S3, root: Path, stack: ExitStack) -> Installation:
    assert cluster.registry is not None
    namespace = cluster.namespace("bench")
    keys = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    data = {key: base64.b64encode(s3.env[key].encode()).decode() for key in keys}
    secret = {"metadata": {"name": "gitdata-store"}, "data": data}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/secrets", secret)
    lab = Lab.create(root)
    Program(str(BIN / "gitdata"), cwd=lab.origin.path)("hooks", "install", "--server")
    (worker,) = pushed(cluster.registry, root, ["worker"])
    at = Installation(cluster, lab, namespace, s3, f"s3://{s3.bucket()}/data")
    config = root / "controller.toml"
    config.write_text(
        f'[executor]\nkind = "kubernetes"\n[kubernetes]\nnamespace = "{namespace}"\nworker_image = "{worker}"\n'
        f'cpu = "100m"\nmemory = "256Mi"\nagent_memory = "256Mi"\n'
        f'[remote]\nendpointurl = "{s3.endpoint}"\nregion = "{s3.env["AWS_REGION"]}"\n'
    )
    process = scale.start_controller(lab.origin.path, at.remote, config, cluster.kubeconfig, root / "controller.log")
    stack.callback(process.wait)
    stack.callback(process.kill)
    return at


def laboratory(cluster: Cluster, root: Path, stack: ExitStack) -> ClusterLab:
    """For the controller alone: its Jobs make no pods, because the quota allows none."""
    server = cluster_lab.s3_server(root / "s3")
    server.start()
    stack.callback(server.stop)
    eventually("S3", lambda: cluster_lab.answers(cluster_lab.endpoint_of(server)), needs=[server])
    os.environ.update(cluster_lab.environment(server))
    namespace = cluster.namespace(f"scale-{root.name[-6:].lower().replace('_', '-')}")
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    cluster.api.create(f"/api/v1/namespaces/{namespace}/resourcequotas", quota)
    return ClusterLab.on(cluster, namespace, folder(root, "lab"), server, compile_launcher(root))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="pods, planning, memory; default: all")
    parser.add_argument("--repeat", type=int, default=5, help="how often what takes seconds is measured")
    parser.add_argument("--json", action="store_true", help="print the numbers as JSON")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the cluster is put away
    what = args.what or ["pods", "planning", "memory"]
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gitdata-bench-")))
        cluster = stack.enter_context(running("node"))
        seal(root)
        if "pods" in what:
            assert cluster.gateway is not None
            s3 = stack.enter_context(serve_s3(cluster.gateway))
            os.environ.update(s3.env)
            at = install(cluster, s3, folder(root, "pods"), stack)
            found["from a push to a pod, s"] = push_to_pod(at, args.repeat)
            found[f"one datum of {COMMAND_SECONDS} s, s"] = stage_and_job(at, args.repeat)
            found[f"{DATUMS} datums of nothing in pods"] = inside_a_pod(at)
        alone: dict[str, Callable[[ClusterLab], dict[str, float]]] = {
            "planning": scale.planning,
            "memory": scale.memory,
        }
        for name, measure in alone.items():
            if name in what:
                found[f"the controller alone, {name}"] = measure(laboratory(cluster, folder(root, name), stack))
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for title, figures in found.items():
        print(title)
        for name, figure in figures.items():
            print(f"    {name:44}{figure:10.2f}")


def folder(root: Path, name: str) -> Path:
    (root / name).mkdir()
    return root / name


def seal(root: Path) -> None:
    """A home of its own, and nothing of the person who runs this."""
    env = sealed_environment(root, dict(os.environ))
    os.environ.clear()
    os.environ.update(env)


if __name__ == "__main__":
    main()
