"""Live status: how far running jobs are, for people at other machines. Advisory: nothing ever decides by it.

Called by ``loop``. The only objects under the remote that are overwritten; they are removed when the job ends.
"""

from __future__ import annotations

from collections.abc import Callable

from gitdata.controller.plan import StagePlan
from gitdata.controller.site import Site
from gitdata.errors import GitdataError
from gitdata.executors.live import remove_shards
from gitdata.formats.keys import live_key
from gitdata.identity import canonical
from gitdata.model import JobStatus

_INTERVAL_MS = 2_000


class Live:
    """The jobs that this process started or found, and whose status it shows."""

    def __init__(self, site: Site, clock: Callable[[], int]) -> None:
        self._site, self._clock = site, clock
        self._jobs: dict[str, StagePlan] = {}
        self._last = 0

    def add(self, plan: StagePlan) -> None:
        """A job that runs; one that is shown already is no error."""
        if plan.job in self._jobs:
            return
        self._jobs[plan.job] = plan
        self._last = 0

    def write(self) -> None:
        """Show every running job, at most every two seconds; a store that cannot be written to is no error here."""
        if not self._jobs or self._clock() - self._last < _INTERVAL_MS:
            return
        self._last = self._clock()
        for job, plan in list(self._jobs.items()):
            status = self._site.executor.status(job)
            key = live_key(self._site.zone, job)
            try:
                if status is None or status.state in ("succeeded", "failed"):
                    self._site.store.delete(key)
                    remove_shards(self._site.store, self._site.zone, job)
                    del self._jobs[job]
                else:
                    self._site.store.write(key, self._body(plan, status))
            except GitdataError:
                continue

    def _body(self, plan: StagePlan, status: JobStatus) -> bytes:
        progress = self._site.executor.progress(plan.job)
        return canonical(
            {
                "v": 1,
                "job": plan.job,
                "state": status.state,
                "message": status.message,
                "total": len(plan.datums),
                "skipped": len(plan.reused or ()),
                "processed": max(0, progress.processed - progress.failed),
                "failed": progress.failed,
                "bytes": {"down": progress.bytes_down, "up": progress.bytes_up},
                "time": self._clock(),
            }
        )
