"""What a real node changes on the machine, written down before and put back after. Called by testbed.py.

``restore`` works from the cluster's folder alone: also for one whose process was killed, when the next one starts.
It ends only processes that belong to that folder: those in the cgroups of its pods and the shims of its containerd.
What another container runtime of the machine may use by now stays.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from cluster.node import BRIDGE, NETWORK
from cluster.processes import TestbedError

RECORD = "machine.json"
CGROUPS = Path("/sys/fs/cgroup")
SYSCTLS = (  # kubelet sets all but the last, CNI that one
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
    "net/ipv4/ip_forward",
)
RUNTIMES = frozenset({"containerd", "crio", "dockerd", "k0s", "k3s-agent", "k3s-server", "kubelet", "rke2"})
SHIM_SOCKETS = Path("/run/containerd/s")
POD_LOG_LINKS = Path("/var/log/containers")
CNI_RESULTS = Path("/var/lib/cni/results")
FOLDERS = (  # made by the programs whatever their settings say
    "/etc/cni",
    "/opt/cni",
    "/opt/containerd",
    "/run/containerd",
    "/run/docker",
    "/run/runc",
    "/run/netns",
    "/usr/libexec/kubernetes",
    "/var/lib/cni",
    "/var/lib/containerd",
    "/var/lib/kubelet",
    "/var/log/containers",
    "/var/log/pods",
    "/var/lib/containers",
    "/run/containers",
    "/run/libpod",
)


def record(folder: Path) -> None:
    """Before anything is started."""
    found = {
        "sysctls": {name: Path("/proc/sys", name).read_text() for name in SYSCTLS if Path("/proc/sys", name).exists()},
        "folders": [name for name in FOLDERS if Path(name).exists()],
        "sockets": [path.name for path in _entries(SHIM_SOCKETS)],
        "runtimes": sorted(_runtimes()),
    }
    (folder / RECORD).write_text(json.dumps(found))


def restore(folder: Path) -> None:
    """After kubelet and containerd were asked to end. Does nothing for a folder that has no record."""
    path = folder / RECORD
    if not path.exists():
        return
    before = json.loads(path.read_text())
    _end(processes_in_pods(of=_pods(folder)))
    _end(_shims(folder))
    unmount(folder)
    subprocess.run(["ip", "link", "delete", BRIDGE], capture_output=True)
    remove_pod_cgroups()
    for sock in _entries(SHIM_SOCKETS):
        if sock.name not in before["sockets"]:
            sock.unlink(missing_ok=True)
    for result in _entries(CNI_RESULTS):
        if result.name.startswith(f"{NETWORK}-"):
            result.unlink()
    for link in _entries(POD_LOG_LINKS):
        if link.is_symlink() and link.readlink().is_relative_to(folder):
            link.unlink()
    for name in _new_folders(before):
        if not _mounts(Path(name)):  # whoever mounted something there uses it
            shutil.rmtree(name, ignore_errors=True)
    for name, value in before["sysctls"].items():
        if Path("/proc/sys", name).read_text() != value:
            Path("/proc/sys", name).write_text(value)
    if left := _left(folder, before):
        raise TestbedError(f"the testbed did not leave the machine as it found it: {', '.join(left)}")
    path.unlink()


def _left(folder: Path, before: dict[str, Any]) -> list[str]:
    """What is still not as it was."""
    left = [f"process {pid}" for pid in _shims(folder) | processes_in_pods(of=_pods(folder))]
    left += [f"mount {place}" for place in _mounts(folder)]
    left += [str(path) for path in [Path("/sys/class/net", BRIDGE)] if path.exists()]
    left += [str(path) for path in pod_cgroups() if not processes_in_pods()]
    left += [name for name in _new_folders(before) if Path(name).exists()]
    left += [name for name, value in before["sysctls"].items() if Path("/proc/sys", name).read_text() != value]
    return left


def _new_folders(before: dict[str, Any]) -> list[str]:
    """Those that were made since: none if another runtime has come since, as they may be its own."""
    if _runtimes() - {*before.get("runtimes", [])}:
        return []
    return [name for name in FOLDERS if name not in before["folders"]]


def _runtimes() -> set[str]:
    return {_word(path) for path in Path("/proc").glob("[0-9]*/comm")} & RUNTIMES


def _word(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""  # the process has just ended


def _pods(folder: Path) -> set[str]:
    """The names of our pods' cgroups: kubelet keeps a folder for each pod."""
    return {f"pod{path.name}" for path in _entries(folder / "kubelet" / "pods")}


def pod_cgroups(root: Path = CGROUPS) -> list[Path]:
    """kubepods of every controller (cgroup v1), or the one (v2). None may be there before a cluster starts."""
    return [path for pattern in ("kubepods*", "*/kubepods*") for path in root.glob(pattern)]


def remove_pod_cgroups(root: Path = CGROUPS) -> bool:
    """Whether none is there any more: those without a process are of a cluster that is dead, and go."""
    if processes_in_pods(root):
        return False
    for group in pod_cgroups(root):
        for inner in sorted(group.rglob("*/"), key=lambda p: len(p.parts), reverse=True):
            _remove_folder(inner)
        _remove_folder(group)
    return not pod_cgroups(root)


def processes_in_pods(root: Path = CGROUPS, *, of: Collection[str] | None = None) -> set[int]:
    """of: names of pods' cgroups, None for all."""
    found: set[int] = set()
    for group in pod_cgroups(root):
        for listed in group.rglob("cgroup.procs"):
            if of is None or not {*listed.parts}.isdisjoint(of):
                found.update(map(int, listed.read_text().split()))
    return found


def _shims(folder: Path) -> set[int]:
    """The shims that name our containerd's socket: they outlive it by design."""
    wanted = f"{folder}/containerd.sock".encode()
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue  # it has just ended
        if words[0].endswith(b"containerd-shim-runc-v2") and wanted in words:
            found.add(int(path.parent.name))
    return found


def _end(processes: set[int]) -> None:
    """Kill them and wait until they are gone; each process by a handle, so that no id is used twice."""
    handles = []
    for pid in processes:
        try:
            handles.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    for handle in handles:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        os.close(handle)
    end = time.monotonic() + 10
    while any(Path("/proc", str(pid)).exists() for pid in processes) and time.monotonic() < end:
        time.sleep(0.02)


def unmount(folder: Path) -> None:
    for _ in range(3):  # a mount may lie on a mount
        for place in reversed(_mounts(folder)):
            subprocess.run(["umount", "--lazy", place], capture_output=True)


def _mounts(folder: Path) -> list[str]:
    lines = Path("/proc/mounts").read_text().splitlines()
    mounted = [line.split()[1].encode().decode("unicode_escape") for line in lines]
    return [place for place in mounted if Path(place).is_relative_to(folder)]


def _remove_folder(path: Path) -> None:
    """A cgroup goes when its last process is really gone."""
    for _ in range(100):
        try:
            return path.rmdir()
        except FileNotFoundError:
            return None
        except OSError:
            time.sleep(0.02)
    return None


def _entries(folder: Path) -> Iterator[Path]:
    return iter(list(folder.iterdir()) if folder.is_dir() else [])
