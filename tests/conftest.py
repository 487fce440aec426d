"""The fixtures of all tests. Each runs on a sealed machine: own home, own git settings, no secrets."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from cluster.fixtures import (
    api_cluster,
    control_cluster,
    node_cluster,
    pytest_collection_modifyitems,
    pytest_runtest_setup,
    pytest_runtest_teardown,
    pytest_sessionfinish,
    pytest_xdist_make_scheduler,
)
from helpers.machine import BIN, Program, Repo, sealed_environment
from helpers.real_pods import pod_s3, worker_image
from helpers.registries import image_registry, shared_registry
from helpers.s3 import S3, serve_s3
from helpers.skips import pytest_terminal_summary

# No example is timed: a machine that is busy with other tests is slow.
_UNTIMED = [hypothesis.HealthCheck.too_slow]
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=_UNTIMED)
hypothesis.settings.load_profile("untimed")

__all__ = [  # found here by pytest
    "api_cluster",
    "control_cluster",
    "image_registry",
    "node_cluster",
    "pod_s3",
    "pytest_collection_modifyitems",
    "pytest_runtest_setup",
    "pytest_runtest_teardown",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_xdist_make_scheduler",
    "shared_registry",
    "worker_image",
]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's home folder; every process of the test has this environment and starts in ``tmp_path``."""
    env = sealed_environment(tmp_path, os.environ)
    for name in list(os.environ):
        if name not in env:
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"


@pytest.fixture
def repo(home: Path, tmp_path: Path) -> Repo:
    """A git repository with one commit on ``main``; not yet a gitdata repository."""
    return Repo.create(tmp_path / "repo")


@pytest.fixture
def gitdata(home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Program:
    """The real command; runs in ``repo`` where the test has one."""
    return Program(str(BIN / "gitdata"), cwd=tmp_path / "repo" if "repo" in request.fixturenames else tmp_path)


@pytest.fixture
def dvc(home: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Program:
    """Stock DVC, the referee; runs in ``repo`` where the test has one."""
    cwd = tmp_path / "repo" if "repo" in request.fixturenames else tmp_path
    return Program(str(BIN / "dvc"), cwd=cwd, env={"COLUMNS": "1000"})  # its tables break long paths at the 80th column


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3]:
    """One S3 server for the session (with xdist: one for each worker)."""
    with serve_s3() as server:
        yield server


@pytest.fixture
def s3(home: Path, s3_server: S3, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    """The S3 server, without buckets, with AWS's variables set to reach it (``AWS_ENDPOINT_URL`` too)."""
    for name, value in s3_server.env.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    s3_server.clear()
