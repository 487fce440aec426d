"""Wait until the outputs of a commit are published, and say how its stages ended.

Ends with 0 if every stage succeeded or there is none, 9 if one failed, 6 if the bytes of an output are gone from the
data remote, 8 after --timeout. A newer commit that contains
the one waited for counts: of several pushes in a row the controller may pass over those between. What was asked for
before, a retry say, is waited for too.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from gitdata.backends.git import Git
from gitdata.commands.plan import COLOURS
from gitdata.commands.sites import branch_of
from gitdata.commands.terminal import print_json, print_table, say
from gitdata.controller.jobs import JobRow, job_of, list_jobs
from gitdata.controller.presence import absent, words
from gitdata.controller.published import generated_pointers
from gitdata.controller.sources import Tree
from gitdata.controller.visit import Awaited, describe, missing_push
from gitdata.data.repository import Repository
from gitdata.data.revisions import commit_of, default_branch
from gitdata.errors import BusyError, GitdataError, InvalidInputError, MissingDataError, RemoteError, RunFailedError

_POLL_SECONDS = 0.5
_LONGEST_PAUSE = 10.0
_PATIENCE = 30.0
_LOOK_SECONDS = 3.0  # between two looks at what runs
_NEWEST = 20  # jobs that are looked at


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", nargs="?", default="HEAD", metavar="REV", help="default: HEAD")
    parser.add_argument("-b", "--branch", help="default: the current branch")
    parser.add_argument("--timeout", type=float, default=0, metavar="SECONDS", help="0 (default): no limit")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-r", "--remote", metavar="NAME", help="the data remote, by its name in .dvc/config")


def run(args: argparse.Namespace) -> int:
    repository = Repository.open()
    git, branch = repository.git, branch_of(repository, args.branch)
    commit = commit_of(git, args.revision)
    awaited = Awaited(git, branch, commit)
    tip = awaited.look()
    if awaited.tip is None and not _has_stages(git, commit):
        if args.json:
            print_json({"output_commit": None, "source_commit": commit, "stages": {}, "error": ""})
        say(f"{commit[:12]} has no stages: nothing is published for it")
        return 0
    if tip is None:
        with suppress(RemoteError):
            if lack := missing_push(git, branch, commit):
                say(f"{lack}; waiting all the same")
        tip = wait(awaited, branch, args.timeout, running=lambda: running_jobs(repository, args.remote, branch))
    found = describe(git, tip, branch)
    assert found is not None
    if args.json:
        stages = {
            name: {"state": s, "run": r, "result": n, "reason": found.reasons.get(name, "")}
            for name, (s, r, n) in found.stages.items()
        }
        print_json({"output_commit": tip, "source_commit": found.source, "stages": stages, "error": found.error})
    else:
        rows = ((n, s) for n, (s, _, _) in found.stages.items())
        print_table(("STAGE", "STATE"), rows, COLOURS)
        say(found.error or f"outputs of {found.source[:12]}: gitdata/{branch} at {tip[:12]}")
        for name, (state, run_key, result) in found.stages.items():
            if state == "failed":
                known = found.reasons.get(name, "see `gitdata plan`")
                for line in _reason(repository, args.remote, run_key, result, known):
                    say(line if line.startswith(" ") else f"{name} failed: {line}")
        for remark in found.remarks:
            say(f"warning: {remark}")
    if found.error or any(state != "success" for state, _, _ in found.stages.values()):
        return RunFailedError.exit_code
    gone = _gone(repository, args.remote, tip)
    for name, count in gone.items():
        say(f"{name}: {words(count)} from the data remote; `gitdata job retry {name}` makes it again")
    return MissingDataError.exit_code if gone else 0


def wait(
    awaited: Awaited,
    branch: str,
    timeout: float,
    *,
    patience: float = _PATIENCE,
    running: Callable[[], Sequence[JobRow]] = tuple,
) -> str:
    """The output tip once it is there. timeout: seconds, 0 for no limit; raises BusyError after it.

    running: the jobs of the branch now; a person is told of each, and of its phases, as they change. patience: seconds
    after which they are asked, once, whether there is anything to wait for, if nothing has run.
    """
    began, pause, asked, looked = time.monotonic(), _POLL_SECONDS, False, -_LOOK_SECONDS
    told: dict[str, str] = {}
    while True:
        passed = time.monotonic() - began
        if timeout and passed > timeout:
            now = "; ".join(map(_doing, running()))
            question = "is it pushed, and does a controller watch this branch? see `gitdata job list`"
            raise BusyError(
                f"{awaited.lack} after {timeout:.0f} s" + (f": {now}" if now else ""),
                hint="`gitdata job list` shows how far it is; wait again" if now else question,
            )
        if passed - looked >= _LOOK_SECONDS:
            looked = passed
            for row in running():
                if told.get(row.id) != _step(row):
                    told[row.id] = _step(row)
                    say(f"{branch}: {_doing(row)}")
        if passed > patience and not asked and not told:
            asked = True
            say(f"{awaited.lack}; does a controller watch {branch}? `gitdata job list` shows what runs; still waiting")
        time.sleep(pause)
        try:
            tip, pause = awaited.look(), _POLL_SECONDS
            if tip is not None:
                return tip
        except RemoteError as error:  # a server that is away for a moment ends no wait
            pause = min(2 * pause, _LONGEST_PAUSE)
            if pause == _LONGEST_PAUSE and not timeout:
                say(f"{error.message}; still trying")


def running_jobs(repository: Repository, remote: str | None, branch: str) -> Sequence[JobRow]:
    """The jobs that run for a branch, as far as the data remote tells it; the oldest first."""
    try:
        rows = list_jobs(repository.remote(remote), "main", (), _NEWEST)
    except GitdataError:  # the answer of this command comes from git alone
        return ()
    return [row for row in reversed(rows) if (row.state, row.branch) == ("running", branch)]


def _doing(row: JobRow) -> str:
    """``abc123 in progress: stage plot, 3 of 8 datums done``."""
    told = " (".join(filter(None, (row.phase or "beginning", row.message))) + (")" if row.message else "")
    return f"{row.commit[:12]} in progress: stage {row.stage}, {told}"


def _step(row: JobRow) -> str:
    """What of a job's state is worth a line of its own: not each datum."""
    return row.phase.lstrip("0123456789") + row.message


def _has_stages(git: Git, commit: str) -> bool:
    try:
        return bool(Tree(git, commit).pipeline(default_branch(git)))
    except InvalidInputError:
        return True  # which is published as well


def _gone(repository: Repository, remote: str | None, tip: str) -> dict[str, int]:
    """Stage -> objects of its published output that are not on the data remote; none where that cannot be asked."""
    oids = {name: pointer.output.oid for name, pointer in generated_pointers(repository.git, tip).items()}
    try:
        lacking = absent(repository.remote(remote), oids.values())
    except GitdataError:
        return {}
    return {name: lacking[oid] for name, oid in oids.items() if oid in lacking}


def _reason(repository: Repository, remote: str | None, run_key: str, result: str, known: str) -> tuple[str, ...]:
    """Why a stage failed and where to read on, as far as the data remote tells it: a line each.

    known: what the output commit says.
    """
    if run_key == "-":
        return (known,)
    try:
        job = job_of(repository.remote(remote), "main", run_key, result)
    except GitdataError:  # the answer of this command comes from git alone
        return (known,)
    return job.message or "see its log", f"  `gitdata job logs --failed {job.id}` shows what its commands said"
