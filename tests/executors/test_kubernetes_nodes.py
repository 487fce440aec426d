"""Which nodes count for a coefficient, from their dictionaries and from a cluster that may refuse to tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from cluster import testbed
from executors import manifests
from gitdata.executors.kubernetes import KubernetesExecutor
from gitdata.executors.kubernetes_nodes import takes
from gitdata.model import Parallelism


def node(ready: str = "True", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
    return {"metadata": {"labels": labels or {}}, "spec": spec, "status": {"conditions": conditions}}


TAINT = {"key": "gpu", "value": "yes", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("one", "selector", "toleration", "expected"),
    [
        (node(), {}, None, True),
        (node("False"), {}, None, False),
        (node("Unknown"), {}, None, False),
        (node(unschedulable=True), {}, None, False),
        (node(labels={"pool": "a"}), {"pool": "a"}, None, True),
        (node(labels={"pool": "b"}), {"pool": "a"}, None, False),
        (node(taints=[TAINT]), {}, None, False),
        (node(taints=[{**TAINT, "effect": "PreferNoSchedule"}]), {}, None, True),
        (node(taints=[TAINT]), {}, {"key": "gpu", "operator": "Exists"}, True),
        (node(taints=[TAINT]), {}, {"operator": "Exists"}, True),
        (node(taints=[TAINT]), {}, {"key": "gpu", "value": "yes", "effect": "NoSchedule"}, True),
        (node(taints=[TAINT]), {}, {"key": "gpu", "value": "no"}, False),
        (node(taints=[TAINT]), {}, {"key": "gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        (node(taints=[TAINT, {**TAINT, "key": "x"}]), {}, {"key": "gpu", "operator": "Exists"}, False),
    ],
)
def test_which_nodes_take_a_pod(
    one: dict[str, Any], selector: dict[str, str], toleration: dict[str, str] | None, expected: bool
) -> None:
    assert takes(one, selector, [toleration] if toleration else []) is expected


@pytest.mark.cluster
def test_workers_by_nodes(control_cluster: testbed.Cluster) -> None:
    space = control_cluster.namespace(f"jobs-{uuid4().hex[:8]}")
    settings = replace(manifests.SETTINGS, namespace=space)
    executor = KubernetesExecutor(settings, kubeconfig=str(control_cluster.kubeconfig))
    ready = sum(takes(node, {}, []) for node in control_cluster.api.list("/api/v1/nodes"))
    assert ready >= 1
    assert executor.workers(replace(manifests.PLAIN, parallelism=Parallelism(1, 2500))) == 2500 * ready // 1000
    assert executor.workers(replace(manifests.PLAIN, parallelism=Parallelism(3))) == 3
    nowhere = replace(settings, node_selector={"there": "is-none"})
    other = KubernetesExecutor(nowhere, kubeconfig=str(control_cluster.kubeconfig))
    assert other.workers(replace(manifests.PLAIN, parallelism=Parallelism(1, 9000))) == 1
