"""The doorbell: two threads that hear of changed Jobs and of pods that end, so that LISTs can be few.

Made by executors.kubernetes, which asks ``jobs_changed`` and ``pods_changed`` before it answers from what it knows.
Nothing is decided by an event and none is kept: a lost one costs the time until the next LIST, no more. While a watch
is not heard (``healthy`` is False), whoever asks must look by themselves more often.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Container

from gitdata.backends.kube import Kube, KubeError, Object, Watch
from gitdata.executors.kubernetes_status import OF_JOB, is_news

_PAUSE, _LONGEST_PAUSE = 0.2, 30.0
_SHORT = 1.0  # seconds; a watch that ends sooner has not worked


class Doorbell:
    """Changes of the objects that a label selector selects. seconds: how long one watch lasts at most."""

    def __init__(self, kube: Kube, labels: str, *, seconds: float) -> None:
        self._ears = (
            _Ear(kube, "jobs", labels, seconds, self.hear_job),
            _Ear(kube, "pods", labels, seconds, self.hear_pod),
        )
        self._lock = threading.Lock()
        self._begun = False
        self.jobs_changed = 0  # how often
        self.pods_changed: dict[str, int] = {}  # of which job, how often

    def start(self) -> None:
        """Begin to listen; again is no error."""
        with self._lock:
            if not self._begun:
                self._begun = True
                for ear in self._ears:
                    ear.start()

    def close(self) -> None:
        for ear in self._ears:
            ear.close()

    @property
    def healthy(self) -> bool:
        """Whether what changes is heard now."""
        return all(ear.hears for ear in self._ears)

    def forget(self, job: str) -> None:
        self.pods_changed.pop(job, None)

    def keep(self, jobs: Container[str]) -> None:
        """Forget all others: pods of a forgotten job ring once more when their time is over."""
        for job in list(self.pods_changed):
            if job not in jobs:
                self.forget(job)

    def hear_job(self, event: Object | None) -> None:
        self.jobs_changed += 1

    def hear_pod(self, event: Object | None) -> None:
        if event is None:  # what happened meanwhile to pods is seen in their Jobs
            self.jobs_changed += 1
        elif event["type"] == "DELETED" or is_news(event["object"]):
            job = str((event["object"]["metadata"].get("labels") or {}).get(OF_JOB, ""))
            self.pods_changed[job] = self.pods_changed.get(job, 0) + 1


class _Ear:
    """One watch, begun again and again. heard: called with each event, with None where some may have been missed."""

    def __init__(
        self, kube: Kube, kind: str, labels: str, seconds: float, heard: Callable[[Object | None], None]
    ) -> None:
        self._kube, self._kind, self._labels, self._seconds, self._heard = kube, kind, labels, seconds, heard
        self._stop = threading.Event()
        self._watch: Watch | None = None
        self.hears = False

    def start(self) -> None:
        threading.Thread(target=self._listen, name=f"watch of {self._kind}", daemon=True).start()

    def close(self) -> None:
        self._stop.set()
        if self._watch is not None:
            self._watch.end()

    def _listen(self) -> None:
        version, pause = "", _PAUSE
        try:
            while not self._stop.is_set():
                begun = time.monotonic()
                try:
                    version = self._hear(version or self._kube.resource_version(self._kind, labels=self._labels))
                    broken = False
                except (KubeError, KeyError, TypeError):  # gone, refused, too old (410), or no event at all
                    version, broken = "", True
                if time.monotonic() - begun >= _SHORT:
                    pause = _PAUSE
                    if not broken:
                        continue
                self.hears = False
                self._stop.wait(pause * random.uniform(0.5, 1))
                pause = min(_LONGEST_PAUSE, 2 * pause)
        finally:
            self.hears = False

    def _hear(self, version: str) -> str:
        """Follow one watch to its end; the version after it."""
        self._watch = watch = self._kube.watch(self._kind, self._labels, version, seconds=self._seconds)
        if self._stop.is_set():  # ``close`` came before there was something to end
            watch.end()
        if not self.hears:
            self.hears = True
            self._heard(None)
        for event in watch:
            if event["type"] != "BOOKMARK":
                self._heard(event)
            version = str(event["object"]["metadata"]["resourceVersion"])
            if self._stop.is_set():
                break
        return version
