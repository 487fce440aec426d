"""The root file system that the user's command sees. Called by worker.launcher, in namespaces of its own.

An empty tmpfs into which the host's system folders are bound read-only, with ``/pfs``, ``/code``, a private
``/tmp`` and the stage's environment. What is not bound is not there: home folders, ``/run``, ``/srv``, the
cache. It must never write to the host outside the folders that the box names.
"""

from __future__ import annotations

import os
from pathlib import Path

from gitdata.worker import syscalls
from gitdata.worker.box import Box

SYSTEM_FOLDERS = (
    "usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "etc", "opt", "nix", "gnu",
)  # fmt: skip
# Root may write these without any capability.
_KERNEL_SWITCHES = ("sys", "sysrq-trigger", "irq", "bus", "fs")
# Root owns these and may read them without any capability; nobody else may anyway.
_ROOTS_OWN = (
    "/etc/shadow", "/etc/shadow-", "/etc/gshadow", "/etc/gshadow-", "/etc/sudoers", "/etc/sudoers.d", "/etc/ssh",
    "/etc/ssl/private", "/etc/gitdata",
)  # fmt: skip
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_QUIET = syscalls.MS_NOSUID | syscalls.MS_NODEV


def enter(box: Box) -> None:
    """Build the root of ``box`` and make it this process's. Needs a mount and a pid namespace of its own."""
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    new = Path(box.scratch, "root")
    syscalls.mount("tmpfs", str(new), "tmpfs", _QUIET, "mode=0755,size=64m")
    _system(new)
    _proc_and_dev(new)
    for source, target in (("tmp", "tmp"), ("vartmp", "var/tmp")):
        _bind(Path(box.scratch, source), new / target, writable=True)
    _hide(new, box)
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
    syscalls.mount("proc", str(new / "proc"), "proc", _QUIET | syscalls.MS_NOEXEC)
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


def _hide(new: Path, box: Box) -> None:
    """Cover what lies below a bound system folder and must not be seen (a cache in /opt, say)."""
    for name in (*(_ROOTS_OWN if os.geteuid() == 0 else ()), *box.hidden):
        place = new / name.lstrip("/")
        if place.is_dir():
            syscalls.mount("tmpfs", str(place), "tmpfs", _QUIET, "mode=0755,size=1m")
        elif place.exists():
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
