"""Folder images on this machine: the code of a stage and the virtual environment it asks for.

Called by executors.local: ``folder_environment_id`` while planning (cheap, builds nothing), ``prepare`` before a
job's first datum; by backends.builders, whose builds get ``export_tree``. The folder comes from a git tree of a
stranger: nothing in it is run or followed here, except that its requirements are installed. What is made lies under
the cache home, is shared by all controllers of the user and may be deleted at any time; it is never half-made,
whenever this process dies.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gitdata.backends.filelock import locked
from gitdata.backends.git import Git
from gitdata.backends.git_records import TreeEntry
from gitdata.backends.local import sync_folder
from gitdata.backends.processes import Processes
from gitdata.backends.venvs import Enclosure, build_venv, requirements_key
from gitdata.errors import InvalidInputError, MachineError
from gitdata.formats.dvc import check_relpath
from gitdata.formats.lfs import LFS_BYTES, refuse_lfs
from gitdata.identity import sha256
from gitdata.text import reason

REQUIREMENTS = "requirements.txt"
_DONE = ".complete"
_MOST_REQUIRED = 1 << 20  # bytes
_MOST_BYTES, _MOST_FILES = 512 << 20, 50_000  # of a folder: a small push can be terabytes when it is unpacked


@dataclass(frozen=True, slots=True)
class FolderImage:
    """code: what the command sees as ``/code``. venv: its virtual environment, None without requirements."""

    id: str
    code: Path
    venv: Path | None


def folder_tree(git: Git, commit: str, path: str) -> str | None:
    """The tree id of an image folder, None if the commit has no folder of that name (it is an image reference)."""
    folder = _folder(path)
    if folder is None or folder == ".":
        return None
    # `commit:path` cannot be peeled to a tree: what follows the colon is all path.
    listed = git.run("--literal-pathspecs", "ls-tree", "-d", "-z", "--full-tree", commit, "--", folder)
    kind, _, rest = listed.decode(errors="surrogateescape").partition(" tree ")
    return rest.partition("\t")[0] if kind == "040000" else None


def folder_environment_id(git: Git, commit: str, path: str) -> str:
    """The environment id of a folder image. Raises InvalidInputError if there is no such folder."""
    tree = folder_tree(git, commit, path)
    if tree is None:
        raise InvalidInputError(f"image {path}: the commit has no such folder")
    refuse_lfs_in(git, tree, path)
    required = git.file(tree, REQUIREMENTS, most=_MOST_REQUIRED)
    digest = "-" if required is None else sha256(required)
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"venv:{tree}:{digest}:{version}:{sys.platform}-{platform.machine()}"


def host_environment_id() -> str:
    """The environment id of a stage without an image: the programs of this machine, whose results no other takes."""
    try:
        machine = Path("/etc/machine-id").read_text().strip() or platform.node()
    except OSError:
        machine = platform.node()
    return f"host:{sys.platform}-{platform.machine()}:{sha256(machine.encode())[:16]}"


def refuse_lfs_in(git: Git, tree: str, folder: str) -> None:
    """Raises InvalidInputError where a file of an image folder is a pointer of Git LFS."""
    names = {entry.sha: entry.path for entry in git.ls_tree(tree) if entry.mode.startswith("100")}
    small = [sha for sha, size in git.sizes(names).items() if size < LFS_BYTES]
    for sha, text in git.blobs(small).items():
        refuse_lfs(text, f"{folder}/{names[sha]}")


def prepare(
    git: Git,
    commit: str,
    path: str,
    cache_home: Path,
    programs: Processes | None = None,
    enclose: Enclosure = lambda kept: (),
) -> FolderImage:
    """Code and virtual environment, made now or earlier by anybody.

    programs: runs what installs; closing it ends this. enclose: as ``build_venv`` has it.
    Raises InvalidInputError (the folder or its requirements), RemoteError (transient: the package index could
    not be reached), MachineError (disk; transient: what installs was ended), BusyError (closed while another installs).
    """
    programs = programs or Processes()
    name = folder_environment_id(git, commit, path)
    tree = name.split(":")[1]
    try:
        code = export_tree(git, tree, path, cache_home / "images" / sha256(name.encode()))
        required = git.file(tree, REQUIREMENTS, most=_MOST_REQUIRED)
        venv = None if required is None else _venv(required, tree, code, cache_home / "venvs", path, programs, enclose)
    except OSError as error:
        raise MachineError(f"image {path}: cannot be prepared in {cache_home}: {reason(error)}") from error
    return FolderImage(name, code, venv)


def _folder(path: str) -> str | None:
    """The folder as git names it, None for what cannot be one (``docker.io/library/python:3.11``)."""
    folder = str(PurePosixPath(path))
    return None if "\n" in path or folder.startswith("/") or ".." in folder.split("/") else folder


def export_tree(git: Git, tree: str, path: str, place: Path) -> Path:
    """The tree's files as plain files in ``place``, built beside it and renamed: there whole or not at all.

    Raises InvalidInputError for a tree with symlinks, submodules or hostile names, OSError.
    """
    if place.is_dir():
        return place
    entries = git.ls_tree(tree)
    for entry in entries:
        if entry.mode not in ("100644", "100755"):
            kind = "submodule" if entry.mode == "160000" else "symlink"
            raise InvalidInputError(
                f"image {path}: {entry.path} is a {kind}",
                hint="an image folder may hold ordinary files only: copy what it names into the folder",
            )
        check_relpath(entry.path)
    sizes = git.sizes(entry.sha for entry in entries)
    total = sum(sizes.get(entry.sha, 0) for entry in entries)
    if total > _MOST_BYTES or len(entries) > _MOST_FILES:
        raise InvalidInputError(
            f"image {path}: it has {len(entries)} files and {total >> 20} MiB,"
            f" an image folder may have {_MOST_FILES} and {_MOST_BYTES >> 20}",
            hint="keep data in the data remote, as an input of the stage",
        )
    targets: dict[str, list[TreeEntry]] = {}
    for entry in entries:
        targets.setdefault(entry.sha, []).append(entry)
    place.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        for sha, data in git.each_blob(targets):
            for entry in targets[sha]:
                target = scratch / entry.path
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(target, data, 0o755 if entry.mode == "100755" else 0o644)
        for folder in [scratch, *(p for p in scratch.rglob("*") if p.is_dir())]:
            folder.chmod(0o755)
            sync_folder(folder)
        scratch.rename(place)
    except OSError:
        if not place.is_dir():  # else another process was first: the same bytes under the same name
            raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return place


def _write(target: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)


def _venv(
    required: bytes, tree: str, code: Path, home: Path, path: str, programs: Processes, enclose: Enclosure
) -> Path:
    """The virtual environment of these requirements, shared by all images that have the same.

    It cannot be built elsewhere and renamed, because its scripts name their interpreter by its full path: a file
    written last says that it is complete.
    """
    place = home / requirements_key(required, tree)
    with locked(place.with_suffix(".lock"), lambda: programs.closed) as lock:
        if not (place / _DONE).exists():
            if place.exists():
                shutil.rmtree(place)
            build_venv(place, code, f"image {path}", programs, lock, enclose)
            os.sync()  # tens of thousands of files: one by one would take longer
            (place / _DONE).touch()
    return place
