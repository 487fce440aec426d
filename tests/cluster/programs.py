"""Find what the testbed runs: the programs that ``build`` made, and Debian's. Called by testbed.py and the fixtures.

Finding is cheap and builds nothing; ``GITDATA_TEST_CLUSTER=build`` allows building and installing. What is missing
is told in words that a skipped test can print.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cluster.processes import TestbedError, run

HERE = Path(__file__).parent
# Read at import, before a test's own sealed environment replaces them.
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gitdata" / "testbed"
BUILD = os.environ.get("GITDATA_TEST_CLUSTER") == "build"
_ENVIRONMENT = dict(os.environ)

CNI_PLUGINS = Path("/usr/lib/cni")
PACKAGES = {  # program -> Debian's package
    "containerd": "containerd",
    "runc": "runc",
    str(CNI_PLUGINS / "bridge"): "containernetworking-plugins",
    "docker-registry": "docker-registry",
    "buildah": "buildah",
    "debootstrap": "debootstrap",
    "ip": "iproute2",
}
SERVICES = frozenset({"containerd", "docker-registry"})
POLICY = Path("/usr/sbin/policy-rc.d")
OTHERS = {  # what other tests run: those of containers, of the launcher, of git's servers, of the hooks
    "podman": "podman",
    "busybox": "busybox-static",
    "ssh": "openssh-client",
    "cc": "gcc",
    "/usr/include/stdlib.h": "libc6-dev",
}


def programs() -> Path | None:
    """The folder with etcd, kube-apiserver, …, kubectl of this checkout, None if they were not built."""
    digest = hashlib.sha256()
    for name in ("main.go", "go.mod", "go.sum", "pause/main.go"):  # as build does
        digest.update((HERE / "go" / name).read_bytes())
    found = [path.parent for path in CACHE.glob(f"v*-{digest.hexdigest()[:12]}-*/kubectl")]
    return max(found, key=lambda folder: folder.stat().st_mtime, default=None)


def build() -> Path:
    """The same; builds them if needed, which takes 10 to 30 minutes once."""
    made = subprocess.run([HERE / "build"], env=_ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    if made.returncode:
        raise TestbedError("tests/cluster/build has failed; its words are above")
    return Path(made.stdout.strip())


def missing_packages(wanted: Mapping[str, str] = PACKAGES) -> list[str]:
    return [package for program, package in wanted.items() if not (shutil.which(program) or Path(program).exists())]


def install_packages(wanted: Mapping[str, str] = PACKAGES) -> None:
    """Install what is missing with apt; their services are not started, now or when the machine starts."""
    if packages := missing_packages(wanted):
        quiet = {"DEBIAN_FRONTEND": "noninteractive"}
        with _no_service_starts():
            run("apt-get", "update", "-q", env=quiet)
            run("apt-get", "install", "-q", "-y", "--no-install-recommends", *packages, env=quiet)
        if shutil.which("systemctl") and (services := SERVICES & {*packages}):
            run("systemctl", "disable", *services, check=False)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """By Debian's own means: its installers ask this program."""
    if POLICY.exists():
        yield
        return
    POLICY.write_text("#!/bin/sh\nexit 101\n")
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink()


def why_not(tier: str) -> str | None:
    """Why this machine cannot run a tier now, with the way to change it; None if it can."""
    if not BUILD and programs() is None:
        return "Kubernetes is not built here; `make test-cluster` builds it (10 to 30 minutes, once)"
    if tier != "node":
        return None
    if os.geteuid() != 0:
        return "real pods need root (containerd, mounts, a bridge)"
    if shutil.which("apt-get") is None and missing_packages():
        return f"not installed: {', '.join(missing_packages())}"
    if not BUILD and missing_packages():
        return f"not installed: {', '.join(missing_packages())}; `make test-cluster` installs them"
    return None


if __name__ == "__main__":  # .ci/run
    install_packages({**PACKAGES, **OTHERS})
