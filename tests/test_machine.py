"""The sealed machine itself: a test that reached the developer's own settings would prove nothing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from helpers.machine import Program, Repo, sealed_environment
from helpers.s3 import S3


def test_the_developers_settings_do_not_reach_a_test(tmp_path: Path) -> None:
    inherited = {
        "AWS_PROFILE": "prod",
        "SENDGRID_API_KEY": "x",
        "GIT_DIR": "/x",
        "NO_COLOR": "1",
        "GIT_SSL_CAINFO": "/ca",
    }
    env = sealed_environment(tmp_path / "other", {**inherited, "HOME": "/home/dev"})
    assert not {"AWS_PROFILE", "SENDGRID_API_KEY", "GIT_DIR", "NO_COLOR"} & set(env)
    assert env["GIT_SSL_CAINFO"] == "/ca"
    assert env["UV_CACHE_DIR"] == "/home/dev/.cache/uv"


def test_a_repository_is_the_same_on_every_machine(repo: Repo, home: Path) -> None:
    assert Path(os.environ["HOME"]) == home
    assert repo.git("log", "-1", "--format=%an %ae %ct %s") == "Test test@example.com 1700000000 first"
    assert repo.git("rev-parse --abbrev-ref HEAD") == "main"


def test_the_real_programs_run(repo: Repo, gitdata: Program, dvc: Program) -> None:
    assert gitdata("--version").stdout.startswith("gitdata ")
    assert gitdata("no-such-verb", code=2).stderr.startswith("gitdata: unknown command")
    dvc("init", "--quiet")
    assert (repo.path / ".dvc" / "config").is_file()


def test_the_s3_server_is_one_that_stock_dvc_can_use(repo: Repo, dvc: Program, s3: S3) -> None:
    bucket = s3.bucket()
    dvc("init", "--quiet")
    dvc("remote", "add", "--default", "store", f"s3://{bucket}/data")
    dvc("remote", "modify", "store", "endpointurl", s3.endpoint)
    repo.write("file", "hello\n")
    dvc("add", "file")
    dvc("push")
    assert (s3.folder / bucket / "data/files/md5/b1/946ac92492d2347c6235b4d2611184").read_text() == "hello\n"


def test_dvc_prints_a_row_on_one_line_however_long_the_path(home: Path, dvc: Program, tmp_path: Path) -> None:
    """As where the user's name, which is in the path, is long."""
    dvc.cwd = Repo.create(tmp_path / ("long" * 30) / "repo").path
    dvc("init", "--quiet")
    dvc("remote", "add", "far", "../store")
    assert str(dvc.cwd.parent / "store") in dvc("remote", "list").stdout


def test_what_is_skipped_is_summed_up_before_pytests_last_line(tmp_path: Path) -> None:
    reasons = ["Kubernetes: not built"] * 4 + ["users: one"] * 3 + ["users: two", "c: x", "c: x", "d: x", "e: x", "f"]
    tests = [f"@pytest.mark.skip({reason!r})\ndef test_{n}(): ...\n" for n, reason in enumerate(reasons)]
    (tmp_path / "test_it.py").write_text("import pytest\n" + "".join(tests))
    pytest_here = Program(sys.executable, "-m", "pytest", cwd=tmp_path, env={"PYTHONPATH": str(Path(__file__).parent)})
    lines = pytest_here("-p", "helpers.skips", "-p", "no:cacheprovider", "test_it.py").stdout.splitlines()
    assert lines[-7:-2] == [
        "Kubernetes: 4 tests; not built",
        "users: 4 tests; one (1 more reason)",
        "c: 2 tests; x",
        "d: 1 test; x",
        "e, f: 2 tests",
    ]
    assert "13 skipped" in lines[-1]
    assert lines[-8].strip("= ") == "not tested on this machine (-rs lists every test)"
