"""Adding: files and folders of the workspace become objects in the cache, a pointer, and a line in ``.gitignore``.

Under the repository's lock. Order: objects, pointer, ``.gitignore``, base, index; whatever is interrupted between two
of them is finished by the next call. It must never change the data, and never drop a file from a pointer because it was
not brought here; with links as ``cache.type`` each file becomes one to its object, at the very end.
"""

from __future__ import annotations

import os
import posixpath
import stat
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from gitdata.data.base import Base
from gitdata.data.files import write_whole
from gitdata.data.hashing import Digest, fingerprint
from gitdata.data.ignore import data_ignores, git_ignores, keep_out_of_git
from gitdata.data.origin import base_of, whole
from gitdata.data.relink import relink
from gitdata.data.tracked import Tracked, of_dvc
from gitdata.data.transfer import object_sizes
from gitdata.data.tree import scan
from gitdata.data.workspace import Held, Workspace
from gitdata.errors import ConflictError, GitdataError, InvalidInputError, MissingDataError
from gitdata.formats.dvc import dump_pointer, update_pointer
from gitdata.formats.dvcdir import check_relpath, dir_oid, dump_dir
from gitdata.formats.lfs import LFS_BYTES, refuse_lfs
from gitdata.model import Entry, Listing, Output
from gitdata.text import quoted


@dataclass(frozen=True, slots=True)
class Added:
    """What adding one output did. before: its oid until now, None if it is new. files: paths to stage in git."""

    path: str
    pointer: str
    before: str | None
    held: Held
    files: tuple[str, ...]

    @property
    def changed(self) -> bool:
        return self.before != self.held.oid


def targets(space: Workspace, paths: Iterable[str], known: dict[str, Tracked], errors: list[GitdataError]) -> list[str]:
    """The outputs that adding these paths concerns, each once: a path inside a data folder means that folder.

    What cannot be an output is left out, and why is added to ``errors``.
    """
    found: list[str] = []
    for path in paths:
        inside = space.find(path, known)
        target = inside.path if inside else path
        try:
            check_new(space, target, known)
        except GitdataError as error:
            errors.append(error)
            continue
        if target not in found:
            found.append(target)
    for path in list(found):
        inner = [other for other in found if other.startswith(path + "/")]
        errors += [InvalidInputError(f"{one} lies inside {path}", hint="add only the outer one") for one in inner]
        found = [one for one in found if one not in inner]
    return found


def keep_rest(space: Workspace, one: Tracked) -> None:
    """A file was put into an output of which nothing else is here: the others count as not brought, not as deleted."""
    base = space.base.get(one.path)
    if base is None or base.partial or not base.oid.endswith(".dir"):
        return
    folder = space.repo.root / one.path
    if not any(os.path.lexists(folder / entry.path) for entry in space.fetch_listing(one, base.oid)):
        space.set_base(one.path, Base(base.oid, partial=True))


def check_new(space: Workspace, path: str, known: dict[str, Tracked]) -> None:
    """Raises InvalidInputError for what cannot be an output."""
    root = space.repo.root
    if path in ("", "."):
        raise InvalidInputError("the repository itself cannot be data", hint="name a folder in it")
    check_relpath(path)
    name = posixpath.basename(path)
    if "\n" in path or name != name.strip():
        raise InvalidInputError(f"{path!r}: a name with a newline or edge spaces cannot be data", hint="rename it")
    if name.endswith(".dvc") or name in (".gitignore", ".dvcignore", "dvc.yaml", "dvc.lock"):
        raise InvalidInputError(f"{path} is a file of DVC's own, not data")
    parent = posixpath.dirname(path)
    while parent:
        if (root / parent).is_symlink():
            raise InvalidInputError(f"{path}: {parent} is a symlink", hint="add the place that it names")
        parent = posixpath.dirname(parent)
    try:
        found = (root / path).stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingDataError(f"{path}: no such file or folder") from error
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise InvalidInputError(f"{path}: neither a file nor a folder (a pipe, socket or device)")
    if stat.S_ISDIR(found.st_mode) and (root / path).is_symlink():
        raise InvalidInputError(f"{path} is a symlink to a folder", hint="add the folder that it names")
    inner = sorted(other for other in known if other.startswith(path + "/"))
    if inner:
        raise InvalidInputError(f"{path} contains {inner[0]}, which is data of its own", hint="add that one")
    problem = space.problems.get(path + ".dvc")
    if problem:
        raise problem
    if known.get(path) and known[path].pipeline:
        raise of_dvc(known[path])
    if known.get(path) and known[path].generated:
        raise InvalidInputError(f"{path} is the output of a stage", hint="copy it to another name to make it an input")
    _check_git(space, path)


def _check_git(space: Workspace, path: str) -> None:
    held = space.git.run("--literal-pathspecs", "ls-files", "-z", "--", path)
    if held:
        first = held.split(b"\0")[0].decode(errors="replace")
        raise InvalidInputError(
            f"{path} is kept by git already ({first})", hint=f"git rm -r --cached {quoted(path)}, then add it again"
        )
    if git_ignores(space.git, path + ".dvc"):
        raise InvalidInputError(
            f"git ignores {path}.dvc, the pointer", hint="change the .gitignore rule that matches it"
        )


