"""Pods without Kubernetes: agent and launcher as two processes with a shared folder, the command in a root of its own.

``PodExecutor`` answers the Protocol with them, so that the conformance suite holds both to the same promises as any
executor: everything of a pod but the kubelet.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.backends.stores import open_store
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Job, Progress, workers_on
from gitdata.executors.live import read_shards
from gitdata.model import Environment, JobStatus, Stage

SOURCE = Path(__file__).parents[2] / "stage-images" / "worker" / "launcher.c"
_SYSTEM = ("bin", "dev", "etc", "lib", "lib32", "lib64", "proc", "sbin", "usr")
# Process 1 of a pid namespace, in a root that has the system's programs and the volume's folders: $1 root, $2 work.
_CONTAINER = """
mount -t tmpfs none "$1"
for name in SYSTEM; do
  if [ -L "/$name" ]; then cp -P "/$name" "$1/$name"
  elif [ -d "/$name" ]; then mkdir "$1/$name"; mount --rbind "/$name" "$1/$name"; fi
done
umount -l "$1/proc" && mount -t proc proc "$1/proc"
mkdir "$1/pfs" "$1/tmp" "$1/gitdata" "$1/gitdata-bin"
mount --bind "$2/pfs" "$1/pfs"
mount --bind "$2/tmp" "$1/tmp"
mount --bind "$2/ctl" "$1/gitdata"
mount --bind "$2/bin" "$1/gitdata-bin"
exec chroot "$1" /gitdata-bin/launch run /gitdata "$3"
""".replace("SYSTEM", " ".join(_SYSTEM))
_IMAGE = {
    "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "OF_THE_IMAGE": "yes",
}
_CLUSTER = {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}


def compile_launcher(folder: Path) -> Path:
    """The launcher as the worker image has it."""
    made = folder / "launcher"
    command = ["gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o", str(made), str(SOURCE)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return made


@dataclass
class Pod:
    """One try at one shard. env: the agent's. A test may kill or pause either process."""

    launcher: Path
    work: Path
    env: Mapping[str, str]
    beat_seconds: int = 60
    agent: subprocess.Popen[bytes] | None = None
    user: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """The agent's."""
        return self.work.with_suffix(".log")

    def start(self) -> None:
        (self.work / "bin").mkdir(parents=True)
        folders = [str(self.work / name) for name in ("pfs", "tmp", "ctl")]
        subprocess.run([self.launcher, "install", str(self.work / "bin" / "launch"), *folders], check=True)
        self.start_agent()
        (self.work / "root").mkdir()
        spaces = ["--mount", "--pid", "--fork", "--kill-child", *(["--map-root-user"] if os.geteuid() else [])]
        self.user = subprocess.Popen(
            ["unshare", *spaces, "sh", "-ec", _CONTAINER, "sh", self.work / "root", self.work, str(self.beat_seconds)],
            env={**_IMAGE, **_CLUSTER},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    def start_agent(self) -> None:
        with self.log.open("a") as log:
            self.agent = subprocess.Popen(
                [sys.executable, "-P", "-X", "utf8", "-m", "gitdata.worker.agent"],
                env={**os.environ, **self.env, "GITDATA_WORK": str(self.work)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def wait(self, seconds: float = 60) -> int:
        """The exit code of the user's container; the agent is then asked to end, as a kubelet does."""
        assert self.user is not None
        assert self.agent is not None
        code = self.user.wait(seconds)
        self.agent.terminate()
        self.agent.wait(seconds)
        return code

    def kill(self) -> None:
        for process in (self.user, self.agent):
            if process is not None:
                process.kill()
                process.wait()


@dataclass
class _Running:
    job: Job
    status: JobStatus
    pods: list[Pod] = field(default_factory=list)
    events: list[dict[str, int]] = field(default_factory=list)
    cancelled: bool = False
    thread: threading.Thread | None = None


class PodExecutor:
    """Plays the cluster: a pod for each shard, tried three times."""

    name = "pods"

    def __init__(self, launcher: Path, store: str, folder: Path) -> None:
        self._launcher, self._store, self._folder = launcher, store, folder
        self._jobs: dict[str, _Running] = {}
        self._lock = threading.Lock()
        self._pods = 0

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        if stage.transform.secrets:
            raise InvalidInputError("no secret is known here")
        return Environment("oci:sha256:" + "0" * 64, stage.transform.image)

    def workers(self, stage: Stage) -> int:
        return workers_on(stage, 1)

    def start(self, job: Job, git: Git) -> None:
        with self._lock:
            if job.name in self._jobs:
                return
            running = self._jobs[job.name] = _Running(job, JobStatus("pending"))
            running.thread = threading.Thread(target=self._run, args=(running,), daemon=True)
            running.thread.start()

    def _run(self, running: _Running) -> None:
        job, codes = running.job, []
        running.status = JobStatus("running")
        limit = job.stage.job_timeout_ms / 1000
        timer = threading.Timer(limit or 3600, lambda: self._stop(running, f"job_timeout ({limit:g} s)", mine=False))
        timer.start()
        for shard in range(job.shards):
            for tried in range(3):
                code = -1 if running.cancelled else self._shard(running, shard, tried)
                if code in (-1, 0, 1):
                    break
            codes.append(code)
        timer.cancel()
        if not running.cancelled:
            bad = [code for code in codes if code not in (0, 1)]
            running.status = (
                JobStatus("failed", f"exit code {bad[0]}", infrastructure=True) if bad else JobStatus("succeeded")
            )

    def _shard(self, running: _Running, shard: int, tried: int) -> int:
        env = {
            "GITDATA_STORE": self._store,
            "GITDATA_ZONE": running.job.zone,
            "GITDATA_PLAN": running.job.plan,
            "GITDATA_SHARDS": str(running.job.shards),
            "GITDATA_FAILURES": str(tried),
            "GITDATA_LIVE_SECONDS": "0.2",
            "JOB_COMPLETION_INDEX": str(shard),
        }
        with self._lock:
            self._pods += 1
            pod = Pod(self._launcher, self._folder / f"pod{self._pods}", env)
            if running.cancelled:
                return -1
            pod.start()
            running.pods.append(pod)
        code = pod.wait()
        running.events += [json.loads(line) for line in pod.log.read_text().splitlines() if line.startswith("{")]
        return code

    def _stop(self, running: _Running, message: str, *, mine: bool) -> None:
        with self._lock:
            if running.status.state in ("pending", "running"):
                running.cancelled, running.status = True, JobStatus("failed", message, infrastructure=mine)
            for pod in running.pods:
                if pod.user is not None:
                    pod.user.kill()

    def status(self, name: str) -> JobStatus | None:
        return self._jobs[name].status if name in self._jobs else None

    def progress(self, name: str) -> Progress:
        if name not in self._jobs:
            return Progress()
        running = self._jobs[name]
        found = Progress(total=running.job.datums)
        for event in running.events:
            found = replace(
                found,
                processed=found.processed + 1,
                failed=found.failed + event["failed"],
                recovered=found.recovered + event["recovered"],
                bytes_down=max(found.bytes_down, event["down"]),
                bytes_up=max(found.bytes_up, event["up"]),
            )
        told = read_shards(open_store(self._store), running.job.zone, name).values()
        return replace(found, processed=max(found.processed, sum(shard.processed for shard in told)))

    def jobs(self) -> dict[str, JobStatus]:
        return {name: running.status for name, running in self._jobs.items()}

    def commit(self, name: str) -> str:
        return ""

    def lost(self) -> set[str]:
        return set()

    def is_foreign(self, name: str) -> bool:
        return False

    def cancel(self, name: str) -> None:
        if name in self._jobs:
            self._stop(self._jobs[name], "cancelled", mine=True)

    def forget(self, name: str) -> None:
        if name in self._jobs and self._jobs[name].status.state in ("succeeded", "failed"):
            del self._jobs[name]

    def close(self) -> None:
        for running in list(self._jobs.values()):
            self._stop(running, "the controller ended", mine=True)
            if running.thread is not None:
                running.thread.join()
