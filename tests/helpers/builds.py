"""Folders to build images from, and what a build needs on this machine to reach package registries."""

from __future__ import annotations

import subprocess
import sys
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
    """``plot`` can be built, ``bad`` cannot, ``none`` has no Dockerfile."""
    repo.write("plot/Dockerfile", f"FROM {base_image()}\nCOPY main.py /\nRUN id -u > /built\nUSER 65532\n")
    repo.write("plot/main.py", b"print(open('/built').read(), end='')\n")
    repo.write("bad/Dockerfile", f"FROM {base_image()}\nRUN echo so it is >&2; exit 7\n")
    repo.write("none/main.py", b"")
    repo.git("add", "-A")
    repo.git("commit", "-q", "-m", "images")
    return Git(repo.path)
