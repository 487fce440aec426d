"""The root file system that the user's command sees. Called by worker.launcher, in namespaces of its own.

An empty tmpfs into which the host's system folders are bound read-only, with ``/pfs``, ``/code``, a private
``/tmp`` and the stage's environment. What is not bound is not there: home folders, ``/run``, ``/srv``, the
cache. It must never write to the host outside the folders that the box names.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from gitdata.worker import syscalls
from gitdata.worker.box import Box

SYSTEM_FOLDERS = (
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "etc", "opt", "nix", "gnu",
)  # fmt: skip
# Root may write these without any capability.
_KERNEL_SWITCHES = ("sys", "sysrq-trigger", "irq", "bus", "fs")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV


def enter(box: Box, closed: Iterable[str]) -> None:
    """Build the root of ``box`` and make it this process's. Needs a mount and a pid namespace of its own.

    closed: what must not be seen beside what the box hides.
    """
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    new = Path(box.scratch, "root")
    syscalls.mount("tmpfs", str(new), "tmpfs", _QUIET, "mode=0755,size=64m")
    _system(new)
    _proc_and_dev(new)
    for source, target in (("tmp", "tmp"), ("vartmp", "var/tmp")):
        _bind(Path(box.scratch, source), new / target, writable=True)
    for name in (*closed, *box.hidden):
        cover(new / name.lstrip("/"))
    _bind(Path(box.pfs), new / "pfs", writable=True)
    if box.code:
        _bind(Path(box.code), new / "code")
    for source, target in box.binds:
        _bind(Path(source), new / target.lstrip("/"))
    flags = syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY | _QUIET
    syscalls.mount("none", str(new), flags=flags)
    os.chdir(new)
    # Both names are the new root: the old one lands on top of it and is taken away.
    syscalls.pivot_root(".", ".")
    syscalls.unmount(".")
    os.chdir("/")


def _system(new: Path) -> None:
    for name in SYSTEM_FOLDERS:
        host = Path("/", name)
        if host.is_symlink():
            (new / name).symlink_to(host.readlink())
        elif host.is_dir():
            _bind(host, new / name)
    # Often a link into /run, which is not bound; without the file no name resolves.
    resolver = Path("/etc/resolv.conf").resolve()
    if resolver.is_file() and resolver.parts[1] not in SYSTEM_FOLDERS:
        _bind(resolver, new / str(resolver).lstrip("/"))


def _proc_and_dev(new: Path) -> None:
    for name in ("proc", "dev", "dev/shm", "dev/pts", "var"):
        (new / name).mkdir()
    mount_proc(str(new / "proc"))
    for name in _KERNEL_SWITCHES:
        if (new / "proc" / name).exists():
            _bind(new / "proc" / name, new / "proc" / name)
    syscalls.mount("tmpfs", str(new / "dev/shm"), "tmpfs", _QUIET, "mode=1777")
    syscalls.mount("devpts", str(new / "dev/pts"), "devpts", syscalls.MS_NOSUID, "newinstance,ptmxmode=0666,mode=0620")
    for name in _DEVICES:
        (new / "dev" / name).touch()
        syscalls.mount(f"/dev/{name}", str(new / "dev" / name), flags=syscalls.MS_BIND)
    for name, target in _LINKS.items():
        (new / "dev" / name).symlink_to(target)


def mount_proc(target: str) -> None:
    """A view of the processes of this pid namespace, and of no other."""
    syscalls.mount("proc", target, "proc", _QUIET | syscalls.MS_NOEXEC)


def cover(place: Path) -> None:
    """Put something empty over a file or folder, if it is there (a cache in /opt, say)."""
    try:
        mode = place.stat().st_mode
    except OSError:
        return  # nor can the command reach it
    if stat.S_ISDIR(mode):
        syscalls.mount("tmpfs", str(place), "tmpfs", _QUIET, "mode=0755,size=1m")
    else:
        syscalls.mount("/dev/null", str(place), flags=syscalls.MS_BIND)


def _bind(source: Path, target: Path, *, writable: bool = False) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    syscalls.mount(str(source), str(target), flags=syscalls.MS_BIND | syscalls.MS_REC)
    if not writable:
        syscalls.make_read_only(str(target))
