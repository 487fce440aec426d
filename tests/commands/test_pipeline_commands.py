"""``plan``, ``run`` and ``job …`` as a person types them, on a repository with an origin and a data remote."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from cluster.processes import eventually
from gitdata.backends.builders import ImageSettings
from gitdata.backends.contexts import name_folder
from gitdata.backends.git import Git
from gitdata.commands.job_follow import after
from gitdata.commands.job_wait import wait
from gitdata.controller.visit import Awaited
from gitdata.errors import BusyError
from gitdata.executors.local import LocalExecutor
from gitdata.model import Environment, Stage
from helpers.lab import Lab
from helpers.machine import Program, nobody

UPPER = 'for f in /pfs/images/*; do tr a-z A-Z < "$f" > "/pfs/out/$(basename "$f")"; done'


@pytest.fixture
def lab(home: Path, tmp_path: Path, gitdata: Program) -> Lab:
    """Two files of data and two stages, pushed; nothing has run yet."""
    lab = Lab.create(tmp_path)
    work = lab.work.path
    gitdata("init", "--remote", str(tmp_path / "data"), cwd=work)
    lab.work.write("images/a", "one")
    lab.work.write("images/b", "two")
    lab.stage("upper", UPPER, {"pfs": {"repo": "images", "glob": "/*"}})
    lab.stage("all", "cat /pfs/upper/* > /pfs/out/all", {"pfs": {"repo": "upper", "glob": "/"}})
    gitdata("add", "images", cwd=work)
    lab.work.git("add", "--all")
    lab.work.git("commit", "--quiet", "-m", "stages")
    lab.work.git("push", "--quiet", "--set-upstream", "origin", "main")
    return lab


def test_plan_says_what_would_run_and_why(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    plan = json.loads(gitdata("plan", "--json", cwd=work).stdout)
    assert [(s["stage"], s["state"]) for s in plan["stages"]] == [("upper", "run"), ("all", "waiting")]
    assert gitdata("plan", "--exit-code", cwd=work, check=False).returncode == 1
    lab.settle()
    plan = json.loads(gitdata("plan", "--json", cwd=work).stdout)
    assert [(s["stage"], s["state"]) for s in plan["stages"]] == [("upper", "known"), ("all", "known")]
    assert gitdata("plan", "--exit-code", cwd=work).returncode == 0


class Building(LocalExecutor):
    """Gives stages the identities that a cluster gives them."""

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        folder = name_folder(git, commit, stage.transform.image, ImageSettings(registry="registry.example"))
        assert folder is not None
        return Environment(folder.id, stage.transform.image)


def test_plan_knows_what_a_controller_elsewhere_did(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.executor = Building
    lab.settle()
    assert [s["state"] for s in gitdata.json("plan", cwd=work)["stages"]] == ["known", "known"]
    lab.work.write("image/more", "changed")
    lab.push("an image")
    assert [s["state"] for s in gitdata.json("plan", cwd=work)["stages"]] == ["run", "waiting"]
    lab.settle()
    assert gitdata("plan", "--exit-code", cwd=work).returncode == 0


def test_a_user_without_a_name_or_a_home_is_served(lab: Lab) -> None:
    words = nobody()
    gitdata = Program(*words, "gitdata", cwd=lab.work.path)
    assert [s["stage"] for s in gitdata.json("plan")["stages"]] == ["upper", "all"]
    assert gitdata.json("job", "list", "--local") == []
    done = Program(*words, "--unset=XDG_CACHE_HOME", "gitdata", cwd=lab.work.path)("plan", code=10)
    assert done.stderr.endswith("hint: set XDG_CACHE_HOME, or HOME\n")


def test_plan_of_a_bad_spec_ends_in_its_line(lab: Lab, gitdata: Program) -> None:
    lab.work.write("stages/bad.json", '{"pipeline": {"name": "bad"}}')
    lab.work.git("add", "stages")
    lab.work.git("commit", "--quiet", "--no-verify", "-m", "bad")
    done = gitdata("plan", cwd=lab.work.path, check=False)
    assert done.returncode == 4
    assert "stages/bad.json" in done.stderr
    assert done.stdout == ""


def test_job_list_has_a_row_per_attempt(lab: Lab, gitdata: Program) -> None:
    lab.settle()
    rows = json.loads(gitdata("job", "list", "--json", cwd=lab.work.path).stdout)
    assert [(row["stage"], row["state"]) for row in rows] == [("all", "success"), ("upper", "success")]
    upper = rows[1]
    assert upper["datums"] == {"total": 2, "processed": 2, "skipped": 0, "failed": 0, "recovered": 0}
    assert upper["bytes"] == {"down": 6, "up": 6}
    assert upper["output_commit"] == lab.tip()
    text = gitdata("job", "list", cwd=lab.work.path).stdout
    older = json.loads(gitdata("job", "list", "--json", "-n", "1", "-s", "upper", cwd=lab.work.path).stdout)
    assert older == [upper]  # a limit is of the rows that are asked for
    assert "must be at least 1" in gitdata("job", "list", "-n", "0", cwd=lab.work.path, code=2).stderr
    assert "2 + 0 / 2" in text
    assert lab.output().sha[:12] in text


def test_a_link_to_an_input_counts_as_no_bytes_stored(lab: Lab, gitdata: Program) -> None:
    lab.stage("upper", "for f in /pfs/images/*; do ln -s $f /pfs/out/; done", {"pfs": {"repo": "images", "glob": "/*"}})
    lab.push("links")
    lab.settle()
    (row,) = json.loads(gitdata("job", "list", "--json", "--stage", "upper", cwd=lab.work.path).stdout)
    assert row["bytes"] == {"down": 6, "up": 0}
    assert lab.files("upper") == {"a": "one", "b": "two"}


def test_job_logs_survive_the_job(lab: Lab, gitdata: Program) -> None:
    lab.stage("upper", "echo hello from $GITDATA_DATUM_ID\n" + UPPER, {"pfs": {"repo": "images", "glob": "/*"}})
    lab.push("talk")
    lab.settle()
    done = gitdata("job", "logs", "upper", cwd=lab.work.path)
    assert done.stdout.count("hello from ") == 2
    logs = json.loads(gitdata("job", "logs", "upper", "--json", cwd=lab.work.path).stdout)
    assert sorted(log["log"] for log in logs) == sorted(f"hello from {log['datum']}\n" for log in logs)
    inspected = json.loads(gitdata("job", "inspect", "upper", "--json", cwd=lab.work.path).stdout)
    assert [d["state"] for d in inspected["datum_list"]] == ["success", "success"]
    assert sorted(i for d in inspected["datum_list"] for i in d["inputs"]) == ["images:/a", "images:/b"]


def test_job_wait_tells_how_the_stages_ended(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    late = gitdata("job", "wait", "--timeout", "0.1", cwd=work, check=False)
    assert (late.returncode, late.stderr.count("waiting all the same")) == (8, 0)
    lab.work.commit("here only")
    assert (
        "is not on main of origin: it is not pushed"
        in gitdata("job", "wait", "--timeout", "0.1", cwd=work, code=8).stderr
    )
    assert "has no branch side" in gitdata("job", "wait", "-b", "side", "--timeout", "0.1", cwd=work, code=8).stderr
    lab.work.git("reset", "--quiet", "--hard", "origin/main")
    threading.Timer(0.5, lab.settle).start()
    done = gitdata("job", "wait", "--timeout", "60", "--json", cwd=work)
    assert json.loads(done.stdout)["stages"]["all"]["state"] == "success"


def test_job_wait_where_nothing_will_be_published(
    lab: Lab, gitdata: Program, capsys: pytest.CaptureFixture[str]
) -> None:
    work = lab.work.path
    lab.work.git("rm", "--quiet", "-r", "stages")
    commit = lab.push("no stages", "side")
    assert "has no stages" in gitdata("job", "wait", "-b", "side", cwd=work).stderr
    assert gitdata.json("job", "wait", "-b", "side", cwd=work)["output_commit"] is None
    awaited = Awaited(Git(work), "side", commit)
    assert awaited.look() is None
    with pytest.raises(BusyError):
        wait(awaited, "side", 1.2, patience=0)
    assert capsys.readouterr().err.count("does a controller watch side?") == 1


def test_job_wait_names_the_commit_in_progress_and_what_it_does(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.stage("all", "test -e /pfs/upper/a || sleep 600", {"pfs": {"repo": "upper", "glob": "/*"}})
    older = lab.push("slow")
    controller = threading.Thread(target=lab.settle, daemon=True)
    controller.start()
    live = lambda: gitdata.json("job", "list", "--stage", "all", cwd=work)[0]["datums"]["processed"]  # noqa: E731
    eventually("the job", lambda: "all" in lab.started(lab.log))
    eventually("its first datum", lambda: live() == 1)
    lab.push("a newer one waits for it")
    said = gitdata("job", "wait", "--timeout", "5", cwd=work, code=8).stderr
    assert said.count(f"main: {older[:12]} in progress: stage all, 1 of 2 datums done\n") == 1
    assert f"after 5 s: {older[:12]} in progress: stage all" in said
    assert "does a controller watch" not in said
    gitdata("job", "cancel", "all", cwd=work)
    controller.join(60)


def test_job_logs_can_be_followed_to_the_end_of_the_job(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.stage("all", "echo one; echo two; sleep 8; echo three", {"pfs": {"repo": "upper", "glob": "/"}})
    lab.push("it prints")
    controller = threading.Thread(target=lab.settle, daemon=True)
    controller.start()
    eventually("the job", lambda: "all" in lab.started(lab.log))
    eventually("its text", lambda: "two" in gitdata("job", "logs", "all", cwd=work).stdout)
    done = gitdata("job", "logs", "--follow", "all", cwd=work)
    controller.join(60)
    assert done.stdout == "one\ntwo\nthree\n"
    assert done.stderr.endswith(": success\n")
    assert gitdata("job", "logs", "--tail", "1", "all", cwd=work).stdout == "three\n"
    assert gitdata("job", "logs", "-f", "--tail", "2", "all", cwd=work).stdout == "two\nthree\n"
    assert "not with --json" in gitdata("job", "logs", "-f", "--json", "all", cwd=work, code=2).stderr


@pytest.mark.parametrize(
    ("old", "new", "more"),
    [
        ("", "a\n", "a\n"),
        ("a\n", "a\nb\n", "b\n"),
        ("a\nb\n", "b\nc\n", "c\n"),
        ("b\nc\n", "a\nb\nc\nd\n", "d\n"),
        ("a\n", "z\n", "z\n"),
    ],
)
def test_what_is_new_of_a_text_of_which_the_end_is_told(old: str, new: str, more: str) -> None:
    assert after(old, new) == more


def test_a_failed_stage_is_seen_waited_for_and_retried(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.stage("all", "echo no good; exit 3", {"pfs": {"repo": "upper", "glob": "/"}}, datum_tries=1)
    lab.push("broken")
    lab.settle()
    waited = gitdata("job", "wait", cwd=work, check=False)
    assert (waited.returncode, "`sh -e` ended with 3: no good" in waited.stderr) == (9, True), waited.stderr
    assert "gitdata job logs --failed all-" in waited.stderr
    assert "no good" in gitdata("job", "logs", "--failed", "all", cwd=work).stdout
    assert gitdata("job", "retry", "upper", cwd=work, check=False).returncode == 5
    gitdata("job", "retry", "all", cwd=work)
    said = gitdata("job", "wait", "--timeout", "0.1", cwd=work, code=8).stderr
    assert "1 requests about main are not fulfilled" in said, "not that of the failure before"
    assert lab.started(lab.settle()) == ["all"]
    assert "failed: " in gitdata("job", "wait", cwd=work, code=9).stderr
    rows = json.loads(gitdata("job", "list", "--json", "--stage", "all", cwd=work).stdout)
    assert [row["id"][-2:] for row in rows] == ["-2", "-1"]
    assert gitdata.json("job", "inspect", "all", cwd=work)["id"] == rows[0]["id"], "of a stage its newest"
    lab.stage("all", "echo no better; exit 3", {"pfs": {"repo": "upper", "glob": "/"}}, datum_tries=1)
    lab.push("still broken")
    lab.settle()
    said = gitdata("job", "retry", rows[0]["id"], cwd=work, code=5).stderr
    assert "is no job of what gitdata/main shows now" in said, "nobody would do it"


def test_a_run_is_cancelled_by_its_stage_on_its_own_branch(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.stage("all", "test -e /pfs/upper/a || sleep 600", {"pfs": {"repo": "upper", "glob": "/*"}})
    lab.push("slow")
    controller = threading.Thread(target=lab.settle, daemon=True)
    controller.start()
    eventually("the job", lambda: "all" in lab.started(lab.log))
    job = gitdata.json("job", "list", "--stage", "all", cwd=work)[0]["id"]
    done = lambda: len(gitdata.json("job", "logs", job, cwd=work))  # noqa: E731
    eventually("the first datum", lambda: done() == 1)
    assert "no stage or job is named" in gitdata("job", "cancel", "", cwd=work, code=2).stderr
    lab.work.git("checkout", "--quiet", "--detach")
    assert "say which one is meant" in gitdata("job", "cancel", "all", cwd=work, code=2).stderr
    lab.work.git("checkout", "--quiet", "main")
    said = gitdata("job", "cancel", "all", "--branch", "side", cwd=work, code=5).stderr
    assert f"{job} of main: running" in said
    assert gitdata("job", "cancel", "upper", cwd=work, code=5).stderr.startswith("gitdata: upper does not run for main")
    gitdata("job", "cancel", "all", cwd=work)
    controller.join(60)
    assert lab.states() == {"upper": "success", "all": "failed"}
    assert "cancelled by a request" in gitdata("job", "inspect", job, cwd=work).stdout
    row = gitdata.json("job", "list", "--stage", "all", cwd=work)[0]
    assert (row["state"], row["datums"]["total"], row["datums"]["processed"]) == ("failed", 2, 1)
    logs = gitdata("job", "logs", "--failed", "all", cwd=work)
    assert (logs.stdout, "no datum of all-" in logs.stderr, "cancelled by a request" in logs.stderr) == ("", True, True)
    assert "was given no datum" in gitdata("job", "logs", "all", "--datum", "zz", cwd=work).stderr


def test_a_stage_that_failed_before_it_had_a_run_can_be_retried(lab: Lab, gitdata: Program) -> None:
    input = {"pfs": {"repo": "images", "glob": "/"}}
    lab.stage("odd", "true", input, transform={"image": "image", "cmd": ["true"], "user": "no-such-user"})
    lab.push("odd")
    lab.settle()
    assert lab.states()["odd"] == "failed"
    before = lab.tip()
    gitdata("job", "retry", "odd", cwd=lab.work.path)
    lab.settle()
    assert lab.tip() != before, "it was looked at once more"


def test_a_failure_is_retried_before_its_commit_is_published(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    input = {"pfs": {"repo": "images", "glob": "/"}}
    lab.stage("all", "echo no good; exit 3", input, datum_tries=1)
    lab.stage("slow", "sleep 600", input)
    lab.push("one fails, one goes on")
    controller = threading.Thread(target=lab.settle, daemon=True)
    controller.start()

    def jobs() -> list[tuple[str, str]]:
        return sorted((row["id"][-2:], row["state"]) for row in gitdata.json("job", "list", "-s", "all", cwd=work))

    eventually("the failure", lambda: jobs() == [("-1", "failed")])
    assert "did not fail: running" in gitdata("job", "retry", "slow", cwd=work, code=5).stderr
    gitdata("job", "retry", "all", cwd=work)
    eventually("the second attempt", lambda: jobs() == [("-1", "failed"), ("-2", "failed")])
    assert lab.tip() is None
    gitdata("job", "cancel", "slow", cwd=work)
    controller.join(60)
    assert lab.states() == {"upper": "success", "all": "failed", "slow": "failed"}
    assert lab.origin.refs("refs/gitdata/requests") == {}


def test_a_commit_that_was_pushed_away_has_nothing_to_retry(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    input = {"pfs": {"repo": "images", "glob": "/"}}
    lab.stage("all", "sleep 600", input)
    lab.push("slow")
    controller = threading.Thread(target=lab.settle, daemon=True)
    controller.start()
    eventually("the job", lambda: "all" in lab.started(lab.log))
    lab.stage("all", "exit 3", input, datum_tries=1)
    lab.work.git("commit", "--quiet", "--all", "--amend", "-m", "broken")
    lab.work.git("push", "--quiet", "--force")
    controller.join(60)
    assert lab.states()["all"] == "failed"
    wanted = next(row["id"] for row in gitdata.json("job", "list", "-s", "all", cwd=work) if row["state"] == "failed")
    assert f"another attempt at {wanted}" in gitdata("job", "retry", "all", cwd=work).stderr
    assert lab.started(lab.settle()) == ["all"]


def test_refresh_asks_for_what_may_have_a_tag(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.settle()
    assert "no stage nothing" in gitdata("images", "refresh", "nothing", cwd=work, code=6).stderr
    assert "is a folder of the repository" in gitdata("images", "refresh", "upper", cwd=work, code=5).stderr
    assert "nothing to ask for" in gitdata("images", "refresh", cwd=work).stderr
    assert lab.origin.refs("refs/gitdata/requests") == {}
    input = {"pfs": {"repo": "images", "glob": "/"}}
    lab.stage("odd", "true", input, transform={"image": "image", "cmd": ["true"], "user": "no-such-user"})
    lab.push("a stage without an output: its image is not known")
    lab.settle()
    gitdata("images", "refresh", cwd=work)
    gitdata("images", "refresh", "odd", cwd=work)
    assert len(lab.origin.refs("refs/gitdata/requests")) == 2
    assert lab.started(lab.settle()) == [], "folders have no tags"
    assert lab.origin.refs("refs/gitdata/requests") == {}


def test_run_does_the_working_tree_without_a_push(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.work.write("images/c", "three")
    gitdata("run", cwd=work)
    assert (work / "all/all").read_text() == "ONETHREETWO" or (work / "all/all").read_text() == "ONETWOTHREE"
    assert "all" not in lab.work.git("status", "--porcelain")
    assert lab.tip() is None
    assert not list((lab.root / "data").glob("gitdata/v1/*/runs/*"))
    again = json.loads(gitdata("run", "--json", cwd=work).stdout)
    assert [row["why"][:9] for row in again] == ["its 3 dat", "its 1 dat"]
    jobs = json.loads(gitdata("job", "list", "--local", "--json", cwd=work).stdout)
    assert {row["stage"] for row in jobs} == {"upper", "all"}
    assert {row["id"] for row in jobs} == {row["job"] for row in again}, "what made them, not what would"


def test_run_says_that_a_glob_matches_nothing_and_keeps_the_output(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    gitdata("run", cwd=work)
    before = (work / "all/all").read_text()
    spec = work / "stages/all.json"
    spec.write_text(spec.read_text().replace('"glob": "/"', '"glob": "/*.cvs"'))
    said = gitdata("run", cwd=work).stderr
    assert "all: nothing matches upper:/*.cvs: no datum ran; all/ is as it was" in said
    assert (work / "all/all").read_text() == before


def test_run_reuses_what_the_controller_did(lab: Lab, gitdata: Program) -> None:
    lab.settle()
    lab.work.write("images/c", "three")
    done = gitdata("run", cwd=lab.work.path)
    assert "1 datum to do, 2 known" in done.stderr
    assert (lab.work.path / "upper/c").read_text() == "THREE"
    assert (lab.work.path / "upper/a").read_text() == "ONE"


def test_run_of_one_stage_runs_only_what_it_needs(lab: Lab, gitdata: Program) -> None:
    rows = json.loads(gitdata("run", "upper", "--json", cwd=lab.work.path).stdout)
    assert [row["stage"] for row in rows] == ["upper"]
    assert "no stage is named nothing" in gitdata("run", "nothing", cwd=lab.work.path, code=6).stderr


def test_run_never_touches_a_folder_it_did_not_make(lab: Lab, gitdata: Program) -> None:
    lab.work.write("upper/mine", "precious")
    done = gitdata("run", "upper", cwd=lab.work.path, check=False)
    assert done.returncode in (4, 5)
    assert (lab.work.path / "upper/mine").read_text() == "precious"


def test_a_failed_run_ends_with_nine(lab: Lab, gitdata: Program) -> None:
    lab.stage("all", "exit 3", {"pfs": {"repo": "upper", "glob": "/"}}, datum_tries=1)
    done = gitdata("run", cwd=lab.work.path, check=False)
    assert done.returncode == 9
    assert "failed" in done.stdout


def test_a_stage_gets_the_secret_it_names_and_no_record_holds_it(lab: Lab, gitdata: Program) -> None:
    (lab.root / "key").write_text("s3cret-word\n")
    config = lab.root / "settings.toml"
    config.write_text(f'[secrets.api]\nkey = {{ file = "{lab.root}/key" }}\n')
    lab.stage("upper", "printf %s $KEY | wc -c > /pfs/out/length", {"pfs": {"repo": "images", "glob": "/"}})
    spec = json.loads((lab.work.path / "stages/upper.json").read_text())
    spec["transform"]["secrets"] = [{"name": "api", "key": "key", "env_var": "KEY"}]
    lab.work.write("stages/upper.json", json.dumps(spec))
    refused = gitdata("run", "upper", cwd=lab.work.path, check=False)
    assert (refused.returncode, "secret api" in refused.stdout + refused.stderr) == (9, True)
    gitdata("run", "upper", "--config", str(config), cwd=lab.work.path)
    assert (lab.work.path / "upper/length").read_text().strip() == "11"
    kept = [p for p in (lab.work.path / ".dvc/cache").rglob("*") if p.is_file() and b"s3cret-word" in p.read_bytes()]
    assert kept == []


def test_a_spec_may_name_the_default_branch_of_the_origin(lab: Lab, gitdata: Program) -> None:
    work = lab.work.path
    lab.origin.run("branch", "-m", "main", "trunk")
    lab.work.git("branch", "-m", "main", "trunk")
    lab.work.git("fetch", "--quiet", "origin")
    lab.work.git("remote", "set-head", "origin", "--auto")
    lab.stage("upper", UPPER, {"pfs": {"repo": "images", "glob": "/*", "branch": "trunk"}})
    lab.push("trunk", "trunk")
    assert json.loads(gitdata("plan", "--json", cwd=work).stdout)["stages"][0]["state"] == "run"
    lab.settle()
    assert lab.states("trunk") == {"upper": "success", "all": "success"}
