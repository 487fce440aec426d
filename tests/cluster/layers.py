"""Layers of images: the base that Dockerfiles start from, made of Debian packages once and kept in the cache.

Called by registry.py.
"""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cluster.processes import run
from cluster.programs import CACHE

SUITE, CONTENT = "bookworm", "python3,python3-pip,python3-venv,ca-certificates"
# As the image of that name has it: `python` and `pip` work without further words.
FINISH = "ln -s /usr/bin/python3 /usr/local/bin/python && rm -f /usr/lib/python3.*/EXTERNALLY-MANAGED"


@dataclass(frozen=True)
class Layer:
    """A gzipped tar. diff: the digest of the tar."""

    path: Path
    digest: str
    diff: str


def base_layer() -> Layer:
    """Debian with Python, from the cache or made now."""
    recipe = hashlib.sha256(f"{SUITE} {CONTENT} {FINISH}".encode()).hexdigest()[:12]
    made, about = CACHE / f"base-{recipe}.tar.gz", CACHE / f"base-{recipe}.json"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "base.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not about.exists():
            with tempfile.TemporaryDirectory(dir=CACHE, prefix="base-") as place:
                layer = _make_base(Path(place))
                layer.path.replace(made)
                about.write_text(json.dumps({"digest": layer.digest, "diff": layer.diff}))
    return Layer(made, **json.loads(about.read_text()))


def _make_base(place: Path) -> Layer:
    root = place / "root"
    run(
        "debootstrap",
        "--variant=minbase",
        f"--include={CONTENT}",
        SUITE,
        root,
        env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"},
    )
    run("chroot", root, "/bin/sh", "-c", f"{FINISH} && apt-get clean", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    for useless in ("var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale", "var/log"):
        shutil.rmtree(root / useless, ignore_errors=True)
        (root / useless).mkdir(parents=True)
    tar = place / "layer.tar"
    run(
        "tar",
        "--numeric-owner",
        "--exclude=./dev/*",
        "--exclude=./proc/*",
        "--exclude=./sys/*",
        "-C",
        root,
        "-cf",
        tar,
        ".",
    )
    return compress(tar)


def compress(tar: Path) -> Layer:
    packed = tar.with_suffix(".tar.gz")
    with tar.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
        shutil.copyfileobj(source, target, 1 << 20)
    return Layer(packed, _sha256_file(packed), _sha256_file(tar))


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _sha256_file(path: Path) -> str:
    with path.open("rb") as data:
        return f"sha256:{hashlib.file_digest(data, 'sha256').hexdigest()}"


if __name__ == "__main__":  # .ci/run
    if shutil.which("debootstrap"):
        base_layer()
