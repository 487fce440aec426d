"""Drive: carry a commit's stages forward by one step: launch what may start, collect what has ended.

Called by ``loop`` at every turn and by ``gitdata run``. Holds which job is active per stage key, so that two runs of
one stage never do the same datums side by side; the rest is asked of the executor and the store each time.
"""

from __future__ import annotations

from collections.abc import Callable

from gitdata.controller.collect import collect
from gitdata.controller.facts import Facts, Survey, Wish
from gitdata.controller.launch import launch
from gitdata.controller.live import Live
from gitdata.controller.plan import StagePlan
from gitdata.controller.site import Site


class Driver:
    """The moving part of one site. clock: milliseconds since the epoch."""

    def __init__(self, site: Site, *, say: Callable[[str], None], clock: Callable[[], int]) -> None:
        self.site, self.say, self.clock = site, say, clock
        self.facts = Facts(site)
        self.live = Live(site, clock)
        self._active: dict[str, str] = {}

    def advance(self, wish: Wish) -> Survey:
        """Do all that can be done for a commit now; the survey that is left. Raises GitdataError."""
        survey = self.facts.survey(wish)
        while self._step(survey):
            survey = self.facts.survey(wish)
        self.live.write()
        return survey

    def _step(self, survey: Survey) -> bool:
        """True if a result was written, so that the survey is old."""
        for plan in survey.plans.values():
            if plan.state != "run":
                continue
            status = self.site.executor.status(plan.job)
            ended = status is not None and status.state in ("succeeded", "failed")
            if (ended or not plan.todo) and collect(self.site, self.facts, survey, plan, status, now=self.clock()):
                return True
            if status is None and plan.todo and self._may_start(plan):
                self.say(f"{plan.stage.name}: start {plan.job}: {plan.why}")
                launch(self.site, survey, plan, now=self.clock())
                self._active[plan.stage_key] = plan.job
                self.live.add(plan)
        return False

    def _may_start(self, plan: StagePlan) -> bool:
        """One active job per stage key, and not before the backoff of a failed attempt is over."""
        other = self._active.get(plan.stage_key)
        status = self.site.executor.status(other) if other else None
        if other != plan.job and status is not None and status.state in ("pending", "running"):
            return False
        return self.clock() >= plan.not_before
