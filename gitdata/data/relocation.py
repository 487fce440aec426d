"""Another name or folder for data: what lies here, its pointer, ``.gitignore``, base and git's index move together.

Called by ``mv``, under the repository's lock. Order: ``.gitignore`` of the new place, pointer there, data, base, then
all that is left of the old place; a call that was killed is finished by the same call. It must never overwrite a thing,
nor change what the pointer says of the data.
"""

from __future__ import annotations

import os
import posixpath
from dataclasses import dataclass

from gitdata.data.files import write_whole
from gitdata.data.ignore import git_ignores, keep_out_of_git, release_to_git
from gitdata.data.track import add, stage
from gitdata.data.tracked import Tracked, require
from gitdata.data.workspace import Workspace
from gitdata.errors import ConflictError, InvalidInputError, MissingDataError
from gitdata.formats.dvc import check_relpath, dir_oid, dump_dir, move_out, parse_pointer, update_pointer
from gitdata.model import Entry, Listing, Output
from gitdata.text import quoted


@dataclass(frozen=True, slots=True)
class Relocation:
    """What was moved. here: whether its data lies in the workspace. pointer: of the new place."""

    source: str
    dest: str
    pointer: str
    here: bool


def relocate(space: Workspace, source: str, dest: str, *, into: bool = False) -> Relocation:
    """Move an output, or a file or folder inside of one. into: ``dest`` is the folder to put it into.

    Raises before anything is changed.
    """
    known = space.staged() | space.written()
    source = data_of(source, known)
    if into and not (dest in known and not os.path.lexists(space.repo.root / source)):  # else it was moved already
        dest = posixpath.join(dest, posixpath.basename(source))
    dest = dest.removesuffix(".dvc") if source in known else dest
    one = tracked_at(space, source, known)
    if dest == source or f"{dest}/".startswith(f"{source}/"):
        raise InvalidInputError(f"{source} cannot be moved into itself", hint="choose another place")
    check_relpath(dest)
    place = space.find(dest, known)
    if one.path == source:
        return _move_output(space, one, dest, known)
    here, there = quoted(source), quoted(dest)
    if place is None:
        raise InvalidInputError(
            f"{dest} is not in {one.path}, the data that {source} belongs to",
            hint=f"`gitdata get {here} -o {there}` copies it; `gitdata add {there}`, then `gitdata rm {here}`",
        )
    if place.path != one.path:
        raise InvalidInputError(
            f"{source} and {dest} belong to different data ({one.path}, {place.path})",
            hint=f"`gitdata put {here} {there}` copies it; then `gitdata rm {here}`",
        )
    skip = len(one.path) + 1
    return _move_inside(space, one, source[skip:], dest[skip:])


def data_of(path: str, known: dict[str, Tracked]) -> str:
    """The data that is meant: where a pointer was named, its own."""
    outs = [one.path for one in known.values() if one.pointer == path]
    return outs[0] if len(outs) == 1 else path


def tracked_at(space: Workspace, path: str, known: dict[str, Tracked]) -> Tracked:
    """The output at or around a path, that a person may move or remove. Raises InvalidInputError."""
    one = space.find(path, known)
    problem = space.problems.get(path) or space.problems.get(f"{path}.dvc")
    if one is None and problem:
        raise problem
    inner = sorted(other for other in known if other.startswith(f"{path}/"))
    if one is None and inner:
        raise InvalidInputError(f"{path} is a folder that contains data: {inner[0]}", hint="name that one")
    if one is None:
        raise InvalidInputError(f"{path}: no data is tracked here", hint="for what git itself has: `git mv`, `git rm`")
    if one.generated:
        raise InvalidInputError(f"{one.path} is the output of a stage", hint="change the stage's spec")
    if not one.pointer.endswith(".dvc"):
        raise InvalidInputError(f"{one.path} is an output in {one.pointer}", hint="change its stage in dvc.yaml")
    return one


def pointer_text(space: Workspace, name: str) -> bytes | None:
    """A pointer of the working tree, or else git's; None where neither has it."""
    file = space.repo.root / name
    if file.is_file():
        return file.read_bytes()
    return space.git.blobs([f":{name}"]).get(f":{name}") if "\n" not in name else None


def released(space: Workspace, path: str) -> list[str]:
    """Take an output's line out of its ``.gitignore``; that file, where git is to be told of it."""
    file = posixpath.join(posixpath.dirname(path), ".gitignore")
    return [file] if release_to_git(space.repo.root, path) or not (space.repo.root / file).is_file() else []


