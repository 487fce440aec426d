"""How many nodes would take a stage's pods, for ``parallelism_spec.coefficient``. Asked before a Job is made.

The cluster is asked once a minute for all stages together. A controller that may not list nodes (it is the one thing
that needs a ClusterRole) counts one and says so once: fewer workers are slower, and never wrong.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from gitdata.backends.kube import Kube, KubeError, Object
from gitdata.text import printable

_SECONDS = 60.0


def to_stderr(text: str) -> None:
    sys.stderr.write(f"{printable(text)}\n")


class Nodes:
    """The cluster's nodes. say: told what people should know."""

    def __init__(self, kube: Kube, say: Callable[[str], None]) -> None:
        self._kube, self._say = kube, say
        self._lock = threading.Lock()
        self._known: list[Object] | None = None
        self._read: float | None = None
        self._told = False

    def count(self, selector: Mapping[str, str], tolerations: Iterable[Mapping[str, Any]]) -> int:
        """Nodes that are ready and take pods with this selector and these tolerations. Raises KubeError."""
        found = self._nodes()
        tolerated = list(tolerations)
        return 1 if found is None else sum(takes(node, selector, tolerated) for node in found)

    def _nodes(self) -> list[Object] | None:
        with self._lock:
            if self._read is None or time.monotonic() - self._read >= _SECONDS:
                try:
                    self._known = self._kube.find("nodes")
                except KubeError as error:
                    if error.status != 403:
                        raise
                    self._known = None
                    if not self._told:
                        self._say(
                            "the nodes cannot be counted, so a parallelism coefficient is of one node: " + str(error)
                        )
                    self._told = True
                self._read = time.monotonic()
            return self._known


def takes(node: Object, selector: Mapping[str, str], tolerations: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a node is ready and would take a pod, as far as labels and taints say."""
    spec, labels = node.get("spec") or {}, node["metadata"].get("labels") or {}
    conditions = (node.get("status") or {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    if spec.get("unschedulable") or not ready or any(labels.get(key) != value for key, value in selector.items()):
        return False
    hard = [taint for taint in spec.get("taints") or [] if taint.get("effect") in ("NoSchedule", "NoExecute")]
    return all(any(_tolerates(one, taint) for one in tolerations) for taint in hard)


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    key, effect = toleration.get("key") or "", toleration.get("effect") or ""
    if effect and effect != taint.get("effect"):
        return False
    if toleration.get("operator") == "Exists":
        return not key or key == taint.get("key")
    return bool(key == taint.get("key") and (toleration.get("value") or "") == (taint.get("value") or ""))
