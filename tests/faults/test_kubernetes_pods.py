"""Pods that end as they should not: the right result comes all the same, or the failure with its cause."""

from __future__ import annotations

import pytest

from helpers.cluster_lab import ClusterLab

pytestmark = pytest.mark.cluster
COPY = "cp /pfs/in/* /pfs/out/"
# Runs until the test lets it end, by a file in the folder that only this pod sees.
HELD = f"touch /pfs/out/begun; while ! test -e /tmp/go; do sleep 0.05; done; rm /pfs/out/begun; {COPY}"


def test_without_a_fault(lab: ClusterLab) -> None:
    """What the others are measured by."""
    for name in "abc":
        lab.work.write(f"in/{name}", name)
    lab.stage("copy", COPY)
    commit = lab.push("stages")
    with lab.serving():
        lab.published(commit)
        lab.tidy()
    assert lab.files("copy") == {"a": "a", "b": "b", "c": "c"}
    lab.once(commit)
    assert len(lab.results()) == 3
