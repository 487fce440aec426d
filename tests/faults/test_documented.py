"""docs/faults.md names every test of faults, and no test that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

HERE = Path(__file__).parent
DOCUMENT = HERE.parents[1] / "docs" / "faults.md"


def test_the_table_and_the_tests_are_the_same() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")]
    named = {name for row in rows[1:] for name in re.findall(r"`(test_\w+)`", row.split(" | ")[-1])}
    made: set[str] = set()
    for file in HERE.glob("test_kubernetes_*.py"):
        made.update(re.findall(r"^def (test_\w+)", file.read_text(), re.MULTILINE))
    assert named - made == set()
    assert made - named == set()
