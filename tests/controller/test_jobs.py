"""Looking for jobs in a long history: no more of it is read than the answer needs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitdata.backends.git import Git
from gitdata.backends.local import LocalStore
from gitdata.controller.jobs import find_job, jobs_until
from gitdata.controller.visit import OutputCommit, output_commits
from gitdata.errors import MissingDataError
from gitdata.formats.keys import run_record_key
from gitdata.formats.records import RunRecord, dump_record
from gitdata.identity import sha256
from helpers.machine import Repo

RUNS = 200


class Counting(LocalStore):
    reads = 0

    def read(self, key: str) -> bytes:
        self.reads += 1
        return super().read(key)


def record(store: LocalStore, run: int, stage: str, began: int, ended: int) -> None:
    """A run that failed; the times are seconds."""
    key = sha256(b"%d" % run)
    job = f"{stage}-{run}-1"
    made = RunRecord("result", key, key, 1, job, stage, "c" * 40, "main", 1000 * ended, started=1000 * began)
    data = dump_record(made)
    name = run_record_key("main", key, sha256(data))
    store.write(name, data)
    os.utime(store.root / name, (ended, ended))


@pytest.fixture
def store(tmp_path: Path) -> Counting:
    store = Counting(tmp_path)
    for run in range(RUNS):
        record(store, run, "often" if run % 2 else "other", 100 * run, 100 * run + 1)
    return store


def test_the_newest_of_a_stage_is_found_among_the_newest(store: Counting) -> None:
    assert find_job(store, "main", (), "often").id == f"often-{RUNS - 1}-1"
    assert store.reads < RUNS / 2
    assert find_job(store, "main", (), f"other-{RUNS - 2}-1").stage == "other"
    assert store.reads < RUNS


def test_what_ended_last_need_not_be_the_newest(store: Counting) -> None:
    late = 100 * (RUNS + 100)
    for run in range(RUNS, RUNS + 60):
        record(store, run, "more", 100 * run, 100 * run + 1)
    record(store, RUNS + 60, "often", 50, late)
    assert find_job(store, "main", (), "often").id == f"often-{RUNS - 1}-1"
    record(store, RUNS + 61, "slow", 10, late)
    assert find_job(store, "main", (), "slow").id == f"slow-{RUNS + 61}-1", "it is the only one"


def test_what_is_old_or_of_another_kind_is_looked_for_in_all(store: Counting) -> None:
    assert find_job(store, "main", (), "other-0-1").id == "other-0-1"
    found = jobs_until(store, "main", (), "often", lambda row: row.started == 100_000)
    assert any(row.started == 100_000 for row in found)
    with pytest.raises(MissingDataError):
        find_job(store, "main", (), "nothing")


class Asked(Git):
    """Counts the processes that it starts."""

    calls = 0

    def call(self, *args: str, **more: Any) -> Any:
        self.calls += 1
        return super().call(*args, **more)


def test_output_commits_are_read_together(repo: Repo) -> None:
    made: list[str] = []
    for _ in range(8):
        source = repo.commit("source")
        parents = [word for parent in (*made[-1:], source) for word in ("-p", parent)]
        message = f"gitdata\n\nGitdata-Source: {source}\nGitdata-Stage: a success {len(made)} -\n"
        made.append(repo.git("commit-tree", *parents, "-m", message, f"{source}^{{tree}}"))
    repo.git("update-ref", "refs/remotes/origin/gitdata/main", made[-1])

    def read(limit: int) -> tuple[list[OutputCommit], int]:
        git = Asked(repo.path)
        return list(output_commits(git, limit)), git.calls

    (one, few), (all_of_them, many) = read(1), read(100)
    assert [commit.sha for commit in all_of_them] == made[::-1]
    assert all_of_them[0].stages == {"a": ("success", "7", "-")}
    assert [commit.sha for commit in one] == made[-1:]
    assert few == many
