"""The local executor: the conformance suite, and what is particular to jobs on this machine."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executors.bench import Bench
from executors.conformance import EACH, Conformance
from gitdata.errors import InvalidInputError
from gitdata.executors.cores import Cores
from gitdata.executors.local import LocalExecutor
from gitdata.model import JobStatus, Secret
from helpers.builds import running, slow_package
from helpers.machine import Repo
from helpers.s3 import S3

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="root: another user can only be had as root")
user_only = pytest.mark.skipif(os.geteuid() == 0, reason="an ordinary user: root may be any user")


@pytest.fixture
def executor(bench: Bench) -> Iterator[LocalExecutor]:
    made = LocalExecutor(bench.url, cores=2, cache_home=bench.cache_home)
    yield made
    made.close()
    assert list(bench.cache_home.glob("jobs/*")) == []


class TestLocalConformance(Conformance):
    """Every promise of the Protocol."""


# ------------------------------------------------------------------------------------------------------- who and where


@root_only
@pytest.mark.parametrize("user", ["12345", "nobody", "12345:54321"])
def test_root_runs_a_stage_as_another_user(executor: LocalExecutor, bench: Bench, user: str) -> None:
    script = "id -u; id -g; id -G; cp /pfs/in/a /pfs/out/a; echo more >> /pfs/in/a; touch /tmp/x; touch /pfs/x /code/x"
    done = bench.run(executor, bench.stage(script + "; true", user=user), {"a": b"1"})
    uid, gid, groups, *rest = done.log().splitlines()
    assert uid == ("65534" if user == "nobody" else "12345")
    assert gid == groups
    assert gid == {"12345": "12345", "12345:54321": "54321"}.get(user, gid)
    assert "Read-only file system" in rest[-1]
    assert done.output() == {"a": b"1"}


@user_only
def test_an_ordinary_user_runs_stages_as_themselves_only(executor: LocalExecutor, bench: Bench) -> None:
    done = bench.run(executor, bench.stage("id -u", user=str(os.geteuid())), {"a": b""})
    assert done.log() == f"{os.geteuid()}\n"
    with pytest.raises(InvalidInputError, match="another user"):
        bench.run(executor, bench.stage("id -u", user="0"), {"a": b""})


def test_stages_that_cannot_run_here_are_refused_when_planning(executor: LocalExecutor, bench: Bench) -> None:
    commit = bench.repo.git("rev-parse", "HEAD")
    with pytest.raises(InvalidInputError, match="no such user"):
        executor.environment(bench.git, commit, bench.stage("true", user="no-such-user"))
    with pytest.raises(InvalidInputError, match=r"transform\.cmd"):
        executor.environment(bench.git, commit, bench.stage(cmd=()))
    for image in ("-v/:/x", "a b", "../image", "/etc", "."):  # what may be a reference: test_containers
        stage = bench.stage("true", image=image)
        with pytest.raises(InvalidInputError, match="no folder of this commit"):
            executor.environment(bench.git, commit, stage)


def test_secrets_are_variables(bench: Bench) -> None:
    executor = LocalExecutor(bench.url, cache_home=bench.cache_home, secrets={"api": {"key": "hush"}})
    stage = bench.stage("test $API_KEY = hush", secrets=(Secret("api", "key", "API_KEY"),))
    assert bench.run(executor, stage, {"a": b""}).only.failure is None
    stage = bench.stage("true", secrets=(Secret("api", mount_path="/secret"),))
    with pytest.raises(InvalidInputError, match="as a file"):
        bench.run(executor, stage, {"a": b""})
    executor.close()


def test_jobs_work_on_s3(repo: Repo, tmp_path: Path, s3: S3) -> None:
    bench = Bench(repo, tmp_path, f"s3://{s3.bucket()}/data")
    executor = LocalExecutor(bench.url, cache_home=bench.cache_home)
    big = bytes(range(256)) * 40_000  # goes up in parts
    stage = bench.stage("cp /pfs/in/* /pfs/out/; cat /pfs/in/big > /pfs/out/copy; echo x >> /pfs/out/copy")
    done = bench.run(executor, stage, {"big": big, **{f"f{i}": b"%d" % i for i in range(5)}})
    executor.close()
    assert done.status.state == "succeeded", done.status
    assert done.output() == {"big": big, "copy": big + b"x\n", **{f"f{i}": b"%d" % i for i in range(5)}}
    assert executor.progress(done.name).bytes_up == len(big) + 2


# ------------------------------------------------------------------------------------------------- what goes wrong


def test_a_store_that_goes_away_fails_the_job_in_one_line(executor: LocalExecutor, bench: Bench) -> None:
    plan = bench.plan(executor, bench.stage("sleep 0.3; echo 1 > /pfs/out/x"), {"in": bench.input({"a": b""})})
    job = bench.job(plan)
    executor.start(job, bench.git)
    bench.wait(executor, job.name, until=lambda: any(bench.cache_home.glob("jobs/*/worker0/pfs/in/a")))
    shutil.rmtree(bench.url)
    Path(bench.url).write_text("a file where the store was")
    status = bench.wait(executor, job.name)
    assert (status.state, status.infrastructure) == ("failed", True)
    assert bench.url in status.message
    assert "\n" not in status.message


def test_a_plan_that_was_altered_is_refused(executor: LocalExecutor, bench: Bench) -> None:
    plan = bench.plan(executor, bench.stage("true"), {"in": bench.input({"a": b""})})
    job = bench.job(plan)
    key = f"gitdata/v1/main/plans/{job.plan}"
    body = bench.store.read(key)
    bench.store.delete(key)
    bench.store.write(key, body.replace(b"true", b"evil"))
    executor.start(job, bench.git)
    status = bench.wait(executor, job.name)
    assert status.state == "failed"
    assert "damaged" in status.message


def test_requirements_that_cannot_be_installed_are_the_users_fault(executor: LocalExecutor, bench: Bench) -> None:
    bench.image(**{"requirements.txt": "./no-such-folder\n"})
    status = bench.run(executor, bench.stage("true"), {"a": b""}).status
    assert (status.state, status.infrastructure) == ("failed", False)
    assert "requirements" in status.message


def test_a_worker_that_is_killed_fails_the_job_and_loses_only_its_shard(executor: LocalExecutor, bench: Bench) -> None:
    script = "if test -e /pfs/in/bad; then sleep 60; fi; cp /pfs/in/* /pfs/out/"
    inputs = {"in": bench.input({"bad": b"0", **{f"f{i}": b"%d" % i for i in range(7)}})}
    plan = bench.plan(executor, bench.stage(script, input=EACH), inputs)
    job = bench.job(plan, workers=2)
    executor.start(job, bench.git)
    bench.wait(executor, job.name, until=lambda: executor.progress(job.name).processed == 7)
    (victim,) = [pid for pid in _processes("gitdata.worker", parent=os.getpid()) if _has_child(pid, "sleep")]
    os.kill(victim, signal.SIGKILL)
    status = bench.wait(executor, job.name)
    assert (status.state, status.infrastructure) == ("failed", True)
    assert "signal 9" in status.message
    assert len(bench.results(plan)[0]) == 7


# ------------------------------------------------------------------------------------------------- order and time


def test_results_are_in_the_index_before_the_job_ends(bench: Bench) -> None:
    executor = LocalExecutor(bench.url, cores=1, cache_home=bench.cache_home, flush_seconds=0.1)
    stage = bench.stage("test ! -e /pfs/in/b || sleep 60", input=EACH)
    plan = bench.plan(executor, stage, {"in": bench.input({"a": b"1", "b": b"2"})})
    job = bench.job(plan)
    executor.start(job, bench.git)
    bench.wait(executor, job.name, until=lambda: bench.results(plan)[1] == 1)
    (result,), _ = bench.results(plan)
    assert result.datum == plan.datums[0].id
    executor.close()
    assert executor.status(job.name).state == "failed"  # type: ignore[union-attr]


def test_a_small_job_does_not_wait_for_a_big_one(bench: Bench) -> None:
    executor = LocalExecutor(bench.url, cores=1, cache_home=bench.cache_home)
    big = bench.plan(
        executor, bench.stage("sleep 0.2", input=EACH), {"in": bench.input({f"f{i}": b"" for i in range(40)})}
    )
    executor.start(bench.job(big, workers=4), bench.git)
    small = bench.run(executor, bench.stage("true"), {"a": b""})
    assert small.status.state == "succeeded"
    assert executor.status(big.job).state == "running"  # type: ignore[union-attr]
    executor.close()


def test_cores_go_to_the_job_that_has_fewest() -> None:
    cores = Cores(1)
    order: list[str] = []

    def use(job: str) -> None:
        with cores.held(job, lambda: False):
            order.append(job)

    with cores.held("big", lambda: False):
        threads = []
        for job in ("big", "big", "small"):
            threads.append(threading.Thread(target=use, args=(job,)))
            threads[-1].start()
            _until(lambda: len(cores._waiting) == len(threads))
        order.append("first")
    for thread in threads:
        thread.join()
    # When the core is free again nobody holds one, so that the longest waiting goes first.
    assert order == ["first", "big", "big", "small"]
    with cores.held("big", lambda: True) as granted:
        assert not granted


# ---------------------------------------------------------------------------------------------- nothing is left behind

CONTROLLER = """
import sys, time
from pathlib import Path
from gitdata.backends.git import Git
from gitdata.executors.local import LocalExecutor
from gitdata.backends.stores import open_store
from gitdata.formats.keys import plan_key
from gitdata.formats.plans import parse_plan
from gitdata.executors.base import Job
store, cache, repo, plan = sys.argv[1:]
executor = LocalExecutor(store, cache_home=Path(cache))
p = parse_plan(open_store(store).read(plan_key("main", plan)))
executor.start(Job(p.job, plan, "main", p.stage, len(p.datums), 2, p.commit, p.environment), Git(Path(repo)))
while executor.status(p.job).state in ("pending", "running"):
    time.sleep(0.01)