def add(space: Workspace, path: str, known: Tracked | None = None, *, ask: bool = True) -> Added:
    """Bring one output's pointer up to date with the workspace. The caller has checked the path and holds the lock.

    ask: the remote may be asked for the size of files that are not here; else the pointer has no size then.
    """
    if known and known.pipeline:
        raise of_dvc(known)
    held, mode = _store(space, path, known)
    pointer = known.pointer if known else path + ".dvc"
    out = Output(
        path=known.out.path if known else posixpath.basename(path),
        oid=held.oid,
        size=_size(space, held, known if ask else None),
        nfiles=len(held.listing) if held.is_dir else None,
        exec=mode,
    )
    file = space.repo.root / pointer
    old = file.read_bytes() if file.is_file() else None
    new = dump_pointer(out) if old is None else update_pointer(old, out)
    if new != old:
        write_whole(file, new)
    ignore = keep_out_of_git(space.git, space.repo.root, path)
    space.set_base(path, Base(held.oid, bool(held.absent)))
    if space.repo.links.shares:
        relink(space.stats, space.repo.links, path, held.listing, folder=held.is_dir)
    # git tells by itself which of them changed; an earlier, interrupted call may have left both unstaged
    ours = ignore or posixpath.join(posixpath.dirname(path), ".gitignore")
    files = (pointer, ours) if ignore or (not known and (space.repo.root / ours).is_file()) else (pointer,)
    return Added(path, pointer, known.out.oid if known else None, held, files)


def stage(space: Workspace, added: Sequence[Added]) -> None:
    """``git add`` what adding wrote."""
    files = sorted({file for one in added for file in one.files})
    if files:
        space.git.run("--literal-pathspecs", "add", "--", *files)


def _size(space: Workspace, held: Held, known: Tracked | None) -> int | None:
    """The bytes of an output; files that are not here are asked for on its remote. None where one is not known."""
    if not held.absent:
        return held.size
    if known is None:
        return None
    lacking = {entry.oid for entry in held.listing if entry.size is None}
    try:
        sizes = object_sizes(space.repo.remote(known.remote or None), lacking)
    except GitdataError:
        return None
    return held.size + sum(sizes[e.oid] for e in held.listing if e.size is None) if lacking <= sizes.keys() else None


def _complete(space: Workspace, path: str, files: Listing, known: Tracked | None) -> tuple[Listing, frozenset[str]]:
    """With the files of the output that were never brought here, which adding must not drop; their paths."""
    if known is None or not known.watched or not known.out.is_dir or dir_oid(dump_dir(files)) == known.out.oid:
        return files, frozenset()
    base = space.base.get(path)
    if base is None or not base.oid:
        base = base_of(space.git, space.repo.cache, known.pointer, known.out, files)
    if base is None or not base.partial or not base.oid.endswith(".dir"):
        return files, frozenset()
    return whole(files, space.fetch_listing(known, base.oid))


def _store(space: Workspace, path: str, known: Tracked | None) -> tuple[Held, bool]:
    """Put what lies at a path into the cache; whether it is an executable file."""
    full = space.repo.root / path
    ignored = data_ignores(space.git, space.repo.root, path)
    if ignored is not None and ignored(path, full.is_dir()):
        raise InvalidInputError(f"{path}: .dvcignore leaves it out", hint="change the rule, or move the data")
    if not full.is_dir():
        found = full.stat()
        digest = _keep(space, path, found)
        executable = bool(found.st_mode & 0o100)
        entry = Entry(posixpath.basename(path), digest.md5, digest.size, executable, digest.sha256)
        return Held(digest.md5, (entry,), digest.size), executable
    walk = scan(space.repo.root, path, ignored)
    files = walk.files
    with space.repo.cache.batch(), ThreadPoolExecutor(min(16, (os.cpu_count() or 1) + 2)) as pool:
        try:
            digests = list(pool.map(lambda file: _keep(space, *file), files))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    skip = len(path) + 1
    here = tuple(
        Entry(name[skip:], digest.md5, digest.size, False, digest.sha256)
        for (name, _), digest in zip(files, digests, strict=True)
    )
    listing, absent = _complete(space, path, tuple(sorted(here, key=lambda entry: entry.path)), known)
    body = dump_dir(listing)
    if not space.repo.cache.has(dir_oid(body)):
        space.repo.cache.add_bytes(body, directory=True)
    space.stats.forget(path, (name for name, _ in files))
    size = sum(entry.size or 0 for entry in listing)
    return Held(dir_oid(body), listing, size, absent, tuple(name[skip:] for name in sorted(walk.left_out))), False


def _keep(space: Workspace, name: str, found: os.stat_result) -> Digest:
    """One file into the cache, read at most once, and not at all if the stat index and the cache know it."""
    known = space.stats.known(name, found)
    if known is not None and space.repo.cache.has(known.md5):
        return known
    began = time.time_ns()
    if found.st_size < LFS_BYTES:
        refuse_lfs((space.repo.root / name).read_bytes(), name)
    digest = space.repo.cache.add_file(space.repo.root / name)
    after = (space.repo.root / name).stat()
    if fingerprint(after) != fingerprint(found):
        raise ConflictError(f"{name}: it changed while it was added", hint="try again when nothing writes to it")
    space.stats.record(name, digest, after, began)
    return digest
