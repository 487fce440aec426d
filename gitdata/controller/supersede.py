"""Supersede: which runs of a commit in progress are given up because a newer commit waits that does not want them.

Called by ``loop`` at a turn that leaves a commit unfinished while a newer one is pending. What moves is let alone, so
that a stream of pushes starves no stage.
"""

from __future__ import annotations

from collections.abc import Callable

from gitdata.bounded import Bounded
from gitdata.controller.attempts import SUPERSEDED
from gitdata.controller.collect import give_up
from gitdata.controller.drive import Driver
from gitdata.controller.facts import Survey, Wish
from gitdata.controller.plan import StagePlan

_MOST = 10_000
_ASK_AGAIN_MS = 30_000
_NOTHING_RUNS_MS = 60_000  # a job that has not begun in that time may never


class Supersede:
    """after_ms: for how long a job's datums may make no progress."""

    def __init__(self, driver: Driver, after_ms: int, clock: Callable[[], int]) -> None:
        self._driver, self._after, self._clock = driver, after_ms, clock
        self._seen: Bounded[str, tuple[tuple[str, int], int]] = Bounded(_MOST)  # job -> (state, datums), since when
        self._newer: dict[str, tuple[Wish, int, Survey]] = {}  # branch -> its newest commit, as it was looked at when

    def give_up(self, survey: Survey, tip: Wish) -> bool:
        """End the runs that stand still and that nobody wants any more; whether there were any."""
        running = {plan.job: plan for plan in survey.plans.values() if plan.state == "run"}
        still = [plan for plan in running.values() if self._stands_still(plan)]
        unwanted = [plan for plan in still if not self._wants(tip, plan)]
        for plan in unwanted:
            words = f"cancelled: superseded by {tip.commit[:12]}"
            site, facts = self._driver.site, self._driver.facts
            give_up(site, facts, survey, plan, words, cause=SUPERSEDED, now=self._clock())
            site.executor.cancel(plan.job)
        return bool(unwanted)

    def _stands_still(self, plan: StagePlan) -> bool:
        executor = self._driver.site.executor
        status = executor.status(plan.job)
        state = status.state if status else ""
        now, marker = self._clock(), (state, executor.progress(plan.job).processed)
        before, since = self._seen.get(plan.job, (marker, now))
        self._seen[plan.job] = (marker, since if before == marker else now)
        limit = self._after if state == "running" else min(self._after, _NOTHING_RUNS_MS)
        return before == marker and now - since >= limit

    def _wants(self, tip: Wish, plan: StagePlan) -> bool:
        """Whether the newer commit wants a run, or may: what a stage that waits will want is not known yet."""
        known = self._newer.get(tip.branch)
        if known is None or known[0] != tip or self._clock() - known[1] >= _ASK_AGAIN_MS:
            known = self._newer[tip.branch] = (tip, self._clock(), self._driver.facts.survey(tip))
        newer = known[2]
        waits = newer.plans.get(plan.stage.name)
        return (
            bool(newer.error)
            or any(other.run_key == plan.run_key for other in newer.plans.values())
            or (waits is not None and waits.state == "waiting")
        )
