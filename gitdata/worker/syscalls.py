"""The Linux system calls behind the sandbox that Python has no names for, for worker.root and .launcher.

Straight calls into libc: the programs ``unshare``, ``mount``, ``pivot_root`` and ``setpriv`` do the same with
a process each, and differ between versions in what they let an ordinary user do. Every function raises
OSError with what was tried.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Collection
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_NOATIME = 0x400
MS_NODIRATIME = 0x800
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MS_RELATIME = 0x200000

MNT_DETACH = 0x2

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522

_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_MOUNT_ATTR_RDONLY = 0x1
_MOUNT_ATTR_NOSUID = 0x2
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture

# A mount that an ordinary user's namespace got from its parent keeps these: a remount without one is refused.
_KEPT = {
    os.ST_NOSUID: MS_NOSUID,
    getattr(os, "ST_NODEV", 4): MS_NODEV,
    getattr(os, "ST_NOEXEC", 8): MS_NOEXEC,
    getattr(os, "ST_NOATIME", 1024): MS_NOATIME,
    getattr(os, "ST_NODIRATIME", 2048): MS_NODIRATIME,
    getattr(os, "ST_RELATIME", 4096): MS_RELATIME,
}

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    result = _libc.mount(
        os.fsencode(source) or None,
        os.fsencode(target),
        kind.encode() or None,
        ctypes.c_ulong(flags),
        options.encode() or None,
    )
    _check(result, f"mount {kind or source} on {target}")


def unmount(target: str) -> None:
    _check(_libc.umount2(os.fsencode(target), ctypes.c_int(MNT_DETACH)), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    _check(_libc.pivot_root(os.fsencode(new), os.fsencode(old)), "pivot_root")


def make_read_only(target: str) -> None:
    """Make the mount at ``target`` and every mount below it read-only and without setuid."""
    attributes = _MountAttr(attr_set=_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID)
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        ctypes.c_char_p(os.fsencode(target)),
        ctypes.c_uint(_AT_RECURSIVE),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )
    if result != 0:  # Linux before 5.12, or a sandbox around us that does not know the call
        for inner in _mounts_below(target):
            kept = sum(flag for bit, flag in _KEPT.items() if os.statvfs(inner).f_flag & bit)
            mount("none", inner, flags=MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | kept)


def _mounts_below(target: str) -> list[str]:
    found = []
    for line in Path("/proc/self/mountinfo").read_bytes().splitlines():
        # Spaces and the like are written as \040 in this file.
        point = os.fsdecode(line.split(b" ")[4].decode("unicode_escape").encode("latin-1"))
        if point == target or point.startswith(target.rstrip("/") + "/"):
            found.append(point)
    return found


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends. Linux only."""
    if sys.platform == "linux":
        _prctl(_PR_SET_PDEATHSIG, 9)


def conceal(yes: bool) -> None:
    """Whether this process is closed to others of its user: its memory, open files, variables, and debuggers."""
    _prctl(_PR_SET_DUMPABLE, 0 if yes else 1)


def isolate(*, user_namespace: bool) -> None:
    """Give this process mounts and IPC of its own and its next child a pid namespace, where it keeps its user."""
    uid, gid = os.geteuid(), os.getegid()
    unshare(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | (CLONE_NEWUSER if user_namespace else 0))
    if user_namespace:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
            Path("/proc/self", name).write_text(text)


def forbid_privileges(kept: Collection[int] = ()) -> None:
    """Nothing that this process or its children execute gives them a privilege that they do not have.

    kept: capabilities that programs of root still get.
    """
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    for capability in range(64):
        if capability in kept:
            continue
        if _libc.prctl(_PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break  # past the last one that this kernel knows (or none may be dropped: then there is none)
    _libc.prctl(_PR_CAP_AMBIENT, ctypes.c_ulong(_PR_CAP_AMBIENT_CLEAR_ALL), 0, 0, 0)


def drop_capabilities(kept: Collection[int] = ()) -> None:
    """Give up every capability, for good after ``forbid_privileges``. kept: but these, below 32, where they are had."""
    header = _CapHeader(_CAPABILITY_VERSION_3, 0)
    had, left = (_CapData * 2)(), (_CapData * 2)()
    _check(_libc.capget(ctypes.byref(header), ctypes.byref(had)), "capget")
    mask = sum(1 << capability for capability in kept) & had[0].permitted
    left[0].effective = left[0].permitted = mask
    _check(_libc.capset(ctypes.byref(header), ctypes.byref(left)), "capset")


def _prctl(option: int, value: int) -> None:
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(ctypes.c_int(option), ctypes.c_ulong(value), zero, zero, zero), "prctl")
