"""The images of the system itself: the agent's (worker), the controller's and the builder's.

Called by the commands ``images`` (to build and push them) and ``deploy`` (to find them). What goes into one comes from
this very installation, a wheel or a source tree, and is named by its content: a cluster runs the version that deploys
it. Nothing of a user's repository is ever in them.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import gitdata
from gitdata.backends.builders import DOCKERFILE, LocalBuilder
from gitdata.backends.registry import parse_reference
from gitdata.data.share import share
from gitdata.errors import MachineError
from gitdata.identity import canonical, sha256
from gitdata.text import reason

SYSTEM = ("worker", "controller", "builder")
_PLATFORM = "linux/amd64"
_HASH = 16
_TIME = 315532800  # 1980
# What of the package each image takes. Imports go one way, so that the agent never misses what is left out here.
_LEFT_OUT = {
    "worker": ("cli.py", "__main__.py", "commands", "controller", "executors", "_share"),
    "controller": ("_share",),
    "builder": None,
}


def system_reference(registry: str, name: str, *, platform: str = _PLATFORM) -> str:
    """``<registry>/gitdata-<name>:<version>-<hash of what is in it>``. Raises InvalidInputError, MachineError."""
    files = [[path, _mode(file) == 0o755, sha256(file.read_bytes())] for path, file in _files(name)]
    named = sha256(canonical({"v": 1, "kind": "system image", "platform": platform, "files": files}))
    text = f"{registry.rstrip('/')}/gitdata-{name}:{gitdata.__version__}-{named[:_HASH]}"
    parse_reference(text)
    return text


def build_system(
    builder: LocalBuilder, registry: str, *, platform: str = _PLATFORM, names: Sequence[str] = SYSTEM
) -> Iterator[str]:
    """Build the images on this machine; their references. The platform must be the builder's own setting.

    Raises as ``Builder.build``.
    """
    for name in names:
        reference = system_reference(registry, name, platform=platform)
        try:
            with tempfile.TemporaryDirectory(prefix="gitdata-system-") as scratch:
                context = lay_out(name, Path(scratch) / "context")
                builder.make_from(context, f"gitdata-{name}", reference, dockerfile=f"stage-images/{name}/{DOCKERFILE}")
        except OSError as error:
            raise MachineError(f"image gitdata-{name}: cannot be built: {reason(error)}") from error
        yield reference


def push_system(
    builder: LocalBuilder, registry: str, *, platform: str = _PLATFORM, names: Sequence[str] = SYSTEM
) -> Iterator[str]:
    """Build and push them; their references by digest. Raises as ``Builder.build``."""
    for name, reference in zip(names, build_system(builder, registry, platform=platform, names=names), strict=True):
        digest = builder.push(f"gitdata-{name}", reference)
        yield f"{reference}@{digest}"


def lay_out(name: str, place: Path) -> Path:
    """The context of an image, as it lies at the top of a source tree. Modes are the same wherever it comes from."""
    for path, file in _files(name):
        target = place / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod(_mode(file))
        os.utime(target, (_TIME, _TIME))  # compiled code names it: the same source is the same layer
    for folder in (place, *(p for p in place.rglob("*") if p.is_dir())):
        folder.chmod(0o755)
    return place


def _files(name: str) -> list[tuple[str, Path]]:
    """Path in the context and file, sorted."""
    if name not in SYSTEM:
        raise MachineError(f"gitdata has no system image {name!r}", hint=f"known: {', '.join(SYSTEM)}")
    found = _below(share("stage-images") / name, f"stage-images/{name}", ())
    left_out = _LEFT_OUT[name]
    if left_out is not None:
        found += _below(Path(gitdata.__file__).parent, "gitdata", left_out)
    return sorted(found)


def _below(folder: Path, prefix: str, left_out: tuple[str, ...]) -> list[tuple[str, Path]]:
    inside = [(file.relative_to(folder), file) for file in folder.rglob("*") if file.is_file()]
    return [
        (f"{prefix}/{path.as_posix()}", file)
        for path, file in inside
        if path.parts[0] not in left_out and "__pycache__" not in path.parts and path.suffix != ".pyc"
    ]


def _mode(file: Path) -> int:
    """Programs begin with ``#!``: installers of wheels do not keep every mode."""
    with file.open("rb") as data:
        return 0o755 if data.read(2) == b"#!" else 0o644
