"""The controller at scale: what it costs to plan and shard many datums, and to keep many stages, branches and Jobs.

Called by ``on_cluster.py`` with a cluster that runs. Results of stages are written straight into the store, as agents
would have done, so that the figures are those of the controller alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gitdata.backends.git import Git
from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.controller.config import ControllerSettings
from gitdata.controller.loop import Controller
from gitdata.controller.published import output_ref, published_source
from gitdata.controller.serve import serve
from gitdata.controller.site import Site
from gitdata.controller.watch import open_clone
from gitdata.executors.base import Job, Progress
from gitdata.executors.kubernetes_manifest import manifest
from gitdata.formats.dvc import dump_pointer, object_key
from gitdata.formats.dvcdir import dir_oid, dump_dir
from gitdata.formats.index import dump_segment, object_name
from gitdata.formats.keys import index_key, plan_key
from gitdata.formats.plans import parse_plan
from gitdata.identity import sha256
from gitdata.model import DatumResult, Entry, Environment, JobStatus, Output, PfsInput, Stage, Transform
from helpers.cluster_lab import BUCKET, WORKER, ClusterLab
from helpers.s3 import REGION, S3

IMAGE = "registry.example/team/stage@sha256:" + "1" * 64
STAGES, BRANCHES, JOBS, DATUMS = 200, 50, 1000, 100_000


@dataclass
class Instant:
    """An executor whose jobs have succeeded when they start: each datum has one small file as its output."""

    store: ObjectStore
    name: str = "kubernetes"
    done: dict[str, JobStatus] = field(default_factory=dict)

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        return Environment("oci:" + IMAGE.partition("@")[2], IMAGE)

    def workers(self, stage: Stage) -> int:
        return 1

    def start(self, job: Job, git: Git) -> None:
        plan = parse_plan(self.store.read(plan_key(job.zone, job.plan)))
        results = []
        for datum in plan.datums:
            body = f"{job.stage.name} {datum.id}\n".encode()
            oid = hashlib.md5(body).hexdigest()
            self.store.write(object_key(oid), body)
            entry = Entry(datum.inputs[0].match.rpartition("/")[2], oid, len(body), False, sha256(body))
            results.append(DatumResult(datum.id, outputs=(entry,), job=job.name, tries=1, started=1, finished=2))
        data = dump_segment(plan.stage_key, results)
        self.store.write(index_key(job.zone, plan.stage_key, object_name(data)), data)
        self.done[job.name] = JobStatus("succeeded")

    def status(self, name: str) -> JobStatus | None:
        return self.done.get(name)

    def progress(self, name: str) -> Progress:
        return Progress()

    def jobs(self) -> dict[str, JobStatus]:
        return dict(self.done)

    def commit(self, name: str) -> str:
        return ""

    def cancel(self, name: str) -> None:
        """Nothing runs."""

    def forget(self, name: str) -> None:
        self.done.pop(name, None)

    def close(self) -> None:
        """Nothing runs."""


def seed(lab: ClusterLab, stages: int, branches: int) -> None:
    """Push chains of ten stages over a folder of ten files, to so many branches, and let all results be there."""
    for number in range(10):
        lab.work.write(f"in/f{number}", str(number))
    for number in range(stages):
        repo = "in" if number % 10 == 0 else f"s{number - 1:03d}"
        lab.stage(f"s{number:03d}", "true", {"pfs": {"repo": repo, "glob": "/*"}})
    for number in range(branches):
        lab.push(f"branch {number}", branch(number))
    git, lock = open_clone(lab.root / "seeding", str(lab.origin.path))
    store = open_store(str(lab.root.parent / "s3" / "buckets" / BUCKET / "data"))  # what the S3 server serves: quicker
    site = Site(git=git, store=store, executor=Instant(store), origin=str(lab.origin.path))
    with lock:
        settings = ControllerSettings(branches=("main", "b*"))
        serve(Controller(site, settings, say=lambda line: None), once=True, stop=threading.Event())


def branch(number: int) -> str:
    return "main" if number == 0 else f"b{number:03d}"


def finished_jobs(lab: ClusterLab, count: int) -> None:
    """Jobs of this controller that have ended and are kept: it sees them in every LIST."""
    settings = replace(lab.settings, store_url=lab.url)
    stage = Stage("old", Transform(IMAGE, ("true",)), PfsInput("in", "/*", "in"))
    environment = Environment("oci:" + IMAGE.partition("@")[2], IMAGE)
    path = f"/apis/batch/v1/namespaces/{lab.namespace}/jobs"
    for number in range(count):
        name = f"old-{number:010d}-1"
        job = Job(name, "ab" * 32, "main", stage, 100, 10, "c" * 40, environment)
        body = manifest(job, IMAGE, settings)
        body["spec"] |= {"managedBy": "gitdata.dev/benchmark", "ttlSecondsAfterFinished": 3600}
        lab.cluster.api.create(path, body)
        lab.cluster.api.patch(f"{path}/{name}/status", {"status": _ended(job.shards)})


def _ended(shards: int) -> dict[str, Any]:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    conditions = [{"type": t, "status": "True", "reason": "Done"} for t in ("SuccessCriteriaMet", "Complete")]
    status = {"startTime": now, "completionTime": now, "succeeded": shards, "completedIndexes": f"0-{shards - 1}"}
    return {**status, "conditions": [{**c, "lastTransitionTime": now} for c in conditions]}


def memory(lab: ClusterLab, stages: int = STAGES, branches: int = BRANCHES, jobs: int = JOBS) -> dict[str, float]:
    """The controller's peak and what it holds at rest, in MiB, when it has looked at every branch anew."""
    seed(lab, stages, branches)
    finished_jobs(lab, jobs)
    tips = {}
    for number in range(branches):
        lab.work.write("README.md", f"A push that changes nothing for the stages, {number}.\n")
        tips[branch(number)] = lab.push("README", branch(number))
    begun = time.perf_counter()
    process = controller(lab, ["main", "b*"])
    try:
        lab.wait("every branch", lambda: all(published(lab, b) == tip for b, tip in tips.items()), seconds=1800)
        settled = time.perf_counter() - begun
        time.sleep(5)
        status = Path(f"/proc/{process.pid}/status").read_text()
    finally:
        process.kill()
        process.wait()
    peak, rest = (int(re.findall(rf"{name}:\s+(\d+) kB", status)[0]) / 1024 for name in ("VmHWM", "VmRSS"))
    return {"peak MiB": peak, "at rest MiB": rest, "seconds until all branches were published": settled}