def stage_changes(space: Workspace, files: list[str]) -> None:
    """Tell git: files that are there are added, files that are gone are removed."""
    there = [name for name in dict.fromkeys(files) if (space.repo.root / name).is_file()]
    gone = [name for name in dict.fromkeys(files) if name not in there]
    if gone:
        space.git.run("--literal-pathspecs", "rm", "--quiet", "--cached", "--ignore-unmatch", "--", *gone)
    if there:
        space.git.run("--literal-pathspecs", "add", "--", *there)


# ------------------------------------------------------------------------------------------------------ a whole output


def _move_output(space: Workspace, one: Tracked, dest: str, known: dict[str, Tracked]) -> Relocation:
    root = space.repo.root
    before = pointer_text(space, one.pointer) or b""
    pointer, after = _new_pointer(space, one, dest, before)
    begun = pointer_text(space, pointer) == after  # a call that was killed wrote it
    _check_free(space, dest, pointer, known, begun=begun)
    here, there = os.path.lexists(root / one.path), os.path.lexists(root / dest)
    if there and (here or not begun):
        raise ConflictError(f"{dest} exists", hint="move it away, or choose another place")
    if here:
        _check_disk(space, one.path, dest)
    (root / dest).parent.mkdir(parents=True, exist_ok=True)
    ignore = keep_out_of_git(space.git, root, dest)
    write_whole(root / pointer, after)
    if here:
        _rename(space, one.path, dest)
    base = space.base.get(one.path)
    if base is not None:
        space.set_base(dest, base)
        space.set_base(one.path, None)
    if pointer != one.pointer:
        (root / one.pointer).unlink(missing_ok=True)
    ours = ignore or posixpath.join(posixpath.dirname(dest), ".gitignore")
    changed = [pointer, one.pointer, *([ours] if (root / ours).is_file() else []), *released(space, one.path)]
    stage_changes(space, changed)
    return Relocation(one.path, dest, pointer, here or there)


def _new_pointer(space: Workspace, one: Tracked, dest: str, before: bytes) -> tuple[str, bytes]:
    """The pointer's name and text for the new place. One that holds more than this output stays where it is."""
    pointer = parse_pointer(before, one.pointer)
    folder = posixpath.dirname(one.pointer)
    alone = len(pointer.outs) == 1 and pointer.wdir == "." and one.pointer == f"{one.path}.dvc"
    if alone and one.out.path in (out.path for out in pointer.outs):
        way = posixpath.relpath(folder or ".", posixpath.dirname(dest) or ".")
        return f"{dest}.dvc", move_out(before, one.pointer, one.out.path, posixpath.basename(dest), way)
    new = posixpath.relpath(dest, posixpath.normpath(posixpath.join(folder, pointer.wdir)) or ".")
    if any(out.path == one.out.path for out in pointer.outs):
        return one.pointer, move_out(before, one.pointer, one.out.path, new)
    return one.pointer, before  # it names the new place already


def _check_free(space: Workspace, dest: str, pointer: str, known: dict[str, Tracked], *, begun: bool) -> None:
    """Raises where the new place is another's, or where git would not see the pointer."""
    root, name = space.repo.root, posixpath.basename(dest)
    if name.endswith(".dvc") or name in (".gitignore", ".dvcignore", "dvc.yaml", "dvc.lock"):
        raise InvalidInputError(f"{dest} is a name of DVC's own, not of data", hint="choose another name")
    taken = space.find(dest, known)
    if taken is not None and not (begun and taken.path == dest):
        what = f"{dest} is data already" if taken.path == dest else f"{dest} lies inside {taken.path}, which is data"
        raise ConflictError(what, hint=f"`gitdata put` copies files into {taken.path}; or choose another place")
    inner = next((path for path in sorted(known) if path.startswith(f"{dest}/")), None)
    if inner:
        raise ConflictError(f"{inner}, which is data, lies inside {dest}", hint="choose another place")
    if os.path.lexists(root / pointer) and not begun and pointer == f"{dest}.dvc":
        raise ConflictError(f"{pointer} exists", hint="move it away, or choose another place")
    parent = posixpath.dirname(dest)
    while parent:
        if (root / parent).is_symlink() or (os.path.lexists(root / parent) and not (root / parent).is_dir()):
            raise InvalidInputError(f"{dest}: {parent} is no folder of the repository", hint="choose another place")
        parent = posixpath.dirname(parent)
    if space.git.run("--literal-pathspecs", "ls-files", "-z", "--", dest):
        raise ConflictError(f"{dest} is kept by git", hint="choose another place")
    if git_ignores(space.git, pointer):
        raise InvalidInputError(f"git ignores {pointer}", hint="change the .gitignore rule that matches it")


