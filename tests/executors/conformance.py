"""What every executor must do, whatever it runs jobs on; a test module supplies ``executor`` and ``bench``.

Run by ``test_local``; an executor of another kind passes the same suite.
"""

from __future__ import annotations

import hashlib

import pytest

from executors.bench import Bench
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Executor
from gitdata.formats.dvc import object_key
from gitdata.model import CrossInput, Parallelism, PfsInput, Secret, UnionInput
from gitdata.worker.staging import SMALL

EACH = PfsInput("in", "/*", "in")


class Conformance:
    JOB_TIMEOUT_MS = 500  # of a job that takes too long: within it its command must have begun

    # ------------------------------------------------------------------------------------------- what a command sees

    def test_a_command_sees_its_own_files_and_no_others(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage("cd /pfs; find . -type f | sort; cat in/* in/*/* 2>/dev/null", input=EACH)
        done = bench.run(executor, stage, {"a.txt": b"A", "dir/b": b"B", "dir/sub/c": b"C"})
        assert done.status.state == "succeeded"
        logs = {match: bench.store.read(f"gitdata/v1/main/logs/{r.log}") for match, r in done.results.items()}
        assert logs == {"/a.txt": b"./in/a.txt\nA", "/dir": b"./in/dir/b\n./in/dir/sub/c\nB"}

    def test_the_environment_is_built_from_nothing(
        self, executor: Executor, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("A_KEY_OF_THE_CONTROLLER", "1")
        stage = bench.stage(cmd=("env",), input=PfsInput("my-in", "/*", "my-in"), env=(("GREETING", "hi there"),))
        done = bench.run_on(executor, stage, {"my-in": bench.input({"a.txt": b"A"})})
        seen = dict(line.split("=", 1) for line in done.log().splitlines())
        assert seen["my-in"] == seen["my_in"] == "/pfs/my-in/a.txt"
        assert seen["my_in_COMMIT"] == seen["my-in_COMMIT"] == done.plan.commit
        assert seen["GITDATA_JOB_ID"] == seen["PACH_JOB_ID"] == done.name
        assert seen["GITDATA_DATUM_ID"] == seen["PACH_DATUM_ID"] == done.plan.datums[0].id
        assert seen["PACH_OUTPUT_COMMIT_ID"]
        assert (seen["GREETING"], seen["HOME"], seen["LANG"]) == ("hi there", "/tmp", "C.UTF-8")
        assert "A_KEY_OF_THE_CONTROLLER" not in seen

    def test_any_name_and_the_executable_bit_arrive(self, executor: Executor, bench: Bench) -> None:
        name = "ä ö/日本 $x'\"\n*.txt"
        stage = bench.stage('cp -rp "$in"/* /pfs/out/; test -x /pfs/in/tool && test ! -x /pfs/in/plain')
        done = bench.run(executor, stage, {name: b"1", "tool": (b"#!/bin/sh\n", True), "plain": b"2"})
        assert {e.path: e.exec for e in done.only.outputs} == {name: False, "tool": True, "plain": False}

    def test_code_is_the_image_folder_and_the_working_folder(self, executor: Executor, bench: Bench) -> None:
        bench.image(**{"sub/tool.sh": "echo from the image > /pfs/out/said\n"})
        done = bench.run(executor, bench.stage(cmd=("sh", "sub/tool.sh")), {"a": b""})
        assert done.output() == {"said": b"from the image\n"}
        done = bench.run(executor, bench.stage("pwd", working_dir="/code/sub"), {"a": b""})
        assert done.log() == "/code/sub\n"

    def test_cross_and_union_inputs(self, executor: Executor, bench: Bench) -> None:
        both = CrossInput((PfsInput("one", "/*", "one"), PfsInput("two", "/", "two")))
        inputs = {"one": bench.input({"a": b"1", "b": b"2"}), "two": bench.input({"m": b"M"})}
        done = bench.run_on(
            executor, bench.stage('cat "$one" "$two/m" > "/pfs/out/$(basename $one)"', input=both), inputs
        )
        assert done.output() == {"a": b"1M", "b": b"2M"}
        either = UnionInput((PfsInput("one", "/*", "x"), PfsInput("two", "/*", "x")))
        done = bench.run_on(executor, bench.stage("cp /pfs/x/* /pfs/out/", input=either), inputs)
        assert done.output() == {"a": b"1", "b": b"2", "m": b"M"}

    # ------------------------------------------------------------------------------------------ how a command ends

    def test_standard_input_is_the_lines_and_may_be_ignored(self, executor: Executor, bench: Bench) -> None:
        done = bench.run(executor, bench.stage("a\nb c", cmd=("sh", "-c", "cat > /pfs/out/got")), {"a": b""})
        assert done.output() == {"got": b"a\nb c\n"}
        much = bench.stage("many words\n" * 100_000, cmd=("true",))
        assert bench.run(executor, much, {"a": b""}).only.failure is None

    def test_accepted_return_codes(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage("echo 1 > /pfs/out/x; exit 7", accept_return_code=(7,))
        assert bench.run(executor, stage, {"a": b""}).output() == {"x": b"1\n"}

    def test_every_try_begins_anew_and_the_log_keeps_them(self, executor: Executor, bench: Bench) -> None:
        script = "ls /pfs/out /tmp; cat /pfs/in/*; echo bad > /pfs/in/a; touch /pfs/in/b /pfs/out/x /tmp/y; exit 3"
        done = bench.run(executor, bench.stage(script, datum_tries=3), {"a": b"good\n"})
        assert done.status.state == "succeeded"  # a failed datum is a result
        failure = done.only.failure
        assert failure is not None
        assert (failure.kind, failure.exit_code, done.only.tries) == ("user", 3, 3)
        assert "`sh` ended with 3" in failure.message
        assert done.log().count("/pfs/out:\n\n/tmp:\ngood\n") + done.log().count("/pfs/out:\n\n/tmp:\n\ngood") == 3
        assert done.only.outputs == ()

    def test_err_cmd_recovers_a_datum(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage("echo 1 > /pfs/out/x; exit 1", err_cmd=("sh",), err_stdin=("test -e /pfs/out/x",))
        result = bench.run(executor, stage, {"a": b""}).only
        assert result.recovered
        assert (result.failure, result.outputs) == (None, ())
        stage = bench.stage("exit 1", err_cmd=("false",))
        assert bench.run(executor, stage, {"a": b""}).only.failure is not None

    def test_err_cmd_writes_through_no_link_of_the_command(self, executor: Executor, bench: Bench) -> None:
        """Where a big file that several datums read was, at one place or more, the command may have put anything."""
        outside = bench.cache_home.parent / "outside"
        outside.mkdir(0o700)
        both = CrossInput((PfsInput("each", "/*", "each"), PfsInput("model", "/", "model")))
        big = bytes(SMALL)
        inputs = {"each": bench.input({"a": b"", "b": b""}), "model": bench.input({"a": big, "b": big, "sub/c": big})}
        script = f"""
            cd /pfs/model; ln -sf {outside}/b b
            mv sub old; ln -s {outside} sub
            rmdir ../out; ln -s {outside} ../out
            exit 1"""
        stage = bench.stage(script, input=both, err_cmd=("test", "-L", "/pfs/model/sub"))
        done = bench.run_on(executor, stage, inputs)
        assert [(r.recovered, r.failure) for r in done.results.values()] == [(True, None)] * 2, done.status
        assert (list(outside.iterdir()), outside.stat().st_mode & 0o777) == ([], 0o700)

    def test_a_failed_datum_does_not_stop_the_others(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage("cp -r /pfs/in/* /pfs/out/; test ! -e /pfs/in/b", input=EACH)
        done = bench.run(executor, stage, {"a": b"1", "b": b"2", "c": b"3"}, workers=2)
        assert done.output() == {"a": b"1", "c": b"3"}
        assert done.results["/b"].failure is not None
        progress = executor.progress(done.name)
        assert (progress.total, progress.processed, progress.failed) == (3, 3, 1)

    def test_a_command_that_does_not_exist(self, executor: Executor, bench: Bench) -> None:
        failure = bench.run(executor, bench.stage(cmd=("no-such-program",)), {"a": b""}).only.failure
        assert failure is not None
        assert failure.kind == "user"
        assert "no-such-program" in failure.message

    def test_a_timeout_ends_the_whole_tree(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage("setsid sleep 60 & sleep 60", datum_timeout_ms=300)
        result = bench.run(executor, stage, {"a": b""}).only
        assert result.failure is not None
        assert result.failure.kind == "timeout"
        assert result.finished - result.started < 10_000

    def test_what_is_left_running_is_ended(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage("(setsid sh -c 'sleep 1; echo late > /pfs/out/late' &) ; echo 1 > /pfs/out/x")
        done = bench.run(executor, stage, {"a": b""})
        assert done.output() == {"x": b"1\n"}
        assert done.only.finished - done.only.started < 10_000

    def test_the_log_is_the_end_of_what_was_printed(self, executor: Executor, bench: Bench) -> None:
        done = bench.run(executor, bench.stage("head -c 3000000 /dev/zero; echo end >&2"), {"a": b""})
        log = done.log()
        assert len(log) == 1 << 20
        assert log.endswith("\0end\n")
        assert hashlib.sha256(log.encode()).hexdigest() == done.only.log

    # --------------------------------------------------------------------------------------------- what is stored

    def test_outputs_have_both_digests_and_empty_folders_are_dropped(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage(
            "mkdir -p /pfs/out/d/e /pfs/out/empty; printf x > /pfs/out/d/e/f; chmod 4700 /pfs/out/d/e/f"
        )
        (entry,) = bench.run(executor, stage, {"a": b""}).only.outputs
        assert (entry.path, entry.size, entry.exec) == ("d/e/f", 1, True)
        assert entry.oid == hashlib.md5(b"x", usedforsecurity=False).hexdigest()
        assert entry.sha256 == hashlib.sha256(b"x").hexdigest()

    def test_links_into_an_input_are_references(self, executor: Executor, bench: Bench) -> None:
        script = "cd /pfs/out; mkdir d; ln -s /pfs/in/a one; ln -s ../../in/sub d/two; ln -s one three"
        script += "; echo x > f; ln -s f four"
        done = bench.run(executor, bench.stage(script), {"a": b"A" * 100, "sub/b": b"B", "sub/t/c": (b"C", True)})
        assert done.output() == {
            "one": b"A" * 100,
            "three": b"A" * 100,
            "d/two/b": b"B",
            "d/two/t/c": b"C",
            "f": b"x\n",
            "four": b"x\n",
        }
        by_path = {e.path: e for e in done.only.outputs}
        assert by_path["d/two/t/c"].exec
        assert by_path["one"].sha256 == hashlib.sha256(b"A" * 100).hexdigest()
        assert executor.progress(done.name).bytes_up == 2  # the file f and nothing of the inputs
        assert {oid for oid, _, _ in done.only.fetched} == {e.oid for e in done.plan.datums[0].inputs[0].entries}

    @pytest.mark.parametrize(
        ("script", "word"),
        [
            ("ln -s /etc/passwd /pfs/out/x", "outside /pfs"),
            ("ln -s ../../../etc/passwd /pfs/out/x", "outside /pfs"),
            ("ln -s /pfs/in/nothing /pfs/out/x", "no file of this datum"),
            ("ln -s nothing /pfs/out/x", "no file of the output"),
            ("ln -s x /pfs/out/x", "no file of the output"),
            ("mkfifo /pfs/out/x", "neither a file"),
            ("mkdir /pfs/out/.git; touch /pfs/out/.git/config", "reserved"),
            ("touch /pfs/out/.DVC", "reserved"),
            ("touch \"/pfs/out/$(printf '\\377')\"", "not valid UTF-8"),
            ("rmdir /pfs/out; ln -s /etc /pfs/out", "replaced"),
            ("cd /pfs/out; i=0; while [ $i -lt 120 ]; do mkdir d; cd d; i=$((i+1)); done; touch f", "too deep"),
        ],
    )
    def test_hostile_output_fails_the_datum(self, executor: Executor, bench: Bench, script: str, word: str) -> None:
        failure = bench.run(executor, bench.stage(script), {"a": b""}).only.failure
        assert failure is not None
        assert failure.kind == "output"
        assert word in failure.message

    # ------------------------------------------------------------------------------------------- what is shared

    def test_a_shared_input_cannot_be_altered_for_the_next_datum(self, executor: Executor, bench: Bench) -> None:
        both = CrossInput((PfsInput("each", "/*", "each"), PfsInput("model", "/", "model")))
        script = (
            "cd /pfs/model; cat small; head -c 3 big; for f in small big; do echo evil > $f; done 2>/dev/null; true"
        )
        big = b"BIG" + bytes(9 << 20)
        inputs = {
            "each": bench.input({f"f{i}": b"" for i in range(8)}),
            "model": bench.input({"small": b"small", "big": big}),
        }
        done = bench.run_on(executor, bench.stage(script, input=both), inputs)
        logs = [bench.store.read(f"gitdata/v1/main/logs/{r.log}").decode() for r in done.results.values()]
        assert len(logs) == 8
        assert all(log.startswith("smallBIG") for log in logs)
        assert executor.progress(done.name).bytes_down < 5 * len(big)  # at most once for each of the 4 shards

    def test_missing_or_damaged_inputs_are_told_apart_from_the_users_faults(
        self, executor: Executor, bench: Bench
    ) -> None:
        listing = bench.input({"a": b"1", "b": b"2", "c": b"3"})
        bench.store.delete(object_key(listing[0].oid))
        bench.store.delete(object_key(listing[1].oid))
        bench.store.write(object_key(listing[1].oid), b"not what the name says")
        done = bench.run_on(executor, bench.stage("cp /pfs/in/* /pfs/out", input=EACH), {"in": listing})
        failures = {match: r.failure.kind for match, r in done.results.items() if r.failure}
        assert failures == {"/a": "infrastructure", "/b": "infrastructure"}
        assert done.output() == {"c": b"3"}

    # ----------------------------------------------------------------------------------------------- jobs by name

    def test_workers_share_the_datums(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage("cp /pfs/in/* /pfs/out", input=EACH)
        done = bench.run(executor, stage, {f"f{i}": str(i).encode() for i in range(11)}, workers=2)
        assert done.status.state == "succeeded"
        assert done.output() == {f"f{i}": str(i).encode() for i in range(11)}

    def test_progress_is_told_while_a_shard_runs(self, executor: Executor, bench: Bench) -> None:
        stage = bench.stage("case $in in */f4) sleep 60;; esac", input=EACH)
        files = {f"f{i}": b"" for i in range(8)}  # four shards of two datums; the second of the first one waits
        plan = bench.plan(executor, stage, {"in": bench.input(files)})
        job = bench.job(plan)
        executor.start(job, bench.git)
        bench.wait(executor, job.name, until=lambda: executor.progress(job.name).processed >= 1)
        # What is said of a job may be older than what is said of its datums.
        bench.wait(executor, job.name, until=lambda: executor.jobs()[job.name].state == "running")
        executor.cancel(job.name)
        bench.wait(executor, job.name)

    def test_a_constant_number_of_workers_is_that_number(self, executor: Executor, bench: Bench) -> None:
        assert executor.workers(bench.stage("true", parallelism=Parallelism(7))) == 7
        assert executor.workers(bench.stage("true", parallelism=Parallelism(1, 1))) == 1  # never none

    def test_starting_a_job_twice_is_adopting_it(self, executor: Executor, bench: Bench) -> None:
        plan = bench.plan(executor, bench.stage("date +%N", input=EACH), {"in": bench.input({"a": b""})})
        job = bench.job(plan)
        executor.start(job, bench.git)
        executor.start(job, bench.git)
        assert bench.wait(executor, job.name).state == "succeeded"
        executor.start(job, bench.git)
        assert bench.wait(executor, job.name).state == "succeeded"
        results, _ = bench.results(plan)
        assert len(results) == 1

    def test_names_that_nobody_knows(self, executor: Executor) -> None:
        assert executor.status("nothing-0-1") is None
        assert executor.progress("nothing-0-1").processed == 0
        assert not executor.is_foreign("nothing-0-1")
        executor.cancel("nothing-0-1")
        executor.forget("nothing-0-1")

    def test_cancel_ends_a_job_and_forget_drops_it(self, executor: Executor, bench: Bench) -> None:
        plan = bench.plan(executor, bench.stage("sleep 60", input=EACH), {"in": bench.input({"a": b""})})
        job = bench.job(plan)
        executor.start(job, bench.git)
        bench.wait(executor, job.name, until=lambda: executor.status(job.name).state == "running")  # type: ignore[union-attr]
        executor.forget(job.name)
        assert job.name in executor.jobs()  # a running job is not forgotten
        executor.cancel(job.name)
        assert bench.wait(executor, job.name).state == "failed"
        executor.forget(job.name)
        assert executor.status(job.name) is None
        assert bench.results(plan)[0] == []

    def test_a_job_of_no_datums_succeeds(self, executor: Executor, bench: Bench) -> None:
        done = bench.run(executor, bench.stage("true", input=PfsInput("in", "/none*", "in")), {"a": b""})
        assert (done.status.state, done.results) == ("succeeded", {})

    def test_a_job_that_takes_too_long_is_ended(self, executor: Executor, bench: Bench) -> None:
        done = bench.run(executor, bench.stage("sleep 60", job_timeout_ms=self.JOB_TIMEOUT_MS), {"a": b""})
        assert done.status.state == "failed"
        assert not done.status.infrastructure
        assert "job_timeout" in done.status.message

    def test_environment_names_the_image_and_refuses_what_cannot_run(self, executor: Executor, bench: Bench) -> None:
        commit = bench.repo.git("rev-parse", "HEAD")
        first = executor.environment(bench.git, commit, bench.stage("true"))
        assert first == executor.environment(bench.git, commit, bench.stage("false"))
        assert executor.environment(bench.git, bench.image(new="x"), bench.stage("true")).id != first.id
        with pytest.raises(InvalidInputError, match="secret"):
            executor.environment(
                bench.git, commit, bench.stage("true", secrets=(Secret("no-such", "key", "VARIABLE"),))
            )
