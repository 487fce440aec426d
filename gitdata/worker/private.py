"""What of this machine's file system is nobody's business: what a stage's command and its installation must not read.

Called by executors.local (``places``: of this process and user) and by worker.launcher (``unreadable``: what an
administrator closed to others). Only names are found here; worker.root and worker.apart cover them.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

# Files and folders of a person that hold keys; each is named by a variable, wherever it lies.
_NAMED = (
    "HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "CREDENTIALS_DIRECTORY", "DOCKER_CONFIG",
    "DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "GIT_CONFIG_GLOBAL", "GOOGLE_APPLICATION_CREDENTIALS",
    "KUBECONFIG", "NETRC", "PIP_CONFIG_FILE", "REGISTRY_AUTH_FILE", "UV_CONFIG_FILE",
)  # fmt: skip
_CLOSED = ("/etc", "/usr/local/etc")
_NEEDED = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin", "/usr/lib", "/etc/passwd")


def places(more: Iterable[str | Path], variables: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """These places and the person's own, as full paths. A home that is a system folder stays (``/``, ``/usr/sbin``)."""
    named = [word for name in _NAMED for word in variables.get(name, "").split(os.pathsep) if word.startswith("/")]
    found = dict.fromkeys(str(Path(place).resolve()) for place in (*more, *named, "/etc/gitdata"))
    return tuple(place for place in found if not any(_within(Path(needed), place) for needed in _NEEDED))


def unreadable() -> tuple[str, ...]:
    """What others may not read of the settings of the machine: root needs no capability to read its own files."""
    return tuple(place for top in _CLOSED for place in _unreadable(top))


def all_but(place: str, kept: Iterable[str]) -> Iterator[str]:
    """What to cover so that of ``place`` only ``kept`` is left: itself, or what lies beside the way to them."""
    kept = [name for name in kept if _within(Path(name), place)]
    if place in kept:
        return
    if not kept:
        yield place
        return
    try:
        inner = [entry.path for entry in os.scandir(place) if not entry.is_symlink()]
    except OSError:
        return  # who may not list it reads nothing there either
    for name in inner:
        yield from all_but(name, kept)


def _within(path: Path, top: str) -> bool:
    return path.is_relative_to(top)


def _unreadable(folder: str) -> Iterator[str]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISDIR(mode) and mode & 0o005 == 0o005:
            yield from _unreadable(entry.path)
        elif stat.S_ISDIR(mode) or (stat.S_ISREG(mode) and not mode & 0o004):
            yield entry.path
