"""The hooks of others in the folder that gitdata's go to: kept aside while gitdata's are there, put back afterwards.

Called by ``hooks``. A kept hook lies under its own name in ``gitdata-kept-hooks`` beside the folder, so that relative
paths, its name and (through links that ``hooks/prelude.sh`` makes) its neighbours are what they were. Other programs
write into the folder as well, and move gitdata's hooks to names like ``pre-commit.legacy``. Nothing of others is ever
lost: it is kept, put back, or named.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gitdata.data.hookscripts import content, is_of_pre_commit, is_ours, is_successor

ASIDE = "gitdata-kept-hooks"
_OLD = ".gitdata-chained"  # where earlier versions kept them
_NOTHING = "#!/bin/sh\n# Another hook calls this file by its name.\nexit 0\n"


class Steps:
    """Changes that can be taken back as long as they are not finished."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], object]] = []
        self._trash: list[Path] = []
        self.notes: list[str] = []

    def folder(self, path: Path) -> None:
        if not path.is_dir():
            path.mkdir(parents=True)
            self._undo.append(path.rmdir)

    def move(self, old: Path, new: Path) -> None:
        old.rename(new)
        self._undo.append(lambda: new.rename(old))

    def remove(self, path: Path) -> None:
        gone = _scratch(path, "old")
        self.move(path, gone)
        self._trash.append(gone)

    def write(self, path: Path, text: str) -> None:
        """A new script; one of ours may be there already."""
        before = path.read_bytes() if path.exists() else None
        _write(path, text.encode())
        self._undo.append(path.unlink if before is None else lambda: _write(path, before))

    @contextmanager
    def done(self) -> Iterator[None]:
        """All of it, or nothing."""
        try:
            yield
        except BaseException:
            for step in reversed(self._undo):
                with suppress(OSError):
                    step()
            raise
        for path in self._trash:
            path.unlink(missing_ok=True)


def make_room(steps: Steps, folder: Path, name: str) -> None:
    """Keep what lies under a hook's name and is not gitdata's; tidy up what others made of gitdata's hooks."""
    path, kept, old = folder / name, aside(folder) / name, folder / f"{name}{_OLD}"
    if _is_neighbour(kept):
        steps.remove(kept)
    for one in (old, path):
        if os.path.lexists(one) and not is_ours(one):
            steps.folder(kept.parent)
            if os.path.lexists(kept):
                _give_way(steps, kept, one, path.with_name(f"{name}.legacy"))
            steps.move(one, kept)
    for other in _moved_away(folder, name):
        if other.suffix.encode() not in content(kept):  # else what is kept calls it by that name
            steps.remove(other)


def put_back(steps: Steps, folder: Path, name: str) -> None:
    """Remove what is gitdata's and put what is kept back into its place."""
    path, legacy = folder / name, folder / f"{name}.legacy"
    if os.path.lexists(path) and is_ours(path):
        steps.remove(path)
    for other in _moved_away(folder, name):
        if other.suffix.encode() in content(path):
            steps.write(other, _NOTHING)
        else:
            steps.remove(other)
    for kept in (aside(folder) / name, folder / f"{name}{_OLD}"):
        if not os.path.lexists(kept) or _is_neighbour(kept):
            continue
        if not os.path.lexists(path):
            steps.move(kept, path)
        elif is_successor(path, kept):
            steps.remove(kept)
        elif is_of_pre_commit(path) and not os.path.lexists(legacy):
            steps.move(kept, legacy)
        else:
            _set_aside(steps, kept, folder / f"{name}.kept", path)


def clear_aside(steps: Steps, folder: Path) -> None:
    """Take away the folder of the kept ones; what hooks wrote beside themselves moves to where they are now."""
    if not aside(folder).is_dir():
        return
    for one in sorted(aside(folder).iterdir()):
        if _is_neighbour(one):
            steps.remove(one)
        elif not os.path.lexists(folder / one.name):
            steps.move(one, folder / one.name)


def aside(folder: Path) -> Path:
    return folder.parent / ASIDE


def _give_way(steps: Steps, kept: Path, new: Path, legacy: Path) -> None:
    """What was kept makes room for the hook that another program wrote since."""
    if is_successor(new, kept):
        steps.remove(kept)
        return
    if is_of_pre_commit(new) and (not os.path.lexists(legacy) or is_ours(legacy)):
        if os.path.lexists(legacy):
            steps.remove(legacy)
        steps.move(kept, legacy)  # which pre-commit's own hook calls
        return
    _set_aside(steps, kept, kept.with_name(f"{kept.name}.kept"), new)


def _set_aside(steps: Steps, kept: Path, wanted: Path, new: Path) -> None:
    free, number = wanted, 1
    while os.path.lexists(free):
        number += 1
        free = wanted.with_name(f"{wanted.name}.{number}")
    steps.move(kept, free)
    steps.notes.append(
        f"{new} was written by another program since the hook before it was kept; that one is {free} now "
        "and is not called: make one of the two"
    )


def _moved_away(folder: Path, name: str) -> list[Path]:
    """gitdata's hooks under names that other programs gave them."""
    return [path for path in sorted(folder.glob(f"{name}.*")) if is_ours(path)]


def _is_neighbour(path: Path) -> bool:
    """Whether this is one of the links that ``hooks/prelude.sh`` makes."""
    return path.is_symlink() and path.readlink() == Path("../hooks", path.name)


def _scratch(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.gitdata-{os.getpid()}.{kind}")


def _write(path: Path, data: bytes) -> None:
    temporary = _scratch(path, "new")
    try:
        temporary.write_bytes(data)
        temporary.chmod(0o777 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
