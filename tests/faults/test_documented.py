"""docs/faults.md names every test of faults, and no test that does not exist."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "faults.md"


def made(files: Iterable[Path]) -> set[str]:
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE)}


def named(part: str) -> set[str]:
    rows = [line for line in part.splitlines() if line.startswith("| ")]
    return {name for row in rows[1:] for name in re.findall(r"`(test_\w+)`", row.split(" | ")[-1])}


def test_the_table_and_the_tests_are_the_same() -> None:
    cluster, loop = DOCUMENT.read_text().split("\n## The loop\n")
    assert named(cluster) == made(HERE.glob("test_kubernetes_*.py"))
    assert named(loop)
    assert named(loop) - made(HERE.parent.glob("**/test_*.py")) == set()
