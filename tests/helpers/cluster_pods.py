"""What a fake kubelet's pods do: the real agent and launcher of each pod as processes of this machine.

``cluster.fake.act = LocalPods(…)``: the environment is the one that the pod's own spec gives the agent, a deleted pod
is stopped as a kubelet stops it, and the exit code of the command's container becomes the pod's. A test may kill any
of the processes, or take all of a node's away at once.
"""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cluster.api import Api, ApiError, Object
from helpers.pods import Pod

_LOOK_SECONDS = 0.2  # between two looks at whether a pod was deleted
_GRACE_SECONDS = 10


@dataclass
class LocalPods:
    """Pods of one namespace. env: of the agent, instead of what the spec says: keys of secrets, the way to S3.

    all: every pod that was begun, in order, by name. began: called with each pod before its command can end.
    deaf: pods whose kubelet does not hear that they were deleted.
    """

    api: Api
    namespace: str
    launcher: Path
    folder: Path
    env: Mapping[str, str] = field(default_factory=dict)
    all: dict[str, Pod] = field(default_factory=dict)
    began: Callable[[str, Pod], None] | None = None
    deaf: set[str] = field(default_factory=set)
    _fates: dict[str, str] = field(default_factory=dict)
    _lost: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, pod: Object) -> str | None:
        if pod["metadata"]["namespace"] != self.namespace:
            return None
        uid = pod["metadata"]["uid"]
        if uid not in self._fates:  # asked again when the answer could not be written down
            self._fates[uid] = self._work(pod)
        return self._fates[uid]

    def _work(self, pod: Object) -> str:
        name, node = pod["metadata"]["name"], pod["spec"]["nodeName"]
        run = Pod(self.launcher, self.folder / pod["metadata"]["uid"], self._environment(pod))
        with self._lock:
            if node in self._lost:
                return "hang"
            run.start()
            self.all[name] = run
        if self.began is not None:
            self.began(name, run)
        assert run.user is not None
        looked = time.monotonic()
        while run.user.poll() is None:
            time.sleep(0.02)
            assert run.agent is not None
            if run.agent.poll() is not None:
                run.start_agent()  # a sidecar is started again in its pod
            if node in self._lost:
                run.kill()
                return "hang"
            if time.monotonic() - looked > _LOOK_SECONDS:
                looked = time.monotonic()
                if name not in self.deaf and self._deleted(pod):
                    stop(run)
                    return "hang"  # the kubelet says the rest
        code = run.wait()
        if node in self._lost:
            return "hang"
        return "oom" if code in (-9, 137) else f"exit {code if code >= 0 else 128 - code} {_words(run)}"

    def _deleted(self, pod: Object) -> bool:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod['metadata']['name']}"
        try:
            now = self.api.get(path)
        except ApiError as error:
            return error.status == 404
        except OSError:
            return False  # the API server is away: a kubelet goes on
        return now["metadata"]["uid"] != pod["metadata"]["uid"] or "deletionTimestamp" in now["metadata"]

    def _environment(self, pod: Object) -> dict[str, str]:
        """The agent's variables as a kubelet makes them."""
        (agent,) = (c for c in pod["spec"]["initContainers"] if c["name"] == "agent")
        notes = pod["metadata"].get("annotations", {})
        env = {}
        for one in agent["env"]:
            source = one.get("valueFrom", {})
            if "secretKeyRef" in source:
                continue  # the keys are in ``env``
            if "fieldRef" in source:
                env[one["name"]] = notes.get(source["fieldRef"]["fieldPath"].partition("['")[2].rstrip("']"), "")
            else:
                env[one["name"]] = one.get("value", "")
        env["TMPDIR"] = str(self.folder)
        options = json.loads(env["GITDATA_STORE_OPTIONS"])
        env["GITDATA_STORE_OPTIONS"] = json.dumps(options | {"endpointurl": self.env["AWS_ENDPOINT_URL"]})
        return {**env, **self.env}

    @property
    def running(self) -> dict[str, Pod]:
        return {name: run for name, run in list(self.all.items()) if run.user is not None and run.user.poll() is None}

    def lose(self, node: str) -> None:
        """A node loses its power: nobody says what becomes of its pods."""
        self._lost.add(node)

    def close(self) -> None:
        with self._lock:
            for run in self.all.values():
                run.kill()


def stop(run: Pod) -> None:
    """As a kubelet ends a pod: the command's container first, then the sidecar."""
    assert run.user is not None
    with suppress(OSError, ValueError):
        children = Path(f"/proc/{run.user.pid}/task/{run.user.pid}/children").read_text().split()
        for child in children:
            subprocess.run(["kill", "-TERM", child], check=False)
    with suppress(subprocess.TimeoutExpired):
        run.user.wait(_GRACE_SECONDS)
    run.user.kill()
    assert run.agent is not None
    run.agent.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        run.agent.wait(_GRACE_SECONDS)
    run.kill()


def _words(run: Pod) -> str:
    """The pod's last words, which a container writes to its termination log."""
    try:
        return (run.work / "ctl" / "end").read_text(errors="replace").partition(" ")[2]
    except OSError:
        return ""
