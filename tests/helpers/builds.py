"""What an image build needs on this machine to reach package registries: pip's settings and the trusted authorities."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
