"""The bench of the executors' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from cluster.fixtures import api_cluster, control_cluster, node_cluster
from executors.bench import Bench
from helpers.machine import Repo

__all__ = ["api_cluster", "bench", "control_cluster", "node_cluster"]


@pytest.fixture
def bench(repo: Repo, tmp_path: Path) -> Bench:
    return Bench(repo, tmp_path)
