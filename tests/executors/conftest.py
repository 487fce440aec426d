"""The bench of the executors' tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from executors.bench import Bench
from helpers.machine import Repo


@pytest.fixture
def bench(repo: Repo, tmp_path: Path) -> Bench:
    return Bench(repo, tmp_path)
