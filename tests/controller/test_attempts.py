"""Every commit ends: random stages, failures, cancels, pushes and restarts, with jobs that answer at once.

git, the store and the loop are real; the executor is ``helpers.memory``'s, which keeps the promises of the Protocol.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gitdata.backends.git import Git
from gitdata.controller.attempts import ATTEMPTS
from gitdata.controller.clone import open_clone
from gitdata.controller.jobs import list_jobs
from gitdata.controller.loop import Controller
from gitdata.controller.requests import push_request
from gitdata.controller.site import Site
from gitdata.formats.index import dump_segment, object_name
from gitdata.formats.keys import index_key, plan_key
from gitdata.formats.plans import parse_plan
from gitdata.formats.requests import Request
from gitdata.model import DatumResult, Failure, JobStatus
from helpers.lab import Lab, faster
from helpers.memory import MemoryExecutor, Running

TURNS = 60  # in which a commit must end: of them each has at most five attempts a run, and a backoff between two
LATER = 400_000  # milliseconds that pass between two turns: more than the longest backoff


@dataclass(frozen=True)
class Sketch:
    """A stage. Those of one group share their command; so they share a run where they read the same input."""

    group: str = "a"
    tries: int = 1
    memory: str = ""
    chained: bool = False


sketches = st.builds(
    Sketch, st.sampled_from("ab"), st.integers(1, 3), st.sampled_from(["", "1Gi", "64Gi"]), st.booleans()
)
answers = st.sampled_from(["ok", "user", "lost", "slow", "hangs"])
steps = st.sampled_from(
    ["turn", "turn", "turn", "data", "readme", "limits", "force", "cancel", "cancel old", "retry", "restart"]
)


def run_of_job(name: str) -> str:
    """What stages that share a run have in the names of their jobs."""
    return name.split("-")[-2]


@dataclass
class World:
    """One branch of an installation, its controller, and what its jobs answer."""

    lab: Lab
    branch: str
    stages: list[Sketch]
    answers: Sequence[str]
    now: int = 0
    count: int = 0
    settled: bool = False
    executors: list[MemoryExecutor] = field(default_factory=list)
    ended: set[tuple[str, str]] = field(default_factory=set)  # (run, commit) that somebody cancelled
    too_late: list[str] = field(default_factory=list)  # jobs that began all the same

    def work(self, running: Running, git: Git) -> JobStatus:
        """Answer for a job, the next answer of the list; what asks for too much always waits for a node."""
        job = running.job
        if (run_of_job(job.name), job.commit) in self.ended:
            self.too_late.append(job.name)
        answer = self.answers[self.count % len(self.answers)]
        self.count += 1
        if dict(job.stage.resources).get("requests.memory") == "64Gi":
            answer = "lost"
        if answer == "lost" or (answer == "hangs" and self.settled):
            return JobStatus("failed", "the node is gone", infrastructure=True)
        running.looks = {"slow": 2, "hangs": 1 << 40}.get(answer, 0)
        if answer != "hangs":
            self._store(running, Failure("user", "exit 1") if answer == "user" else None)
        return JobStatus("succeeded")

    def _store(self, running: Running, failure: Failure | None) -> None:
        job, store = running.job, self.lab.store
        plan = parse_plan(store.read(plan_key(job.zone, job.plan)))
        data = dump_segment(plan.stage_key, [DatumResult(d.id, failure=failure, job=job.name) for d in plan.datums])
        store.write(index_key(job.zone, plan.stage_key, object_name(data)), data)

    # ----------------------------------------------------------------------------------------------------- people

    def push(self, message: str, *, force: bool = False) -> None:
        for path in (self.lab.work.path / "stages").glob("*"):
            path.unlink()
        for number, one in enumerate(self.stages):
            repo = f"s{number - 1}" if one.chained and number else "in"
            more = {"resource_requests": {"memory": one.memory}} if one.memory else {}
            script = f"true {self.branch} {one.group}"
            source = {"pfs": {"repo": repo, "glob": "/", "name": "in"}}
            self.lab.stage(f"s{number}", script, source, datum_tries=one.tries, **more)
        self.lab.push(message, self.branch, force=force)

    def ask(self, kind: str, job: str) -> None:
        request = Request(kind, job, self.branch, "somebody", self.now)  # type: ignore[arg-type]
        push_request(Git(self.lab.work.path), "origin", request)

    def alive(self) -> list[str]:
        executor = self.executors[-1]
        return [job.name for job in executor.starts if (s := executor.status(job.name)) and s.state == "running"]

    def do(self, step: str) -> None:
        started = [job for executor in self.executors for job in executor.starts]
        if step in ("data", "readme"):
            self.lab.work.write("in/a" if step == "data" else "README", str(self.now))
            self.push(step)
        elif step == "limits":
            self.stages[0] = Sketch(self.stages[0].group, 4 + self.now, self.stages[0].memory)
            self.push(step)
        elif step == "force":
            self.lab.work.git("commit", "--quiet", "--amend", "--allow-empty", "-m", f"amended {self.now}")
            self.push(step, force=True)
        elif step == "cancel" and self.alive():
            name = self.alive()[0]
            self.ask("cancel", name)
            self.turn()
            self.ended |= {(run_of_job(name), job.commit) for job in started if job.name == name}
        elif step == "cancel old" and started:
            self.ask("cancel", started[0].name)
        elif step == "retry" and started:
            name = started[-1].name
            self.ended = {(run, commit) for run, commit in self.ended if run != run_of_job(name)}
            self.ask("retry", name)

    def turn(self) -> bool:
        self.now += LATER
        before = len(self.executors[-1].starts)
        busy = self.controller.turn()
        assert len(self.executors[-1].starts) - before <= ATTEMPTS * len(self.stages)
        return busy

    controller: Controller = None  # type: ignore[assignment]

    def life(self, todo: Sequence[str], settle: Callable[[World], None] | None = None) -> None:
        """One controller from its start to its end."""
        git, lock = open_clone(self.lab.root / "cache", str(self.lab.root / "origin.git"))
        executor = MemoryExecutor(self.work, threads=False)
        self.executors.append(executor)
        origin = str(self.lab.root / "origin.git")
        with lock:
            self.controller = Controller(
                Site(git=git, store=self.lab.store, executor=executor, origin=origin),
                faster(branches=(self.branch,)),
                say=self.lab.log.append,
                clock=lambda: self.now,
            )
            for step in todo:
                self.turn() if step == "turn" else self.do(step)
            if settle:
                settle(self)
            executor.close()


def ends(world: World) -> None:
    """What is in hand comes to its end, and is published, in a bounded number of turns; then all is quiet."""
    world.settled = True
    for name in world.alive():
        world.executors[-1]._jobs[name].stop("the node is gone")
    for _ in range(TURNS):
        if not world.turn():
            break
    else:
        raise AssertionError(f"not at its end after {TURNS} turns: {world.lab.log[-20:]}")
    assert world.lab.output(world.branch).source == world.lab.work.git("rev-parse", "HEAD").strip()
    assert not world.lab.origin.refs("refs/gitdata/requests/")
    tip = world.lab.tip(world.branch)
    first = world.executors[0].starts[:1]
    for job in first:  # to cancel what is over publishes nothing, and does not stay open
        world.ask("cancel", job.name)
        assert not world.turn()
        assert not world.lab.origin.refs("refs/gitdata/requests/")
        assert world.lab.tip(world.branch) == tip


numbers = itertools.count()


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.work.write("in/a", "one")
    lab.push("data")
    return lab


@settings(
    deadline=None,
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    st.lists(sketches, min_size=1, max_size=3), st.lists(answers, min_size=1, max_size=6), st.lists(steps, max_size=8)
)
@example([Sketch("a", 1), Sketch("a", 2)], ["user"], [])
@example([Sketch("a", 1), Sketch("a", 1, "64Gi"), Sketch("a", 1, "1Gi")], ["lost", "lost", "user"], ["turn", "restart"])
@example([Sketch("a", 1), Sketch("a", 2)], ["hangs"], ["turn", "cancel", "turn", "readme", "turn", "retry"])
def test_every_commit_ends(lab: Lab, stages: list[Sketch], answers: list[str], steps: list[str]) -> None:
    branch = f"work{next(numbers)}"
    world = World(lab, branch, list(stages), answers)
    lab.work.git("checkout", "--quiet", "-B", branch, "main")
    world.push("stages")
    lives: list[list[str]] = [[]]
    for step in steps:
        if step == "restart":
            lives.append([])
        else:
            lives[-1].append(step)
    for todo in lives:
        world.life(todo, ends if todo is lives[-1] else None)
    attempts = defaultdict(set)
    for executor in world.executors:
        for job in executor.starts:
            attempts[run_of_job(job.name), job.commit].add(job.name)
    assert all(len(names) <= ATTEMPTS for names in attempts.values()), attempts
    assert world.too_late == []


def test_what_stands_still_and_is_not_wanted_gives_way_to_a_newer_commit(lab: Lab) -> None:
    branch = f"work{next(numbers)}"
    world = World(lab, branch, [Sketch("a"), Sketch("b")], ["ok", "hangs", "ok"])
    lab.work.git("checkout", "--quiet", "-B", branch, "main")
    world.push("stages")
    first = lab.work.git("rev-parse", "HEAD").strip()

    def newer(world: World) -> None:
        world.turn()
        world.do("readme")  # it wants the same run
        for _ in range(6):
            world.turn()
        assert lab.tip(branch) is None
        second = lab.work.git("rev-parse", "HEAD").strip()
        assert any(line.startswith(f"{branch}: {second[:12]} waits for {first[:12]}: s1 (") for line in lab.log)
        world.stages[1] = Sketch("c")
        world.push("another command")
        for _ in range(TURNS):
            if not world.turn():
                break
        third = lab.work.git("rev-parse", "HEAD").strip()
        assert lab.output(branch).source == third
        assert lab.states(branch) == {"s0": "success", "s1": "success"}
        rows = {row.stage: row for row in list_jobs(lab.store, "main", (), 10) if row.state == "failed"}
        assert {name: row.message for name, row in rows.items()} == {"s1": f"cancelled: superseded by {third[:12]}"}
        # It is no failure for a commit that wants it again.
        world.stages[1] = Sketch("b")
        world.push("as before")
        for _ in range(TURNS):
            if not world.turn():
                break
        assert lab.states(branch) == {"s0": "success", "s1": "success"}

    world.life([], newer)
