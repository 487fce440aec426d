"""A whole installation as in ``lab``, whose jobs are Jobs of a cluster: real controllers, the real agent and launcher.

Pods run as processes of this machine (``cluster_pods``), the store is a real S3 server of the lab's own that a test may
stop and pause. Images are named by digest and never pulled.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from cluster.api import Object
from cluster.processes import Server, eventually, free_port
from cluster.testbed import Cluster
from gitdata.backends.mail import Mailer
from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.controller.clone import open_clone
from gitdata.controller.config import ControllerSettings
from gitdata.controller.loop import Controller
from gitdata.controller.notes import NOTES_REF, read_notes
from gitdata.controller.published import published_source
from gitdata.controller.serve import serve
from gitdata.controller.site import Site
from gitdata.executors.kubernetes import KubernetesExecutor
from gitdata.executors.kubernetes_settings import KubernetesSettings
from gitdata.formats.index import parse_index
from gitdata.formats.keys import index_name
from helpers.cluster_pods import LocalPods
from helpers.lab import SETTINGS, Lab
from helpers.s3 import ACCESS_KEY, REGION, SECRET_KEY, s3_command

IMAGE = "registry.example/team/stage@sha256:" + "1" * 64
WORKER = "registry.example/team/worker@sha256:" + "2" * 64
BUCKET = "lab"


def s3_server(folder: Path) -> Server:
    """A server of objects on a port of its own, so that it can be stopped and started again."""
    (folder / "buckets" / BUCKET).mkdir(parents=True)
    at = f"127.0.0.1:{free_port()}"
    return Server("s3", s3_command(folder / "buckets", at, folder / "cache"), folder, {"HOME": str(folder)})


def endpoint_of(server: Server) -> str:
    argv = list(server.argv)
    return f"http://{argv[argv.index('--addr') + 1]}"


def answers(url: str) -> bool:
    host, _, port = url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=1):
        return True


@dataclass(kw_only=True)
class ClusterLab(Lab):
    """kubeconfig, endpoint: as the controllers get them; a test may put a proxy there."""

    cluster: Cluster
    namespace: str
    s3: Server
    pods: LocalPods
    settings: KubernetesSettings
    kubeconfig: Path
    endpoint: str
    errors: list[BaseException] = field(default_factory=list)
    image: str = IMAGE

    @classmethod
    def on(cls, cluster: Cluster, namespace: str, root: Path, s3: Server, launcher: Path) -> ClusterLab:
        """AWS's variables are set to reach ``s3``."""
        base = Lab.create(root)
        env = {name: os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")}
        (root / "pods").mkdir()
        pods = LocalPods(cluster.api, namespace, launcher, root / "pods", env)
        settings = KubernetesSettings(
            namespace=namespace, worker_image=WORKER, refresh_seconds=0.2, flush_seconds=0.2, stuck_seconds=20
        )
        return cls(
            root=base.root,
            work=base.work,
            cluster=cluster,
            namespace=namespace,
            s3=s3,
            pods=pods,
            settings=settings,
            kubeconfig=cluster.kubeconfig,
            endpoint=env["AWS_ENDPOINT_URL"],
        )

    # ------------------------------------------------------------------------------------------------- controllers

    @property
    def url(self) -> str:
        return f"s3://{BUCKET}/data"

    @property
    def remote(self) -> dict[str, str]:
        return {"endpointurl": self.endpoint, "region": REGION}

    @cached_property
    def store(self) -> ObjectStore:
        return open_store(self.url, {**self.remote, "endpointurl": endpoint_of(self.s3)})

    @contextmanager
    def controller(
        self, settings: ControllerSettings = SETTINGS, *, mailer: Mailer | None = None, cores: int = 2
    ) -> Iterator[Controller]:
        """A controller in this process, with a clone and an executor of its own."""
        origin = str(self.root / "origin.git")
        executor = KubernetesExecutor(
            replace(self.settings, store_url=self.url, store_options=self.remote, repository=origin),
            kubeconfig=str(self.kubeconfig),
        )
        git, lock = open_clone(self.root / "cache", origin)
        site = Site(git=git, store=open_store(self.url, self.remote), executor=executor, origin=origin)
        with lock:
            try:
                yield Controller(site, settings, mailer=mailer, say=self.log.append)
            finally:
                executor.close()

    @contextmanager
    def serving(self, settings: ControllerSettings = SETTINGS, *, mailer: Mailer | None = None) -> Iterator[Controller]:
        """A controller that works in a thread while the block runs. What ended it is in ``errors``."""
        stop = threading.Event()
        with self.controller(settings, mailer=mailer) as controller:

            def run() -> None:
                try:
                    serve(controller, once=False, stop=stop)
                except BaseException as error:
                    self.errors.append(error)

            thread = threading.Thread(target=run, name="controller")
            thread.start()
            try:
                yield controller
            finally:
                stop.set()
                thread.join(60)
        assert not self.errors

    def process(self, *more: str, mail: str = "") -> subprocess.Popen[bytes]:
        """The real command, in a process that a test may kill. mail: URL of a sink."""
        config = self.root / "controller.toml"
        config.write_text(
            f'[controller]\npoll_seconds = 0.5\n[executor]\nkind = "kubernetes"\n[mail]\nhost = "{mail}"\n'
            f'[kubernetes]\nnamespace = "{self.namespace}"\nworker_image = "{WORKER}"\n'
            f"refresh_seconds = 0.2\nflush_seconds = 0.2\n"
            f'[remote]\nendpointurl = "{self.endpoint}"\nregion = "{REGION}"\n'
        )
        command = [sys.executable, "-m", "gitdata", "controller", "--repo", str(self.origin.path)]
        command += ["--remote", self.url, "--config", str(config), "--kubeconfig", str(self.kubeconfig), *more]
        with (self.root / "controller.log").open("ab") as log:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=log)

    def through(self, server: str) -> None:
        """Controllers that begin from now on reach the API server at this URL (of a proxy, in plain http)."""
        content = json.loads(self.cluster.kubeconfig.read_text())
        content["clusters"][0]["cluster"] = {"server": server}
        self.kubeconfig = self.root / "kubeconfig"
        self.kubeconfig.write_text(json.dumps(content))

    # ------------------------------------------------------------------------------------------------- what is there

    def wait(self, what: str, check: Any, seconds: float = 60) -> Any:
        """Wait until something is so; fails at once if a controller in this process has ended."""

        def now() -> Any:
            if self.errors:
                raise RuntimeError(f"the controller ended while waiting for {what}") from self.errors[0]
            return check()

        try:
            return eventually(what, now, seconds=seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\nthe controller said: {self.log}") from error

    def published(self, commit: str, branch: str = "main", seconds: float = 90) -> None:
        """Wait until the outputs of a commit are published."""
        self.wait(
            f"the outputs of {commit[:12]}",
            lambda: published_source(self.origin, self.tip(branch)) == commit,
            seconds,
        )

    def jobs(self) -> list[Object]:
        return self.cluster.api.list(f"/apis/batch/v1/namespaces/{self.namespace}/jobs")

    def pod_objects(self) -> list[Object]:
        return self.cluster.api.list(f"/api/v1/namespaces/{self.namespace}/pods")

    def active(self) -> list[str]:
        """Pods that are not at their end."""
        return [
            p["metadata"]["name"]
            for p in self.pod_objects()
            if p["status"].get("phase") not in ("Succeeded", "Failed") or "deletionTimestamp" in p["metadata"]
        ]

    # ------------------------------------------------------------------------------------------- commands that wait

    @property
    def gate(self) -> Path:
        """Commands of ``held`` go on when this exists; the one folder that all pods here share."""
        return Path("/dev/shm", self.namespace)

    @property
    def diary(self) -> Path:
        """Where commands of ``held`` write a line each time they begin."""
        return self.gate.with_suffix(".diary")

    def held(self, name: str = "held", script: str = "cp /pfs/in/* /pfs/out/", **more: Any) -> None:
        """A stage whose commands say that they began, wait for the gate, and then do ``script``."""
        waits = f"echo $GITDATA_DATUM_ID >> {self.diary}; while ! test -e {self.gate}; do sleep 0.2; done"
        self.stage(name, f"{waits}\n{script}", parallelism_spec={"constant": 2}, **more)

    def begun(self) -> list[str]:
        """The datums whose commands have begun, as often as they did."""
        return self.diary.read_text().split() if self.diary.exists() else []

    def holding(self, count: int, seconds: float = 60) -> list[str]:
        """Wait until so many commands have begun; the names of all pods so far."""
        self.wait(f"{count} commands", lambda: len(self.begun()) >= count, seconds)
        return list(self.pods.all)

    def tidy(self) -> None:
        """No orphans: nothing runs, every Job left has a time limit, every pod left belongs to such a Job."""

        def clean() -> bool:
            jobs = self.jobs()
            lasting = [j["metadata"]["name"] for j in jobs if "ttlSecondsAfterFinished" not in j["spec"]]
            owners = {j["metadata"]["uid"] for j in jobs}
            strays = [p for p in self.pod_objects() if p["metadata"]["ownerReferences"][0]["uid"] not in owners]
            assert not self.active(), f"pods still run: {self.active()}"
            assert not lasting, f"Jobs without a time limit: {lasting}"
            assert not strays, f"pods without a Job: {[p['metadata']['name'] for p in strays]}"
            assert not self.pods.running, f"processes of pods are left: {list(self.pods.running)}"
            return True

        self.wait("a tidy namespace", clean)

    def once(self, commit: str, branch: str = "main") -> None:
        """No effect twice: one output commit, one note a run, one result record a run, one result a datum."""
        shas = self.origin.text("rev-list", "--first-parent", f"gitdata/{branch}").split()
        sources = Counter(published_source(self.origin, sha) for sha in shas)
        assert sources[commit] == 1, sources
        notes = read_notes(self.origin, self.origin.refs(NOTES_REF).get(NOTES_REF), [commit])
        lines = notes.get(commit, b"").splitlines()
        states = self.states(branch)
        made = [name for name, state in states.items() if state == "success"]
        assert len(lines) == len(set(lines)) >= len(made), lines
        assert not [datum for datum, count in self.results().items() if count > 1], self.index()

    def index(self) -> dict[str, Any]:
        """What each object of the datum index says, as text for people."""
        keys = [info.key for info in self.store.list("gitdata/v1/main/datums/")]
        return {key: self.store.read(key).decode(errors="replace") for key in keys}

    def results(self) -> Counter[str]:
        """Datum id -> how many results of it count: those in packs that no pack replaces, and in segments beside."""
        found = {}
        for info in self.store.list("gitdata/v1/main/datums/"):
            name = index_name(info.key)
            if name is not None:
                found[name] = parse_index(self.store.read(info.key), info.key)
        replaced = {name for one in found.values() for name in one.replaces}
        counted: Counter[str] = Counter()
        for name, one in found.items():
            if name not in replaced:
                counted.update(r.datum for r in one.results)
        return counted

    def records(self, kind: str) -> list[Object]:
        """All run records of a kind, as their JSON."""
        found = [json.loads(self.store.read(i.key)) for i in self.store.list("gitdata/v1/main/runs/")]
        return [record for record in found if record["kind"] == kind]


def environment(server: Server) -> dict[str, str]:
    """What an S3 client needs to find the server, in AWS's own variables."""
    return {
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": endpoint_of(server),
    }
