"""Attempts: whether a run that failed is tried again, when, and how many attempts it has. Pure.

Called by ``plan.decide``. Stages that share image, command and input share a run, but each has its own execution key
(tries, limits, resources): a failure counts for the key that made it, so that none inherits what another asked for.
Only the bound counts all of them: whatever fails, and whoever asks, a run ends.
"""

from __future__ import annotations

from dataclasses import replace

from gitdata.formats.records import History, RunRecord

ATTEMPTS = 5  # of a run for one source commit, whatever the cause
INFRASTRUCTURE_ATTEMPTS = 3  # of those, that one execution key may lose to the machine or the network
LONGEST_BACKOFF_MS = 300_000
SUPERSEDED = "superseded"  # cause of a run that was given up for a newer commit: no other is kept from it
_BACKOFF_MS = 2_000


def failure_of(history: History, execution: str) -> tuple[str, RunRecord] | None:
    """The last failure of an execution key; of the run, if that key has none."""
    return _own(history, execution).last_failure or history.last_failure


def why_stopped(history: History, execution: str, commit: str, retried: frozenset[str]) -> str:
    """Why a run that failed is not tried again for an execution key of a source commit, or ""."""
    failed = failure_of(history, execution)
    if failed is None:
        return ""
    record = failed[1]
    made = {r.job for _, r in history.failures if r.commit == commit}
    if len(made) >= ATTEMPTS:
        return f"{record.job} failed: {record.message} ({len(made)} attempts are the most for one commit: push another)"
    if record.execution_key != execution or record.job in retried:
        return ""
    if record.cause == SUPERSEDED and record.commit != commit:
        return ""
    if record.cause != "infrastructure":
        return f"{record.job} failed: {record.message}"
    lost = _lost(history, execution, commit)
    return f"{len(lost)} attempts failed: {record.message}" if len(lost) >= INFRASTRUCTURE_ATTEMPTS else ""


def not_before(history: History, execution: str, commit: str) -> int:
    """When the next attempt may begin, in milliseconds: later after each one that the machine or network failed."""
    lost = _lost(history, execution, commit)
    if not lost:
        return 0
    return max(lost.values()) + min(LONGEST_BACKOFF_MS, _BACKOFF_MS << min(len(lost) - 1, 20))


def _own(history: History, execution: str) -> History:
    return replace(history, failures=tuple(item for item in history.failures if item[1].execution_key == execution))


def _lost(history: History, execution: str, commit: str) -> dict[int, int]:
    """Attempt -> when it failed by no fault of the user's. Two controllers may have recorded one attempt."""
    own = (record for _, record in _own(history, execution).failures)
    return {r.attempt: r.time for r in own if r.cause == "infrastructure" and r.commit == commit}
