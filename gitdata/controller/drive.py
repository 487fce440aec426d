"""Drive: carry a commit's stages forward by one step: launch what may start, collect what has ended.

Called by ``loop`` at every turn and by ``gitdata run``. Holds which job is active per stage key, so that two runs of
one stage never do the same datums side by side; the rest is asked of the executor and the store each time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import replace

from gitdata.bounded import Bounded
from gitdata.controller.attempts import LONGEST_BACKOFF_MS
from gitdata.controller.collect import collect, give_up
from gitdata.controller.facts import Facts, Survey, Wish
from gitdata.controller.jobs import JobRow, list_jobs
from gitdata.controller.launch import launch, withdraw
from gitdata.controller.live import Live
from gitdata.controller.plan import StagePlan
from gitdata.controller.site import Site
from gitdata.errors import GitdataError, InvalidInputError
from gitdata.formats.keys import live_key
from gitdata.identity import run_of_job
from gitdata.model import JobStatus

_MOST_RUNS = 100_000
_LOOKED_THROUGH = 200  # jobs, the newest, for those whose process died
_SHOWS_UP_MS = 2_000  # a result that was written is looked for so long before it is written again,
_MOST_RESULTS = 3  # and so often
_SILENT_MS = 120_000  # a job that runs is shown every few seconds
_ENDED = "the controller that ran it ended"
_MOST_STEPS = 100  # of one turn: the other branches and a request to stop come next


class Driver:
    """The moving part of one site. clock: milliseconds since the epoch."""

    def __init__(self, site: Site, *, say: Callable[[str], None], clock: Callable[[], int]) -> None:
        self.site, self.say, self.clock = site, say, clock
        self.facts = Facts(site)
        self.live = Live(site, clock)
        self._active: dict[str, str] = {}
        self._runs: Bounded[str, str] = Bounded(_MOST_RUNS)  # job -> run key, of those that ran
        self._withdrawn: Bounded[str, bool] = Bounded(_MOST_RUNS)  # jobs that were cancelled because nobody wanted them
        # job -> (commit, how often its result was written for it, when it was last)
        self._finished: Bounded[str, tuple[str, int, int]] = Bounded(_MOST_RUNS)
        self._told: set[str] = set()
        self._last: dict[str, Survey] = {}

    def advance(self, wish: Wish, stopping: Callable[[], bool] = lambda: False) -> Survey:
        """Do what can be done for a commit now; the survey that is left. Raises GitdataError.

        stopping: asked after each step. What is left then proves nothing: it must not be published.
        """
        last = self._last.pop(wish.branch, None)
        believed = self._believed(last) if last and last.wish == wish else None
        survey = self.facts.survey(wish, believed)
        steps = 0
        while not stopping():
            if steps < _MOST_STEPS and self._step(survey):
                steps += 1
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
                self._cancel(survey, plan)
                return True
            status = self._status(plan)
            ended = status is not None and status.state in ("succeeded", "failed")
            if status is not None:  # also if it has ended: whoever showed it may be gone
                self.live.add(plan)
            if status is not None and not ended:  # also one that was adopted
                self._active.setdefault(plan.stage_key, plan.job)
            due = self._is_due(plan)
            if (ended or (due and not plan.todo)) and self._collect(survey, plan, status):
                return True
            if status is None and plan.todo and due and self._may_start(survey, plan):
                self.say(f"{plan.stage.name}: start {plan.job}: {plan.why}")
                launch(self.site, survey, plan, now=self.clock())
                self._active[plan.stage_key] = plan.job
                self.live.add(plan)
        return False

    def _status(self, plan: StagePlan) -> JobStatus | None:
        """What the executor says of a job; nothing of one that we ended because nobody wanted it: it starts anew."""
        status = self.site.executor.status(plan.job)
        if status is None or status.state != "failed" or plan.job not in self._withdrawn:
            return status
        self.site.executor.forget(plan.job)
        del self._withdrawn[plan.job]
        return self.site.executor.status(plan.job)

    def _cancel(self, survey: Survey, plan: StagePlan) -> None:
        """End a run because somebody asked for it, whichever of the stages that share it has its job.

        The record first: a controller that is killed in between leaves a job that no plan wants any more.
        """
        give_up(self.site, self.facts, survey, plan, "it was cancelled by a request", now=self.clock())
        self.site.executor.cancel(plan.job)
        other = self._active.get(plan.stage_key, "")
        if run_of_job(other) == run_of_job(plan.job):
            self.site.executor.cancel(other)

    def _collect(self, survey: Survey, plan: StagePlan, status: JobStatus | None) -> bool:
        """As ``collect``; a result that was written and does not show up is a failure, or it would be written for ever.

        Not the first time: another controller may just do the same, and a server may show later what it took.
        """
        commit, times, last = self._finished.get(plan.job, ("", 0, 0))
        if plan.todo or commit != survey.wish.commit:
            times = 0
        if 0 <= self.clock() - last < _SHOWS_UP_MS and times:
            return False
        if times >= _MOST_RESULTS:
            words = "the data remote does not have the output that was just stored there"
            give_up(self.site, self.facts, survey, plan, words, cause="infrastructure", now=self.clock())
            return True
        done = collect(self.site, self.facts, survey, plan, status, now=self.clock())
        if done:
            self._finished[plan.job] = (survey.wish.commit, times + 1, self.clock())
        return done

    def leave(self) -> None:
        """Record that jobs which end with this process are not running any more. That is no failed attempt."""
        if self.site.executor.name == "local":
            for job, status in self.site.executor.jobs().items():
                if status.state in ("pending", "running"):
                    withdraw(self.site, job, self._runs.get(job, ""), now=self.clock(), why=_ENDED)

    def settle_lost(self, wanted: set[str]) -> None:
        """The same of jobs that another process had, and that nobody starts again. wanted: those that somebody does.

        Of one that may have run elsewhere nothing is known but when somebody last showed how far it was.
        """
        site, known = self.site, self.site.executor.jobs().keys() | wanted
        lost = site.executor.lost()
        with suppress(GitdataError):  # of a newer gitdata, say, or not to be read: it is for people, and keeps nothing
            self._end_lost(list_jobs(site.store, site.zone, (), _LOOKED_THROUGH), lost, known)

    def _end_lost(self, rows: Iterable[JobRow], lost: Collection[str], known: Collection[str]) -> None:
        site = self.site
        for row in rows:
            ours = any(record.executor == site.executor.name for record in row.records.values())
            if row.state != "running" or row.id in known or not ours:
                continue
            shown = site.store.head(live_key(site.zone, row.id))
            seen = max(row.started, int(shown.modified * 1000) if shown else 0)
            if row.id in lost or self.clock() - seen > _SILENT_MS:
                withdraw(site, row.id, row.run_key, now=self.clock(), why=_ENDED)
                site.store.delete(live_key(site.zone, row.id))

    def withdraw(self, job: str) -> None:
        """Record that no commit wants a job that is to be cancelled and forgotten. That is no failed attempt."""
        self._withdrawn[job] = True
        with suppress(InvalidInputError):  # of a newer gitdata, say: then people are not told
            withdraw(self.site, job, self._runs.get(job, ""), now=self.clock())

    def _may_start(self, survey: Survey, plan: StagePlan) -> bool:
        """One active job per stage key; and of a run that stages share, what has ended is collected first."""
        other = self._active.get(plan.stage_key, "")
        if other == plan.job or (not self._is_active(other) and not self.site.executor.status(other)):
            return True
        if self._is_active(other):
            return False
        wanted = {p.job for s in (survey, *self._last.values()) for p in s.plans.values() if p.state == "run"}
        return run_of_job(other) != run_of_job(plan.job) or other not in wanted

    def drop(self, branch: str) -> None:
        """Forget what is known of a branch that is gone."""
        self._last.pop(branch, None)

    def _is_due(self, plan: StagePlan) -> bool:
        """Not before the backoff of a failed attempt is over."""
        wait = plan.not_before - self.clock()
        return wait <= 0 or wait > LONGEST_BACKOFF_MS  # the record is of a clock that was ahead of this one