print(executor.status(p.job), flush=True)
executor.close()
"""


def _controller(
    bench: Bench, script: str, before: tuple[str, ...] = (), content: bytes = b"1"
) -> subprocess.Popen[str]:
    """A process of its own that runs one job with an executor of its own."""
    executor = LocalExecutor(bench.url, cache_home=bench.cache_home)
    plan = bench.plan(executor, bench.stage(script, input=EACH), {"in": bench.input({"a": content, "b": b"2"})})
    digest = bench.job(plan).plan
    command = [sys.executable, "-c", CONTROLLER, bench.url, str(bench.cache_home), str(bench.repo.path), digest]
    return subprocess.Popen([*before, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_kill_9_of_the_controller_leaves_no_process(bench: Bench) -> None:
    marker = f"987{os.getpid()}"
    controller = _controller(bench, f"setsid sleep {marker} & sleep {marker}")
    _until(lambda: len(_processes(marker)) >= 4)
    workers = _processes("gitdata.worker", parent=controller.pid)
    assert workers
    controller.kill()
    controller.communicate()
    _until(lambda: not _processes(marker), seconds=1)
    _until(lambda: not set(workers) & set(_processes("gitdata.worker")), seconds=1)
    # What it had on the disk goes when the next one begins.
    assert list(bench.cache_home.glob("jobs/*"))
    LocalExecutor(bench.url, cache_home=bench.cache_home).close()
    assert not list(bench.cache_home.glob("jobs/*"))


def test_a_job_whose_environment_is_being_built_ends_when_it_is_told(bench: Bench, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    bench.image(**slow_package(begun, tmp_path / "never"))
    executor = LocalExecutor(bench.url, cache_home=bench.cache_home)
    job = bench.job(bench.plan(executor, bench.stage("true"), {"in": bench.input({"a": b""})}))
    executor.start(job, bench.git)
    _until(lambda: bool(running(begun)))
    closing = threading.Thread(target=executor.close, daemon=True)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    assert executor.status(job.name) == JobStatus("failed", "the controller ended", infrastructure=True)
    _until(lambda: not running(begun))  # it is killed: gone as soon as the kernel gets to it


def test_a_full_disk_fails_the_job_in_one_line(bench: Bench) -> None:
    jobs = bench.cache_home / "jobs"
    jobs.mkdir(parents=True)
    mount = f'mount -t tmpfs -o size=1m none {jobs} && exec "$@"'
    as_root = () if os.geteuid() == 0 else ("--user", "--map-root-user")
    controller = _controller(bench, "true", ("unshare", "--mount", *as_root, "sh", "-c", mount, "sh"), bytes(3 << 20))
    said, errors = controller.communicate(timeout=60)
    assert "state='failed'" in said, errors
    assert "No space left" in said
    assert "infrastructure=True" in said


def _processes(word: str, parent: int | None = None) -> list[int]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            above = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if (not word or word in command) and "-c" not in command and parent in (None, above):
            found.append(int(folder.name))
    return found


def _has_child(pid: int, word: str) -> bool:
    """Whether a process, or one that it started, runs a command with this word."""
    return bool(_processes(word, parent=pid)) or any(_has_child(p, word) for p in _processes("", parent=pid))


def _until(so: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)


def test_a_stage_without_an_image_runs_the_programs_of_this_machine(executor: LocalExecutor, bench: Bench) -> None:
    done = bench.run(executor, bench.stage("pwd; ls /code; cp /pfs/in/a /pfs/out/", image=""), {"a": b"1"})
    assert done.output() == {"a": b"1"}
    assert done.plan.environment.id.startswith("host:")
    assert done.log().splitlines()[0] == "/"
    assert "No such file" in done.log()


def test_what_a_command_prints_can_be_read_while_it_runs(executor: LocalExecutor, bench: Bench) -> None:
    plan = bench.plan(executor, bench.stage("echo epoch 1 of many; sleep 1000"), {"in": bench.input({"a": b""})})
    job = bench.job(plan)
    executor.start(job, bench.git)
    status = bench.wait(executor, job.name, until=lambda: "epoch 1 of many" in bench.printed(job))
    assert status.state == "running"
    executor.cancel(job.name)
    bench.wait(executor, job.name)
