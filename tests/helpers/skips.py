"""What was not tested, in five lines at the end of a run: the skipped tests by kind. ``-rs`` lists every one.

The reason of a skip begins with its kind and a colon: "Kubernetes: not built here; `make test-cluster` builds it".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

LINES = 5


def summary(reasons: Iterable[str]) -> list[str]:
    """At most ``LINES`` lines, the kind with most tests first."""
    kinds: dict[str, Counter[str]] = {}
    for reason in reasons:
        kind, _, why = reason.partition(": ")
        kinds.setdefault(kind, Counter())[" ".join(why.split())] += 1
    rows = sorted(((whys.total(), kind, whys) for kind, whys in kinds.items()), key=lambda row: (-row[0], row[1]))
    shown = rows if len(rows) <= LINES else rows[: LINES - 1]
    lines = [f"{kind}: {_tests(count)}; {_reason(whys)}".removesuffix("; ") for count, kind, whys in shown]
    if rest := rows[len(shown) :]:
        lines.append(f"{', '.join(kind for _, kind, _ in rest)}: {_tests(sum(count for count, _, _ in rest))}")
    return lines


def _tests(count: int) -> str:
    return f"{count} test{'' if count == 1 else 's'}"


def _reason(whys: Counter[str]) -> str:
    (why, _), *others = whys.most_common()
    return f"{why} ({len(others)} more reasons)" if len(others) > 1 else f"{why} (1 more reason)" if others else why


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Before the list of what failed and pytest's own last line."""
    reports = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2].removeprefix("Skipped: ") for report in reports if isinstance(report.longrepr, tuple)]
    if reasons:
        terminalreporter.section("not tested on this machine (-rs lists every test)")
        for line in summary(reasons):
            terminalreporter.line(line)
