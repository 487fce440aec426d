"""The tests' own executor keeps the promises of the Protocol, as those of the product do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from executors.bench import Bench
from executors.conformance import Conformance
from helpers.memory import MemoryExecutor, Sandboxed


@pytest.fixture
def executor(bench: Bench, tmp_path: Path) -> Iterator[MemoryExecutor]:
    made = MemoryExecutor(Sandboxed(bench.url, tmp_path / "memory"), threads=True)
    yield made
    made.close()


class TestMemoryConformance(Conformance):
    """Every promise of the Protocol."""
