"""What a command in the sandbox can and cannot see and do, as root and as an ordinary user alike."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitdata.errors import MachineError
from gitdata.worker.box import Box, Exit
from gitdata.worker.datum import remove_tree
from gitdata.worker.sandbox import Sandbox, Tail, ability, make_folders


class Room:
    """A sandbox with folders, to run shell lines in."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.pfs = folder / "pfs"
        self.pfs.mkdir()
        make_folders(folder)

    def box(self, script: str, **more: Any) -> Box:
        fields: dict[str, Any] = {
            "argv": ("sh", "-c", script),
            "env": (("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),),
            "cwd": "/",
            "pfs": str(self.pfs),
            "scratch": str(self.folder),
            "user_namespace": ability(),
        }
        return Box(**(fields | more))

    def run(self, script: str, **more: Any) -> tuple[Exit, str]:
        log = Tail()
        done = self.sandbox.run(self.box(script, **more), log)
        return done, log.bytes().decode(errors="replace")

    def says(self, script: str, **more: Any) -> str:
        done, said = self.run(script, **more)
        assert done == Exit(), said
        return said


@pytest.fixture
def room(tmp_path: Path) -> Iterator[Room]:
    (tmp_path / "room").mkdir()
    with Sandbox() as sandbox:
        yield Room(sandbox, tmp_path / "room")


def test_the_root_holds_the_system_and_nothing_of_the_user(room: Room, home: Path) -> None:
    (home / "secret").write_text("hush")
    seen = set(room.says("ls /").split())
    assert {"usr", "etc", "proc", "dev", "tmp", "pfs"} <= seen
    assert not seen & {"home", "root", "run", "srv", "mnt", "media", "boot", "sys", "work"}
    assert room.run(f"cat {home}/secret")[0].code == 1
    assert room.says("ls -A /tmp /var/tmp /dev/shm").split() == ["/dev/shm:", "/tmp:", "/var/tmp:"]


def test_what_only_root_may_read_is_not_there_for_a_stage_of_root(room: Room) -> None:
    assert room.run("cat /etc/shadow /etc/gshadow /etc/sudoers /etc/ssh/*key /etc/ssl/private/* 2>/dev/null")[1] == ""
    assert room.says("head -n 1 /etc/passwd").startswith("root:")


def test_system_links_stay_links(room: Room) -> None:
    for name in ("bin", "lib", "sbin"):
        host = Path("/", name)
        if host.is_symlink():
            assert room.says(f"readlink /{name}").strip() == str(host.readlink())


def test_only_pfs_and_the_temporary_folders_can_be_written(room: Room) -> None:
    for place in ("/", "/usr", "/etc", "/dev", "/proc/sys/kernel", "/var"):
        done, said = room.run(f"touch {place}/gitdata-was-here")
        assert done.code == 1, (place, said)
    room.says("for d in /pfs /tmp /var/tmp /dev/shm; do touch $d/x || exit 1; done")
    assert (room.pfs / "x").exists()


def test_devices(room: Room) -> None:
    script = "head -c 1 /dev/zero /dev/urandom /dev/random >/dev/null; echo x > /dev/null; ls -A /dev | tr '\\n' ' '"
    names = set(room.says(script).split())
    assert names == {
        "null", "zero", "full", "random", "urandom", "tty", "shm", "pts", "ptmx", "fd", "stdin", "stdout", "stderr",
    }  # fmt: skip
    room.says("echo to stdout > /dev/stdout; exec 3</dev/null; test -e /dev/fd/3")
    assert room.run("echo x > /dev/full")[0].code != 0


def test_a_command_has_no_privileges_and_no_other_processes(room: Room) -> None:
    status = dict(line.split(":\t", 1) for line in room.says("cat /proc/self/status").splitlines() if ":\t" in line)
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert room.says("id -u; id -g").split() == [str(os.geteuid()), str(os.getegid())]
    assert room.says("ls -d /proc/[0-9]* | wc -l").strip() in ("3", "4")  # init, the shell, ls and wc
    for forbidden in (
        "mount -t tmpfs none /tmp",
        "umount /etc",
        "mount -o remount,rw /usr",
        "chroot /pfs",
        "kill -9 1; test ! -e /proc/1",
    ):
        assert room.run(forbidden)[0].code != 0, forbidden


def test_nothing_is_inherited(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    assert room.says("ls /proc/self/fd", argv=("ls", "/proc/self/fd")).split() == ["0", "1", "2", "3"]  # 3: the folder
    assert room.says("", argv=("env",)) == "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"
    assert room.says("ulimit -c; umask").split() == ["0", "0022"]
    # A closed pipe ends a command quietly, as in a terminal.
    assert room.says("yes | head -n 1") == "y\n"


def test_binds_are_read_only_and_hidden_folders_are_empty(room: Room, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "file").write_text("text")
    assert room.says(f"cat {shared}/file", binds=((str(shared), str(shared)),)) == "text"
    done, _ = room.run(f"echo x > {shared}/file", binds=((str(shared), str(shared)),))
    assert done.code != 0
    (room.pfs / "big").touch()
    box = ((str(shared / "file"), "/pfs/big"),)
    assert room.says("cat /pfs/big; test -f /pfs/big", binds=box) == "text"
    for alter in ("echo x > /pfs/big", "chmod 777 /pfs/big", "rm -f /pfs/big", "mv /pfs/big /pfs/other"):
        assert room.run(alter, binds=box)[0].code != 0, alter
    assert (shared / "file").read_text() == "text"
    assert room.says("echo /usr/share/*", hidden=("/usr/share",)) == "/usr/share/*\n"


def test_code_is_at_code(room: Room, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "x").write_text("1")
    assert room.says("pwd; cat x", code=str(tmp_path / "code"), cwd="/code") == "/code\n1"
    assert room.run("touch y", code=str(tmp_path / "code"), cwd="/code")[0].code == 1


@pytest.mark.parametrize(
    ("more", "word"),
    [
        ({"argv": ("no-such-program",)}, "run no-such-program"),
        ({"argv": ("/etc/passwd",)}, "run /etc/passwd"),
        ({"cwd": "/nowhere"}, "working_dir /nowhere"),
        ({"argv": ("echo", "a\0b")}, "null byte"),
    ],
)
def test_what_cannot_be_run_is_the_commands_fault(room: Room, more: dict[str, Any], word: str) -> None:
    done, _ = room.run("", **more)
    assert word in done.error
    assert not done.setup
    assert done.code == 127


def test_a_sandbox_that_cannot_be_built_is_the_machines_fault(room: Room) -> None:
    with pytest.raises(MachineError, match="sandbox"):
        room.run("true", pfs="/nowhere/at/all")
    room.says("true")  # and the next one works


def test_exit_codes_signals_and_time(room: Room) -> None:
    assert room.run("exit 42")[0].code == 42
    assert room.run("kill -9 $$")[0].code == 137
    done, said = room.run("echo before; sleep 60", timeout_ms=200)
    assert (done.timeout, said) == (True, "before\n")


def test_the_tail_keeps_the_end() -> None:
    tail = Tail()
    for number in range(300_000):
        tail.add(b"%06d\n" % number)
    assert len(tail.bytes()) == 1 << 20
    assert tail.bytes().endswith(b"299999\n")


def test_nothing_outlives_the_worker(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\n"
        "from worker.test_sandbox import Room, Sandbox\n"
        "with Sandbox() as s: Room(s, Path(sys.argv[1])).run('setsid sleep 54321 & sleep 54321')\n"
    )
    tests = str(Path(__file__).parent.parent)
    (tmp_path / "w").mkdir()
    worker = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "w"), tests], start_new_session=True)
    deadline = time.monotonic() + 20
    while len(_sleepers()) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    deadline = time.monotonic() + 1
    while _sleepers():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def _sleepers() -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if (folder / "cmdline").read_bytes() == b"sleep\x0054321\0":
                found.append(folder.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_any_tree_can_be_removed(tmp_path: Path) -> None:
    top = tmp_path / "tree"
    top.mkdir()
    subprocess.run(
        ["sh", "-c", "i=0; while [ $i -lt 1200 ]; do mkdir d; cd d; i=$((i+1)); done; touch f; chmod 0 ."],
        cwd=top,
        check=True,
    )
    (top / "shut" / "inner").mkdir(parents=True)
    (top / "shut").chmod(0)
    remove_tree(top)
    assert not top.exists()
    remove_tree(top)