def published(lab: ClusterLab, name: str) -> str | None:
    return published_source(lab.origin, lab.origin.refs(output_ref(name)).get(output_ref(name)))


def controller(lab: ClusterLab, branches: list[str]) -> subprocess.Popen[bytes]:
    """The real command."""
    config = lab.root / "controller.toml"
    config.write_text(
        f'[controller]\npoll_seconds = 1\nbranches = {json.dumps(branches)}\n[executor]\nkind = "kubernetes"\n'
        f'[kubernetes]\nnamespace = "{lab.namespace}"\nworker_image = "{WORKER}"\n'
        f'[remote]\nendpointurl = "{lab.endpoint}"\nregion = "{REGION}"\n'
    )
    return start_controller(lab.origin.path, lab.url, config, lab.kubeconfig, lab.root / "controller.log")


def start_controller(origin: Path, remote: str, config: Path, kubeconfig: Path, log: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "gitdata", "controller", "--repo", str(origin), "--remote", remote]
    command += ["--config", str(config), "--kubeconfig", str(kubeconfig)]
    with log.open("ab") as file:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=file)


def open_remote(url: str, s3: S3) -> ObjectStore:
    return open_store(url, {"endpointurl": s3.endpoint, "region": REGION})


def planning(lab: ClusterLab, datums: int = DATUMS) -> dict[str, float]:
    """Seconds from a push of so many files until their Job exists, and the size of the Job in KB."""
    listing = tuple(
        Entry(f"{n // 1000:03d}/f{n:06d}", hashlib.md5(b"%d" % n, usedforsecurity=False).hexdigest())
        for n in range(datums)
    )
    body = dump_dir(listing)
    lab.store.write(object_key(dir_oid(body)), body)
    lab.work.write("images.dvc", dump_pointer(Output("images", dir_oid(body), datums, datums)))
    lab.stage("count", "true", {"pfs": {"repo": "images", "glob": "/*/*"}}, parallelism_spec={"constant": 100})
    process = controller(lab, ["main"])
    try:
        lab.wait("the controller", lambda: "watching" in (lab.root / "controller.log").read_text())
        time.sleep(3)
        begun = time.perf_counter()
        lab.push("many files")
        (lab.origin.path / "gitdata").mkdir(exist_ok=True)
        (lab.origin.path / "gitdata" / "wake").touch()
        (job,) = lab.wait("the Job", lab.jobs, seconds=120)
        taken = time.perf_counter() - begun
    finally:
        process.kill()
        process.wait()
    return {"seconds until the Job exists": taken, "KB of the Job": len(json.dumps(job)) / 1000}
