"""Which variables of this process another program gets; everything else stays here. Called by whoever starts one.

Keys of mail, of the store and of other stages come to a controller as variables, and whatever runs a stranger's code,
or stands beside it where that code can read it, must not have them. So each kind of program has a list of what it
needs, and a variable that is on none reaches nobody.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_NETWORK = r"(https?|ftp|no|all)_proxy|(HTTPS?|FTP|NO|ALL)_PROXY|SSL_CERT_(FILE|DIR)|(REQUESTS|CURL)_CA_BUNDLE"
_PERSON = r"PATH|HOME|TMPDIR|USER|LOGNAME|LANG|LC_[A-Z]+|TZ|XDG_[A-Z_]+|DBUS_SESSION_BUS_ADDRESS"
# An interpreter that is not installed in the usual places needs these to start at all.
_INTERPRETER = re.compile(r"LD_LIBRARY_PATH|PYTHONHOME|PYTHONPATH")
_BUILDER = re.compile(rf"{_NETWORK}|{_PERSON}|(BUILDAH|BUILDKIT|BUILDX|CONTAINERS?|DOCKER|REGISTRY|STORAGE)_.*")
_STORE = re.compile(rf"{_NETWORK}|{_PERSON}|AWS_.*|(CONTAINERS?|DOCKER|REGISTRY|STORAGE)_.*")
_INSTALLER = re.compile(
    rf"{_NETWORK}|{_PERSON}|(UV|PIP)_.*|NETRC|LD_LIBRARY_PATH|LIBRARY_PATH|C(PLUS)?_INCLUDE_PATH|CPATH|PKG_CONFIG_[A-Z_]+"
    r"|CC|CXX|FC|AR|LD|MAKEFLAGS|(C|CXX|CPP|F|LD|RUST)FLAGS|CUDA_(HOME|PATH)|(CARGO|RUSTUP)_HOME|CMAKE_[A-Z_]+|MAX_JOBS"
    r"|SOURCE_DATE_EPOCH"
)


def bare() -> dict[str, str]:
    """For our own programs beside a stage's command: nothing but what an interpreter may need to start."""
    return _kept(_INTERPRETER, os.environ)


def of_builder(given: Mapping[str, str]) -> dict[str, str]:
    """For a program that builds images or runs containers: a Dockerfile's commands may be able to read them."""
    return _kept(_BUILDER, given)


def of_store(given: Mapping[str, str]) -> dict[str, str]:
    """For a worker: what opens the store, and a container program."""
    return _kept(_STORE, given)


def of_installer(given: Mapping[str, str]) -> dict[str, str]:
    """For what installs a stage's requirements, which may be programs."""
    return _kept(_INSTALLER, given)


def _kept(pattern: re.Pattern[str], given: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in given.items() if pattern.fullmatch(name)}
