"""The verbs of a user's machine where Python has nothing that only Linux has, as on macOS."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from helpers.machine import Program, Repo

# What Python 3.11 has on Linux alone. Taken away before anything else is imported, which may ask whether it is there.
OTHERS = """
import os, select, signal, socket, sys, time
assert "shutil" not in sys.modules
missing = {
    os: "copy_file_range eventfd eventfd_read eventfd_write fdatasync getrandom getresgid getresuid getxattr listxattr"
    " memfd_create pidfd_open pipe2 posix_fadvise posix_fallocate removexattr sched_getaffinity sched_getparam"
    " sched_getscheduler sched_setaffinity sched_setparam sched_setscheduler setresgid setresuid setxattr splice waitid"
    " O_DIRECT O_LARGEFILE O_NOATIME O_PATH O_TMPFILE",
    select: "epoll",
    signal: "pidfd_send_signal sigtimedwait sigwaitinfo",
    socket: "AF_NETLINK AF_VSOCK SO_PEERCRED",
    time: "CLOCK_BOOTTIME",
}
for module, names in missing.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
from gitdata.cli import main
sys.exit(main())
"""


@pytest.fixture
def elsewhere(home: Path, repo: Repo) -> Program:
    return Program(sys.executable, "-c", OTHERS, cwd=repo.path)


def test_data_goes_to_a_remote_and_comes_back(elsewhere: Program, repo: Repo, tmp_path: Path) -> None:
    Repo.create(tmp_path / "origin.git", bare=True)
    repo.git("remote", "add", "origin", "../origin.git")
    repo.git("push", "-q", "--set-upstream", "origin", "main")
    elsewhere("init", "--remote", "../store")
    repo.write("images/a.jpg", "a")
    repo.write("images/below/b.jpg", "b")
    repo.write("one.bin", bytes(3_000_000))
    elsewhere("add", "images", "one.bin")
    repo.commit("data")
    repo.write("images/c.jpg", "c")
    elsewhere("status", "-v", check=False)
    elsewhere("commit", "-m", "more data")
    elsewhere("push")
    clone = Repo(tmp_path / "origin.git").clone(tmp_path / "clone")
    elsewhere("init", cwd=clone.path)
    elsewhere("pull", cwd=clone.path)
    assert sorted(path.name for path in (clone.path / "images").rglob("*.jpg")) == ["a.jpg", "b.jpg", "c.jpg"]
    clone.git("checkout", "-q", "HEAD~1", env={"GITDATA_SKIP_HOOKS": "1"})
    elsewhere("checkout", cwd=clone.path)
    assert not (clone.path / "images/c.jpg").exists()
    assert elsewhere("ls", "main:images", cwd=clone.path).stdout.count("c.jpg") == 1
    elsewhere("get", "main:one.bin", "-o", tmp_path / "got", cwd=clone.path)
    assert (tmp_path / "got").stat().st_size == 3_000_000
    elsewhere("diff", "HEAD", "main", cwd=clone.path)
    elsewhere("log", cwd=clone.path)


def test_what_asks_the_machine_and_the_controller_ends_without_a_traceback(elsewhere: Program, repo: Repo) -> None:
    elsewhere("init")
    repo.commit("init")
    for words in (["doctor"], ["stage", "validate"], ["job", "list"], ["plan"], ["run"], ["hooks", "install"]):
        done = elsewhere(*words, check=False)
        assert done.returncode != 70, done.stderr
        assert "Traceback" not in done.stderr
