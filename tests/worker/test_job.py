"""The plan that a worker is told of: these bytes or none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gitdata.backends.local import LocalStore
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.formats.keys import plan_key
from gitdata.formats.plans import dump_plan
from gitdata.identity import sha256
from gitdata.model import Environment, PfsInput, RunPlan, Stage, Transform
from gitdata.worker.job import WorkerJob, read_plan

PLAN = RunPlan(
    stage=Stage("count", Transform("image", ("true",)), PfsInput("in", "in", "/")),
    stage_key="2" * 64,
    run_key="3" * 64,
    execution_key="4" * 64,
    environment=Environment("oci:sha256:" + "1" * 64, "image"),
    commit="5" * 40,
    commits=(),
    datums=(),
    job="count-0123456789-1",
)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path, str(tmp_path))


def job(plan: str) -> WorkerJob:
    given = {"plan": plan, "zone": "main", "parent": os.getpid()}
    empty = dict.fromkeys(("store", "objects", "scratch", "code", "venv"), "") | {"shards": 1, "flush_seconds": 1.0}
    lists = dict.fromkeys(("store_options", "hidden", "secrets"), ()) | {"uid": None, "gid": None}
    return WorkerJob.parse(
        json.dumps({**given, **empty, **lists, "user_namespace": False, "engine_options": ()}).encode()
    )


def test_a_plan_is_read_by_its_digest(store: LocalStore) -> None:
    digest = sha256(dump_plan(PLAN))
    with pytest.raises(MissingDataError):
        read_plan(store, job(digest))
    store.write(plan_key("main", digest), dump_plan(PLAN))
    assert read_plan(store, job(digest)) == PLAN


def test_a_plan_with_other_bytes_is_refused(store: LocalStore) -> None:
    store.write(plan_key("main", "5" * 64), dump_plan(PLAN))
    with pytest.raises(InvalidInputError, match="is damaged: its bytes have another sha256"):
        read_plan(store, job("5" * 64))
