"""Agent and launcher, the two halves of a pod, without Kubernetes: every promise of an executor, and their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executors.bench import Bench
from executors.conformance import EACH, Conformance
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Executor
from gitdata.executors.live import read_shards
from gitdata.model import CrossInput, PfsInput, RunPlan, Secret
from helpers.machine import Repo
from helpers.pods import Pod, PodExecutor, compile_launcher

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="the launcher: there is no gcc")


@pytest.fixture(scope="module")
def launcher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compile_launcher(tmp_path_factory.mktemp("launcher"))


@pytest.fixture
def bench(repo: Repo, tmp_path: Path) -> Bench:
    made = Bench(repo, tmp_path)
    made.default_image = "registry.example/stage:1"
    return made


@pytest.fixture
def executor(launcher: Path, bench: Bench, tmp_path: Path) -> Iterator[PodExecutor]:
    made = PodExecutor(launcher, bench.url, tmp_path / "pods")
    yield made
    made.close()


class TestPodConformance(Conformance):
    """Every promise of the Protocol; what speaks of image folders is said here of images."""

    def test_code_is_the_image_folder_and_the_working_folder(self, executor: Executor, bench: Bench) -> None:
        assert bench.run(executor, bench.stage("pwd", working_dir="/usr/bin"), {"a": b""}).log() == "/usr/bin\n"
        failure = bench.run(executor, bench.stage("pwd", working_dir="/none"), {"a": b""}).only.failure
        assert failure is not None
        assert failure.message == "cannot enter working_dir /none: No such file or directory"

    def test_environment_names_the_image_and_refuses_what_cannot_run(self, executor: Executor, bench: Bench) -> None:
        with pytest.raises(InvalidInputError, match="secret"):
            executor.environment(bench.git, "", bench.stage("true", secrets=(Secret("no-such", "key", "VARIABLE"),)))


# -------------------------------------------------------------------------------------------------- what is particular


@pytest.fixture
def pod(
    launcher: Path, bench: Bench, executor: PodExecutor, tmp_path: Path
) -> Iterator[Callable[..., tuple[Pod, RunPlan]]]:
    """A started pod that does the one shard of a stage, and its plan."""
    pods: list[Pod] = []

    def made(
        script: str, count: int = 1, beat_seconds: int = 60, told: str = "", **more: object
    ) -> tuple[Pod, RunPlan]:
        files = {f"f{i}": str(i).encode() for i in range(count)}
        plan = bench.plan(executor, bench.stage(script, input=EACH, **more), {"in": bench.input(files)})
        job = bench.job(plan)
        env = {"GITDATA_STORE": bench.url, "GITDATA_ZONE": "main", "GITDATA_PLAN": job.plan}
        env |= {"GITDATA_SHARDS": "1", "JOB_COMPLETION_INDEX": "0"}
        if told:
            env["GITDATA_COMMAND"] = told
        pods.append(Pod(launcher, tmp_path / f"single{len(pods)}", env, beat_seconds))
        pods[-1].start()
        return pods[-1], plan

    yield made
    for one in pods:
        one.kill()


def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.01)


MakePod = Callable[..., tuple[Pod, RunPlan]]


def test_the_exit_code_says_whether_a_datum_failed(pod: MakePod, bench: Bench) -> None:
    good, plan = pod("cp /pfs/in/* /pfs/out/", count=3)
    assert good.wait() == 0
    assert len(bench.results(plan)[0]) == 3
    bad, plan = pod("test ! -e /pfs/in/f1", count=3)
    assert bad.wait() == 1
    assert sorted(r.failure is not None for r in bench.results(plan)[0]) == [False, False, True]


def test_the_images_variables_and_none_of_the_clusters(pod: MakePod, bench: Bench) -> None:
    done, plan = pod("env")
    done.wait()
    log = bench.store.read(f"gitdata/v1/main/logs/{bench.results(plan)[0][0].log}").decode()
    assert "OF_THE_IMAGE=yes\n" in log
    assert "KUBERNETES" not in log
    assert "JOB_COMPLETION_INDEX" not in log
    assert "GITDATA_STORE" not in log


def test_the_images_own_command_runs_where_the_stage_has_none(pod: MakePod, bench: Bench) -> None:
    told = '["sh", "-c", "echo by itself: $0; test -n \\"$GITDATA_DATUM_ID\\"", "a b"]'
    done, plan = pod("", told=told, cmd=())
    assert done.wait() == 0
    assert bench.store.read(f"gitdata/v1/main/logs/{bench.results(plan)[0][0].log}") == b"by itself: a b\n"
    done, plan = pod("echo by the stage", told=told)
    done.wait()
    assert bench.store.read(f"gitdata/v1/main/logs/{bench.results(plan)[0][0].log}") == b"by the stage\n"


def test_a_store_that_is_gone_is_the_infrastructures_fault(pod: MakePod, bench: Bench) -> None:
    shutil.rmtree(Path(bench.url), ignore_errors=True)
    done, _ = pod("true")
    shutil.rmtree(Path(bench.url), ignore_errors=True)
    assert done.wait() == 200


def test_an_agent_that_was_killed_goes_on_where_it_was(pod: MakePod, bench: Bench) -> None:
    running, plan = pod('cp /pfs/in/* /pfs/out/; test "$(cat /pfs/in/*)" != 1 || sleep 1', count=3)
    until(lambda: list((running.work / "pfs").glob("in/f1")))
    assert running.agent is not None
    running.agent.kill()
    running.agent.wait()
    assert running.user is not None
    assert running.user.poll() is None
    running.start_agent()
    assert running.wait() == 0
    assert {r.outputs[0].path for r in bench.results(plan)[0]} == {"f0", "f1", "f2"}


def test_a_launcher_without_an_agent_ends_by_itself(pod: MakePod) -> None:
    running, _ = pod("sleep 0.2", beat_seconds=1)
    assert running.agent is not None
    running.agent.kill()
    assert running.wait() == 200


def test_a_container_that_dies_under_a_datum_fails_it(pod: MakePod, bench: Bench) -> None:
    running, plan = pod("touch /pfs/out/begun; sleep 60", count=2)
    until(lambda: (running.work / "pfs/out/begun").exists())
    assert running.user is not None
    running.user.kill()  # as the kernel does, for want of memory
    running.wait()
    (result,) = bench.results(plan)[0]
    assert result.failure is not None
    assert (result.failure.kind, result.failure.exit_code) == ("user", 137)


def died(pod: Pod, begun: str = "pfs/out/begun") -> None:
    """Wait until the command has begun, and end its container as the kernel does, for want of memory."""
    until(lambda: (pod.work / begun).exists())
    assert pod.user is not None
    pod.user.kill()
    pod.wait()


def test_a_datum_that_dies_is_tried_by_the_next_pod_and_keeps_no_other_waiting(
    launcher: Path, pod: MakePod, bench: Bench, tmp_path: Path
) -> None:
    script = "echo $in; touch /pfs/out/begun; case $in in *f0) sleep 60;; esac"
    first, plan = pod(script, count=3, datum_tries=2)
    died(first)
    (result,) = bench.results(plan)[0]
    assert result.failure is not None
    assert (result.failure.kind, result.failure.exit_code, result.tries) == ("infrastructure", 137, 1)
    assert bench.store.read(f"gitdata/v1/main/logs/{result.log}") == b"/pfs/in/f0\n"
    second = Pod(launcher, tmp_path / "second", {**first.env, "GITDATA_FAILURES": "1"})
    second.start()
    until(lambda: (second.work / "pfs/in/f0").exists())  # the others came first
    died(second)
    assert sum(r.failure is None for r in bench.results(plan)[0]) == 2
    failed = [r for r in bench.results(plan)[0] if r.failure is not None and r.failure.kind == "user"]
    assert [(r.tries, r.failure and r.failure.exit_code) for r in failed] == [(2, 137)]
    third = Pod(launcher, tmp_path / "third", {**first.env, "GITDATA_FAILURES": "2"})
    third.start()
    assert third.wait() == 1  # nothing is left to do
    assert sorted(r.failure is None for r in bench.results(plan)[0]) == [False, False, True, True]


def test_the_last_pod_of_a_shard_has_the_last_word(launcher: Path, pod: MakePod, bench: Bench, tmp_path: Path) -> None:
    first, plan = pod("touch /pfs/out/begun; sleep 60", datum_tries=9)
    died(first)
    last = Pod(launcher, tmp_path / "last", {**first.env, "GITDATA_FAILURES": "2"})
    last.start()
    died(last)
    kinds = [r.failure and (r.failure.kind, r.tries) for r in bench.results(plan)[0]]
    assert sorted(k for k in kinds if k) == [("infrastructure", 1), ("user", 2)]


def test_a_datum_that_ends_the_agent_each_time_is_given_up(pod: MakePod, bench: Bench) -> None:
    running, plan = pod("touch /pfs/out/begun; case $in in *f0) sleep 60;; esac", count=2)
    for _ in range(3):
        until(lambda: (running.work / "pfs/in/f0").exists() and (running.work / "pfs/out/begun").exists())
        assert running.agent is not None
        running.agent.kill()
        running.agent.wait()
        (running.work / "pfs/out/begun").unlink()
        running.start_agent()
    assert running.wait() == 1
    failures = {r.datum: r.failure for r in bench.results(plan)[0]}
    (words,) = [f.message for f in failures.values() if f is not None]
    assert len(failures) == 2
    assert "was ended 3 times while it worked on this datum" in words


def test_how_far_a_shard_is_and_what_it_prints_can_be_seen_while_it_runs(
    launcher: Path, pod: MakePod, bench: Bench, tmp_path: Path
) -> None:
    script = "case $in in *f0) exit 3;; *f1) echo working; sleep 60;; esac"
    made, plan = pod("true")
    made.wait()
    assert list(bench.store.list("gitdata/v1/main/live/")) == []  # it was quick
    plan = bench.plan(
        PodExecutor(launcher, bench.url, tmp_path / "none"),
        bench.stage(script, input=EACH),
        {"in": bench.input({f"f{i}": b"" for i in range(3)})},
    )
    job = bench.job(plan)
    running = Pod(launcher, tmp_path / "live", {**made.env, "GITDATA_PLAN": job.plan, "GITDATA_LIVE_SECONDS": "0.2"})
    running.start()
    try:
        until(lambda: (found := read_shards(bench.store, "main", job.name)) and found[0].tail)
        (shard,) = read_shards(bench.store, "main", job.name).values()
        assert (shard.processed, shard.failed, shard.tries, shard.tail) == (1, 1, 1, "working\n")
        assert shard.datum == plan.datums[1].id
    finally:
        running.kill()


def test_a_pod_that_is_asked_to_end_fails_nothing(pod: MakePod, bench: Bench) -> None:
    running, plan = pod("test -e /pfs/in/f0 || { touch /pfs/out/begun; sleep 60; }", count=2)
    until(lambda: (running.work / "pfs/out/begun").exists())
    inside = subprocess.run(["pgrep", "-P", str(running.user.pid)], capture_output=True, text=True, check=True)  # type: ignore[union-attr]
    os.kill(int(inside.stdout), signal.SIGTERM)
    assert running.wait() == 143
    (result,) = bench.results(plan)[0]  # what was done before is kept
    assert result.failure is None


def test_what_is_recorded_is_not_done_again(launcher: Path, pod: MakePod, bench: Bench, tmp_path: Path) -> None:
    first, plan = pod("date +%N > /pfs/out/now", count=2)
    assert first.wait() == 0
    again = Pod(launcher, tmp_path / "again", {**first.env, "GITDATA_EVICTIONS": "1"})
    again.start()
    assert again.wait() == 0
    assert len(bench.results(plan)[0]) == 2


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("ln -sf /etc/passwd /gitdata/end.x; mv /gitdata/end.x /gitdata/end; sleep 60", None),
        ("printf '0 all is well' > /gitdata/end", 0),
        ("rm -f /gitdata/next; mkdir /gitdata/next; exit 0", None),
        ("kill -9 1; kill -STOP 1; kill -TERM 1; touch /pfs/out/alive", 143),
    ],
)
def test_a_forged_control_folder_harms_only_its_own_run(
    pod: MakePod, bench: Bench, script: str, code: int | None
) -> None:
    running, plan = pod(script, count=2)
    if code is None:  # neither side believes it: the pod ends only when somebody ends it, or without success
        time.sleep(1)
        if running.user is not None and running.user.poll() is None:
            running.user.kill()
        assert running.wait() != 0
    else:
        assert running.wait() == code
    # Whatever the exit code says, no datum has a result that it did not have.
    assert all(r.failure is not None or not r.outputs for r in bench.results(plan)[0])


def test_many_small_datums_are_quick(pod: MakePod, bench: Bench) -> None:
    running, plan = pod("true", count=1)
    running.wait()
    running, plan = pod("true", count=101)
    assert running.wait() == 0
    times = sorted(r.finished - r.started for r in bench.results(plan)[0])
    print(f"median {times[50]} ms")
    assert times[50] < 250  # milliseconds; 25 on an idle machine


def test_a_big_shared_input_may_have_two_names_and_be_spoiled(
    pod: MakePod, executor: PodExecutor, bench: Bench
) -> None:
    both = CrossInput((PfsInput("each", "/*", "each"), PfsInput("model", "/", "model")))
    big = b"BIG" + bytes(9 << 20)
    inputs = {"each": bench.input({"a": b"", "b": b""}), "model": bench.input({"best": big, "latest": big})}
    says = "head -c 3 /pfs/model/best /pfs/model/latest > /pfs/out/$(basename $each)"
    done = bench.run_on(executor, bench.stage(says, input=both), inputs)
    assert done.status.state == "succeeded", done.status.message
    sees = ("sh", "-c", 'test "$(head -q -c 3 /pfs/model/best /pfs/model/latest)" = BIGBIG')
    done = bench.run_on(executor, bench.stage("exit 1", input=both, err_cmd=sees, datum_tries=1), inputs)
    assert [r.recovered for r in done.results.values()] == [True, True], done.status.message
    spoils = bench.stage(
        "rm -f /pfs/model/best; exit 1", input=both, err_cmd=("sh", "-c", "test ! -e /pfs/model/best"), datum_tries=1
    )
    done = bench.run_on(executor, spoils, inputs)
    assert [r.recovered for r in done.results.values()] == [True, True]


def test_a_big_shared_input_is_lent_and_not_copied(pod: MakePod, executor: PodExecutor, bench: Bench) -> None:
    both = CrossInput((PfsInput("each", "/*", "each"), PfsInput("model", "/", "model")))
    inputs = {"each": bench.input({"a": b"", "b": b""}), "model": bench.input({"big": bytes(9 << 20)})}
    done = bench.run_on(executor, bench.stage("ls -i /pfs/model/big", input=both), inputs)
    logs = {bench.store.read(f"gitdata/v1/main/logs/{r.log}") for r in done.results.values()}
    assert len(logs) <= 2
    assert executor.progress(done.name).bytes_down < 20 << 20
