"""What the controller asks of a place that runs jobs; ``local.py`` answers it here, a cluster elsewhere.

Called by controller.launch (start, cancel) and controller.collect (status). An executor decides nothing: it
runs the datums of a plan and its workers publish what came out in the datum index, which alone says what
succeeded. ``status`` is a doorbell. It must never need anything that only the process that started a job
knows: the plan is in the store, the name is deterministic, and starting a job twice means adopting it.

``tests/executors/conformance.py`` holds every implementation to this text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gitdata.backends.git import Git
from gitdata.model import Environment, JobStatus, Stage

MAX_SHARDS = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt at a run.

    name: ``identity.job_name``. plan: sha256 of the plan object in the store. datums: how many it lists.
    workers: how many run at once, already worked out from the stage's parallelism. commit: whose tree holds
    the image folder.
    """

    name: str
    plan: str
    zone: str
    stage: Stage
    datums: int
    workers: int
    commit: str
    environment: Environment

    @property
    def shards(self) -> int:
        """Into how many slices the datums are cut: enough of them for workers to end together."""
        return min(self.datums, 4 * max(1, self.workers), MAX_SHARDS)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job has come, for people.

    processed: datums that have a result; failed, recovered: among them.
    bytes_down, bytes_up: what the workers fetched from and stored in the object store.
    """

    total: int = 0
    processed: int = 0
    failed: int = 0
    recovered: int = 0
    bytes_down: int = 0
    bytes_up: int = 0


def workers_on(stage: Stage, nodes: int) -> int:
    """How many workers a stage asks for where there are so many nodes."""
    wanted = stage.parallelism
    if wanted.coefficient_milli is not None:
        return max(1, wanted.coefficient_milli * nodes // 1000)
    return max(1, wanted.constant)


class Executor(Protocol):
    """Jobs by name. A job has succeeded when every datum was tried to its end and its result is in the index.

    A datum that failed is a result; a job fails where results could not be had: ``JobStatus.infrastructure``.
    """

    name: str

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        """The identity of where the stage's command would run; builds nothing and is cheap.

        known: the environment id under which an earlier commit ran the same image text: a reference keeps it, so that
        a tag that moved recomputes nothing. asked: the request to look anew at what it means, which no answer from
        before that request fulfils; "" for none.

        Raises InvalidInputError if the image, the user or a secret of the stage cannot be had here,
        MachineError if this machine lacks what any job needs.
        """

    def workers(self, stage: Stage) -> int:
        """How many workers a run of the stage gets here now: a constant, or by the number of nodes that take it."""

    def start(self, job: Job, git: Git) -> None:
        """Run the job, or adopt the one of that name. Returns at once; what goes wrong is in its status."""

    def status(self, name: str) -> JobStatus | None:
        """What is known of a job, None if nothing is."""

    def progress(self, name: str) -> Progress:
        """How far it has come; all zero for a job that is not known."""

    def jobs(self) -> dict[str, JobStatus]:
        """All jobs that are known and not forgotten."""

    def lost(self) -> set[str]:
        """Jobs that a process of this machine had, which died and took them along."""

    def commit(self, name: str) -> str:
        """For which commit a job was started that another controller may have started; "" for any other."""

    def is_foreign(self, name: str) -> bool:
        """Whether a job was started for another repository with the same remote, which is to end it."""

    def cancel(self, name: str) -> None:
        """End a job and all it started; its status becomes failed. Unknown or ended ones are no error."""

    def forget(self, name: str) -> None:
        """Drop what is kept of an ended job. A running one is not touched."""

    def close(self) -> None:
        """End what this process cannot leave behind (local jobs); jobs of a cluster go on."""
