"""Drive: carry a commit's stages forward by one step: launch what may start, collect what has ended.

Called by ``loop`` at every turn and by ``gitdata run``. Holds which job is active per stage key, so that two runs of
one stage never do the same datums side by side; the rest is asked of the executor and the store each time.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from gitdata.bounded import Bounded
from gitdata.controller.collect import collect, give_up
from gitdata.controller.facts import Facts, Survey, Wish
from gitdata.controller.launch import launch, withdraw
from gitdata.controller.live import Live
from gitdata.controller.plan import LONGEST_BACKOFF_MS, StagePlan
from gitdata.controller.site import Site
from gitdata.errors import InvalidInputError
from gitdata.identity import run_of_job

_MOST_RUNS = 100_000


class Driver:
    """The moving part of one site. clock: milliseconds since the epoch."""

    def __init__(self, site: Site, *, say: Callable[[str], None], clock: Callable[[], int]) -> None:
        self.site, self.say, self.clock = site, say, clock
        self.facts = Facts(site)
        self.live = Live(site, clock)
        self._active: dict[str, str] = {}
        self._runs: Bounded[str, str] = Bounded(_MOST_RUNS)  # job -> run key, of those that ran
        self._told: set[str] = set()
        self._last: dict[str, Survey] = {}

    def advance(self, wish: Wish) -> Survey:
        """Do all that can be done for a commit now; the survey that is left. Raises GitdataError."""
        last = self._last.pop(wish.branch, None)
        believed = self._believed(last) if last and last.wish == wish else None
        survey = self.facts.survey(wish, believed)
        while True:
            if self._step(survey):
                believed = self._believed(survey)
            elif survey.terminal and believed:
                believed = None  # before anything is published, every byte is asked for once more
            else:
                break
            survey = self.facts.survey(wish, believed)
        if not survey.terminal:
            self._last[wish.branch] = survey
        for key in sorted(self.facts.damaged - self._told):
            self.say(f"{key} on the data remote is damaged: it is left out; delete it")
        self._told |= self.facts.damaged
        self.live.write()
        return survey

    def _believed(self, survey: Survey) -> Survey:
        """The part of a survey that needs no second look while its commit is in progress: what has ended or is running.

        Without it, a commit of many stages would have all of its results proven again for each stage that ends.
        """
        plans = {name: plan for name, plan in survey.plans.items() if plan.terminal or self._is_active(plan.job)}
        return replace(survey, plans=plans)

    def _is_active(self, job: str) -> bool:
        status = self.site.executor.status(job) if job else None
        return status is not None and status.state in ("pending", "running")

    def _step(self, survey: Survey) -> bool:
        """True if a result was written, so that the survey is old."""
        for plan in survey.plans.values():
            if plan.state != "run":
                continue
            self._runs[plan.job] = plan.run_key
            if run_of_job(plan.job) in survey.wish.cancelled:
                # The record first: a controller that is killed in between leaves a job that no plan wants any more.
                give_up(self.site, self.facts, survey, plan, "it was cancelled by a request", now=self.clock())
                self.site.executor.cancel(plan.job)
                return True
            status = self.site.executor.status(plan.job)
            ended = status is not None and status.state in ("succeeded", "failed")
            if status is not None:  # also if it has ended: whoever showed it may be gone
                self.live.add(plan)
            if status is not None and not ended:  # also one that was adopted
                self._active.setdefault(plan.stage_key, plan.job)
            if (ended or not plan.todo) and collect(self.site, self.facts, survey, plan, status, now=self.clock()):
                return True
            if status is None and plan.todo and self._may_start(plan):
                self.say(f"{plan.stage.name}: start {plan.job}: {plan.why}")
                launch(self.site, survey, plan, now=self.clock())
                self._active[plan.stage_key] = plan.job
                self.live.add(plan)
        return False

    def withdraw(self, job: str) -> None:
        """Record that no commit wants a job that is to be cancelled and forgotten. That is no failed attempt."""
        with suppress(InvalidInputError):  # of a newer gitdata, say: then people are not told
            withdraw(self.site, job, self._runs.get(job, ""), now=self.clock())

    def _may_start(self, plan: StagePlan) -> bool:
        """One active job per stage key, and not before the backoff of a failed attempt is over."""
        other = self._active.get(plan.stage_key, "")
        if other != plan.job and self._is_active(other):
            return False
        wait = plan.not_before - self.clock()
        return wait <= 0 or wait > LONGEST_BACKOFF_MS  # the record is of a clock that was ahead of this one
