"""Outputs as pointers name them, and what to say of those that gitdata cannot move. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import Pointer, output_path
from gitdata.formats.dvclock import is_lock, pipeline_name
from gitdata.model import Output
from gitdata.text import quoted


@dataclass(frozen=True, slots=True)
class Tracked:
    """An output as a pointer has it. path: in the repository. pointer: the ``.dvc`` file. out: as written there.

    imported: DVC brings it from another repository, it need not be on the data remote. remote: the name of the one to
    which its data is pushed, "" for the default.
    """

    path: str
    pointer: str
    out: Output
    generated: bool = False
    legacy: bool = False
    imported: bool = False
    remote: str = ""

    @property
    def pipeline(self) -> bool:
        """Whether a stage of DVC's own pipeline made it: `dvc repro` and `dvc commit` alone change its entry."""
        return is_lock(self.pointer)

    @property
    def watched(self) -> bool:
        """False for what has no data of DVC 3 to compare: hashes of DVC 2, and imports never brought here."""
        return bool(self.out.oid) and not self.legacy


def outputs(pointers: dict[str, Pointer]) -> dict[str, Tracked]:
    """The outputs of pointers, by path."""
    found: dict[str, Tracked] = {}
    for name, pointer in pointers.items():
        found |= {tracked.path: tracked for tracked in outs_of(name, pointer)}
    return found


def outs_of(name: str, pointer: Pointer) -> Iterator[Tracked]:
    """The outputs of the pointer ``name``, as they stand in it."""
    for out, extra in zip(pointer.outs, pointer.extras or ({},) * len(pointer.outs), strict=True):
        path, remote = output_path(name, pointer, out), str(extra.get("remote") or "")
        yield Tracked(path, name, out, pointer.generated, pointer.legacy, pointer.imported, remote)


def require(tracked: Tracked | None, path: str) -> Tracked:
    """Raises InvalidInputError unless the path belongs to data that gitdata can move."""
    if tracked is None:
        raise InvalidInputError(f"{path}: no data is tracked here", hint=f"`gitdata add {quoted(path)}` tracks it")
    if not tracked.watched:
        raise unmoved(tracked)
    return tracked


def unmoved(tracked: Tracked) -> InvalidInputError:
    """Why gitdata cannot move an output's data."""
    if tracked.legacy:
        return InvalidInputError(
            f"{tracked.path}: {tracked.pointer} has hashes of DVC 2, which gitdata does not move",
            hint="move it with `dvc push` and `dvc pull`, or make it one of DVC 3: `dvc cache migrate --dvc-files`",
        )
    return InvalidInputError(
        f"{tracked.path}: {tracked.pointer} names no data yet",
        hint=f"`dvc update {quoted(tracked.pointer)}` brings an import",
    )


def both_changed(path: str) -> str:
    """The way out where data was changed here and in git; it destroys neither."""
    name = quoted(path)
    return f"set yours aside (`mv {name} {quoted(path + '.mine')}`), then `gitdata checkout {name}`"


def of_dvc(tracked: Tracked) -> InvalidInputError:
    """Why gitdata does not record a change of an output of DVC's pipeline."""
    pipeline = pipeline_name(tracked.pointer)
    return InvalidInputError(
        f"{tracked.path} is an output of a stage in {pipeline}, which DVC alone records in {tracked.pointer}",
        hint=f"`dvc repro` makes it anew, `dvc commit {quoted(pipeline)}` records it as it is",
    )
