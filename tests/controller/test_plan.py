"""The planner: the same facts give the same decision, and the decision says why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from gitdata.controller.plan import StageFacts, StagePlan, blocked, decide
from gitdata.formats.records import History, RunRecord, fold
from gitdata.identity import datum_id, execution_key, job_name, run_key
from gitdata.model import Datum, DatumInput, DatumResult, Entry, Environment, Output, PfsInput, Stage, Transform

KEY = "a" * 64
OWNER = ("/data", "main")
STAGE = Stage("detect", Transform("img", ("run",)), PfsInput("images", "/*", "images"))


def datum(name: str) -> Datum:
    inputs = (DatumInput("images", f"/{name}", (Entry(name, "0" * 32, 1),)),)
    return Datum(datum_id(KEY, inputs), inputs)


def result(one: Datum, job: str = "earlier-1") -> DatumResult:
    return DatumResult(one.id, outputs=(Entry("o", "1" * 32, 1, sha256="2" * 64),), job=job)


def facts(*datums: Datum, index: Mapping[str, DatumResult] | None = None, history: History | None = None) -> StageFacts:
    return StageFacts(
        stage=STAGE,
        environment=Environment("venv:1", "img"),
        stage_key=KEY,
        datums=datums,
        index=lambda job: {id: [one] for id, one in (index or {}).items()},
        history=lambda key: history or History(),
        output_proven=lambda record: True,
        result_proven=lambda results: [True] * len(results),
        commit="c" * 40,
        owner=OWNER,
    )


def record(kind: str, *datums: Datum, attempt: int = 1, **more: object) -> RunRecord:
    key = run_key(KEY, [d.id for d in datums])
    base = RunRecord(
        kind=kind,  # type: ignore[arg-type]
        run_key=key,
        execution_key=execution_key(key, STAGE),
        attempt=attempt,
        job=job_name("detect", *OWNER, key, attempt),
        stage="detect",
        commit="c" * 40,
        branch="main",
        time=1000,
    )
    return replace(base, **more)  # type: ignore[arg-type]


def test_a_new_stage_runs_all_its_datums() -> None:
    plan = decide(facts(datum("a"), datum("b")))
    assert (plan.state, len(plan.todo), plan.attempt) == ("run", 2, 1)
    assert "no results yet" in plan.why


def test_only_datums_without_a_result_are_to_do() -> None:
    a, b = datum("a"), datum("b")
    plan = decide(facts(a, b, index={a.id: result(a)}))
    assert plan.todo == (b,)
    assert plan.why == "1 datum to do, 1 known"


def test_a_result_without_its_bytes_does_not_exist() -> None:
    a = datum("a")
    plan = decide(replace(facts(a, index={a.id: result(a)}), result_proven=lambda results: [False]))
    assert plan.todo == (a,)


def test_a_finished_run_is_known() -> None:
    a = datum("a")
    done = record("result", a, state="success", output=Output("", "0" * 32 + ".dir"))
    plan = decide(facts(a, history=fold([("r" * 64, done)])))
    assert (plan.state, plan.result) == ("known", ("r" * 64, done))


def test_a_finished_run_without_its_bytes_runs_again() -> None:
    a = datum("a")
    done = record("result", a, state="success", output=Output("", "0" * 32 + ".dir"))
    plan = decide(replace(facts(a, history=fold([("r" * 64, done)])), output_proven=lambda r: False))
    assert plan.state == "run"


def test_of_two_results_the_one_the_output_tip_names_counts_else_the_smaller_name() -> None:
    a = datum("a")
    one = record("result", a, state="success", output=Output("", "1" * 32 + ".dir"))
    two = record("result", a, state="success", output=Output("", "2" * 32 + ".dir"))
    history = fold([("b" * 64, two), ("a" * 64, one)])
    unnamed, named = decide(facts(a, history=history)), decide(replace(facts(a, history=history), preferred="b" * 64))
    assert unnamed.result is not None
    assert named.result is not None
    assert (unnamed.result[0], named.result[0]) == ("a" * 64, "b" * 64)


def test_a_failed_run_is_not_tried_again_without_a_reason() -> None:
    a = datum("a")
    failed = record("result", a, state="failed", cause="user", message="exit 1")
    plan = decide(facts(a, history=fold([("f" * 64, failed)])))
    assert (plan.state, plan.attempt) == ("failed", 2)
    assert "exit 1" in plan.why


def test_a_failed_run_is_tried_again_on_request_or_with_other_limits() -> None:
    a = datum("a")
    failed = record("result", a, state="failed", cause="user", message="exit 1")
    base = facts(a, history=fold([("f" * 64, failed)]))
    assert decide(replace(base, retried=frozenset([failed.job]))).state == "run"
    assert decide(replace(base, stage=replace(STAGE, datum_tries=5))).state == "run"


def test_a_request_for_an_older_attempt_is_spent() -> None:
    a = datum("a")
    first = record("result", a, state="failed", cause="user")
    second = record("result", a, attempt=2, state="failed", cause="user")
    plan = decide(
        replace(facts(a, history=fold([("f" * 64, first), ("e" * 64, second)])), retried=frozenset([first.job]))
    )
    assert plan.state == "failed"


def test_infrastructure_failures_are_tried_three_times_with_growing_pauses() -> None:
    a = datum("a")
    failures = [
        (str(i) * 64, record("failed", a, attempt=i, cause="infrastructure", message="disk")) for i in (1, 2, 3)
    ]
    plans = [decide(facts(a, history=fold(failures[:n]))) for n in range(4)]
    assert [p.state for p in plans] == ["run", "run", "run", "failed"]
    assert plans[0].not_before < plans[1].not_before < plans[2].not_before
    assert "3 attempts failed: disk" in plans[3].why


def test_one_attempt_that_two_controllers_recorded_counts_once_and_a_persons_word_before_the_machines() -> None:
    a = datum("a")
    twice = [(name * 64, record("failed", a, cause="infrastructure", message="gone")) for name in "12"]
    more = ("3" * 64, record("failed", a, attempt=2, cause="infrastructure", message="gone"))
    assert decide(facts(a, history=fold([*twice, more]))).state == "run"
    cancelled = ("f" * 64, record("failed", a, cause="user", message="cancelled"))
    plan = decide(facts(a, history=fold([*twice, cancelled])))
    assert (plan.state, "cancelled" in plan.why) == ("failed", True)


def test_infrastructure_failures_of_another_commit_do_not_count() -> None:
    a = datum("a")
    failures = [
        (str(i) * 64, record("failed", a, attempt=i, cause="infrastructure", commit="d" * 40)) for i in (1, 2, 3)
    ]
    plan = decide(facts(a, history=fold(failures)))
    assert (plan.state, plan.attempt, plan.not_before) == ("run", 4, 0)


def shared(failures: int, *, cause: str, commit: str = "c" * 40) -> History:
    """A run that another stage with the same command and input, but other limits, failed so many times."""
    another = execution_key(run_key(KEY, [datum("a").id]), replace(STAGE, resources=(("limits.memory", "64Gi"),)))
    made = [
        record(
            "failed", datum("a"), attempt=i, execution_key=another, cause=cause, commit=commit, message="no node",
            job=f"big-0-{i}",
        )
        for i in range(1, failures + 1)
    ]  # fmt: skip
    return fold([(str(i) * 64, one) for i, one in enumerate(made, 1)])


def test_what_failed_under_other_limits_does_not_count_for_a_stage_that_shares_the_run() -> None:
    for cause in ("user", "infrastructure"):
        plan = decide(facts(datum("a"), history=shared(3, cause=cause)))
        assert (plan.state, plan.attempt, plan.not_before) == ("run", 4, 0)


def test_a_stage_that_failed_is_not_tried_again_because_another_of_its_run_failed_later() -> None:
    own = record("failed", datum("a"), cause="user", message="exit 1")
    history = fold([("0" * 64, own), *shared(3, cause="infrastructure").failures])
    plan = decide(facts(datum("a"), history=history))
    assert (plan.state, plan.result, "exit 1" in plan.why) == ("failed", ("0" * 64, own), True)


def test_a_run_has_five_attempts_for_a_commit_whatever_fails_and_whoever_asks() -> None:
    asked = frozenset(["big-0-5"])
    for cause in ("user", "infrastructure"):
        plan = decide(replace(facts(datum("a"), history=shared(5, cause=cause)), retried=asked))
        assert (plan.state, "5 attempts" in plan.why, "no node" in plan.why) == ("failed", True, True)
        plan = decide(facts(datum("a"), history=shared(5, cause=cause, commit="d" * 40)))
        assert plan.state == "run"


def test_no_datums_is_said_loudly_and_runs() -> None:
    plan = decide(facts())
    assert (plan.state, plan.todo) == ("run", ())
    assert "match nothing" in plan.why


def test_a_stage_waits_for_what_runs_and_cannot_run_behind_what_failed() -> None:
    def up(state: str) -> StagePlan:
        return StagePlan(STAGE, state, "")  # type: ignore[arg-type]

    assert blocked(STAGE, {"x": up("known")}) is None
    waiting = blocked(STAGE, {"x": up("run"), "y": up("known")})
    broken = blocked(STAGE, {"x": up("run"), "y": up("unrunnable")})
    assert waiting is not None
    assert broken is not None
    assert (waiting.state, broken.state) == ("waiting", "unrunnable")