def _rename(space: Workspace, source: str, dest: str) -> None:
    root = space.repo.root
    (root / dest).parent.mkdir(parents=True, exist_ok=True)
    (root / source).rename(root / dest)
    space.stats.move(source, dest)
    space.stats.save()


def _check_disk(space: Workspace, source: str, dest: str) -> None:
    """Raises ConflictError where a rename cannot do it, before anything is written."""
    root, place = space.repo.root, posixpath.dirname(dest)
    while not (root / place).exists():
        place = posixpath.dirname(place)
    if (root / source).lstat().st_dev != (root / place).stat().st_dev:
        raise ConflictError(
            f"{dest} is on another disk than {source}",
            hint=f"copy it there, `gitdata add {quoted(dest)}`, then `gitdata rm {quoted(source)}`",
        )


# ------------------------------------------------------------------------------------------------- inside of an output


def _move_inside(space: Workspace, one: Tracked, old: str, new: str) -> Relocation:
    require(one, one.path)
    root = space.repo.root
    source, dest = f"{one.path}/{old}", f"{one.path}/{new}"
    if os.path.lexists(root / one.path):
        check_complete(space, one)
        here, there = os.path.lexists(root / source), os.path.lexists(root / dest)
        if there and (here or not _entries(listing_of(space, one), old)):
            raise ConflictError(f"{dest} exists", hint="move it away, or choose another place")
        if not here and not there:
            raise MissingDataError(f"{source}: no such file or folder")
        if here:
            _check_disk(space, source, dest)
            _rename(space, source, dest)
        stage(space, [add(space, one.path, one)])
        space.stats.save()
        return Relocation(source, dest, one.pointer, True)
    listing = listing_of(space, one)
    moved = _entries(listing, old)
    if not moved:
        raise MissingDataError(f"{source}: no such file in {one.pointer}")
    if _entries(listing, new) or any(f"{new}/".startswith(f"{entry.path}/") for entry in listing):
        raise ConflictError(f"{dest} exists", hint="choose another place")
    skip = len(old)
    kept = [entry for entry in listing if entry not in moved]
    put_listing(space, one, [*kept, *(Entry(new + entry.path[skip:], entry.oid) for entry in moved)], one.out.size)
    return Relocation(source, dest, one.pointer, False)


def _entries(listing: Listing, path: str) -> list[Entry]:
    """The file at a path, or the files below it."""
    return [entry for entry in listing if f"{entry.path}/".startswith(f"{path}/")]


def listing_of(space: Workspace, one: Tracked) -> Listing:
    """The files that an output's pointer names. Raises MissingDataError where neither cache nor remote has the list."""
    if not one.out.is_dir:
        raise InvalidInputError(f"{one.path} is a single file", hint=f"name {one.path} itself")
    return space.fetch_listing(one, one.out.oid)


def check_complete(space: Workspace, one: Tracked) -> None:
    """Raises ConflictError unless the folder here was made from what its pointer says: else files would be lost."""
    for seen in space.survey([one.path]):
        if seen.state in ("stale", "conflict"):
            raise ConflictError(
                f"{one.path}: the data here is not what its pointer says",
                hint=f"run `gitdata checkout {quoted(one.path)}` first",
            )
        if seen.base is not None and seen.base.partial:
            raise ConflictError(
                f"{one.path}: not all of its files are here",
                hint=f"run `gitdata checkout {quoted(one.path)}` first",
            )


def put_listing(space: Workspace, one: Tracked, entries: list[Entry], size: int | None) -> None:
    """Have a pointer, whose data is not here, name these files."""
    body = dump_dir(entries)
    if not space.repo.cache.has(dir_oid(body)):
        space.repo.cache.add_bytes(body, directory=True)
    file = space.repo.root / one.pointer
    out = Output(one.out.path, dir_oid(body), size, len(entries))
    write_whole(file, update_pointer(pointer_text(space, one.pointer) or b"", out))
    stage_changes(space, [one.pointer])
