"""Folders to build images from, and what a build needs on this machine to reach package registries."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from gitdata.backends.git import Git
from helpers.machine import Repo
from helpers.registries import base_image

AUTHORITIES = Path("/etc/ssl/certs")
_KEPT = ("cert", "index-url", "extra-index-url", "trusted-host", "timeout", "proxy")


def build_options(folder: Path) -> tuple[str, ...]:
    """Options of ``buildah build``. folder: where a file with pip's settings is written."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    ).stdout
    settings = {}
    for line in said.splitlines():
        key, _, value = line.partition("=")
        name = key.rpartition(".")[2]
        if name in _KEPT:
            settings[name] = value.strip("'\"")
    file = folder / "pip.conf"
    file.write_text("[global]\n" + "".join(f"{name} = {value}\n" for name, value in settings.items()))
    options = ["--isolation=chroot", f"--volume={file}:/etc/pip.conf:ro"]
    if AUTHORITIES.is_dir():
        options.append(f"--volume={AUTHORITIES}:{AUTHORITIES}:ro")
    return tuple(options)


def image_folders(repo: Repo) -> Git:
    """``plot`` can be built, ``bad`` cannot, ``none`` has no Dockerfile.

    Who wants to read a command's last words lets it sleep after them: of one that ends at once a builder on a busy
    machine may lose them.
    """
    repo.write("plot/Dockerfile", f"FROM {base_image()}\nCOPY main.py /\nRUN id -u > /built\nUSER 65532\n")
    repo.write("plot/main.py", b"print(open('/built').read(), end='')\n")
    repo.write("bad/Dockerfile", f"FROM {base_image()}\nRUN echo so it is >&2; sleep 1; exit 7\n")
    repo.write("none/main.py", b"")
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "images")
    return Git(repo.path)


def slow_package(begun: Path, go: Path) -> dict[str, str]:
    """A package whose build writes which process it and its installer are to ``begun`` and goes on when ``go`` exists.

    Its files by name, with the requirements that name it. It needs no package index.
    """
    build = f"""
import os, pathlib, time, zipfile
def build_wheel(folder, *_):
    new = pathlib.Path({str(begun)!r} + ".new")
    new.write_text(f"{{os.readlink('/proc/self/ns/pid')}} {{os.getpid()}} {{os.getppid()}}")
    new.rename({str(begun)!r})
    while not os.path.exists({str(go)!r}):
        time.sleep(0.05)
    with zipfile.ZipFile(os.path.join(folder, "slow-1.0-py3-none-any.whl"), "w") as file:
        for name, text in (
            ("METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n"),
            ("WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"),
            ("RECORD", ""),
        ):
            file.writestr("slow-1.0.dist-info/" + name, text)
    return "slow-1.0-py3-none-any.whl"
"""
    project = '[project]\nname = "slow"\nversion = "1.0"\n'
    system = '[build-system]\nrequires = []\nbuild-backend = "build"\nbackend-path = ["."]\n'
    return {"requirements.txt": "./slow\n", "slow/pyproject.toml": project + system, "slow/build.py": build}


def running(begun: Path) -> list[int]:
    """Of the build of a slow package and its installer, those that run."""
    space, *numbers = begun.read_text().split() if begun.exists() else [""]
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = dict(
                line.split(":\t", 1) for line in (folder / "status").read_text().splitlines() if ":\t" in line
            )
            inside = status["NSpid"].split()[-1]  # what it is called where it runs
            if inside in numbers and str((folder / "ns/pid").readlink()) == space and status["State"][0] != "Z":
                found.append(int(folder.name))
    return found


def wait_for(so: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)
