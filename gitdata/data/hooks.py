"""The git hooks of a repository: install, uninstall, look.

Called by ``init``, ``clone`` and the ``hooks`` verbs. Where they go is told by ``hookplace``, what becomes of the hooks
of others by ``hookfolder``. It never loses a file that it did not write, doing it twice changes nothing, and where it
fails everything is as before.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.data.hookfolder import Steps, aside, clear_aside, make_room, put_back
from gitdata.data.hooknames import CLIENT, FORWARDED, FORWARDED_IF_THERE, SERVER
from gitdata.data.hookplace import Place, find_place, give_back, take
from gitdata.data.hookscripts import State, content, is_ours, look, text
from gitdata.errors import ConflictError


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook of a repository. state: of the file git runs. chained: whether another hook is called before it."""

    name: str
    path: Path
    state: State
    chained: bool


@dataclass(frozen=True, slots=True)
class Change:
    """The hooks as they are now. notes: what of others could not be left or put where it was."""

    hooks: list[Hook]
    notes: list[str]


def survey(git: Git, names: tuple[str, ...] = CLIENT + SERVER) -> list[Hook]:
    return _survey(find_place(git), names)


def install(git: Git, names: tuple[str, ...] = CLIENT) -> Change:
    """Install, refresh or repair hooks; what is there and is not ours goes on being called. Raises ConflictError."""
    place = find_place(git)
    if os.path.lexists(place.other) and not place.other.is_dir():
        raise ConflictError(
            f"git's hooks are switched off here ({place.other} is no folder)",
            hint="unset core.hooksPath, or say that you want no hooks: git config gitdata.hooks false",
        )
    steps = Steps()
    with steps.done():
        steps.folder(place.ours)
        if place.outside:
            _leave_others(steps, place)
        for name in (*names, *_forwarded(place, names)):
            make_room(steps, place.ours, name)
            forward = name not in names
            wanted = text(name, outside=place.outside, forward=forward)
            path = place.ours / name
            if forward and os.path.lexists(path) and name in CLIENT + SERVER:
                continue  # it is installed in full, for the other role of this repository
            if content(path) != wanted.encode() or not os.access(path, os.X_OK):
                steps.write(path, wanted)
        take(git, place)
    git.call("config", "--local", "--unset-all", "gitdata.hooks")
    return Change(survey(git, names), steps.notes)


def uninstall(git: Git) -> Change:
    """Remove what is ours, put back what was there before, and remember that no hooks are wanted."""
    place = find_place(git)
    own = place.common / "gitdata/hooks"
    steps = Steps()
    with steps.done():
        _leave(steps, place.common / "hooks")
        _leave(steps, own)
        _leave_others(steps, place)
        give_back(git, place)
    decline(git)
    for folder in (aside(place.common / "hooks"), own, aside(own)):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    if own.is_dir():
        steps.notes.append(f"{own}: holds hooks that another program wrote there, which git does not call any more")
    return Change(survey(git), steps.notes)


def decline(git: Git) -> None:
    """Remember that no hooks are wanted here: nobody is told about them any more."""
    git.run("config", "--local", "gitdata.hooks", "false")


def declined(git: Git) -> bool:
    return git.call("config", "--type=bool", "--get", "gitdata.hooks").stdout == b"false\n"


def _leave(steps: Steps, folder: Path) -> None:
    """Take all that is ours out of a folder."""
    if folder.is_dir():
        for name in dict.fromkeys((*CLIENT, *SERVER, *FORWARDED, *FORWARDED_IF_THERE)):
            put_back(steps, folder, name)
        clear_aside(steps, folder)


def _leave_others(steps: Steps, place: Place) -> None:
    """Take out what lies where it does not belong any more: in git's own folder, or (earlier versions) in the other."""
    if place.outside and place.scope != "worktree":
        _leave(steps, place.common / "hooks")
    theirs = [name for name in CLIENT if is_ours(place.other / name)]
    if theirs and place.scope in ("local", "worktree") and place.other != place.common / "hooks":
        _leave(steps, place.other)
        steps.notes.append(f"{place.other}: what an earlier gitdata wrote there is taken out ({', '.join(theirs)})")


def _forwarded(place: Place, names: tuple[str, ...]) -> list[str]:
    """The hooks that only call those of the folder whose place ours takes."""
    if not place.outside:
        return []
    there = [name for name in FORWARDED_IF_THERE if os.path.lexists(place.other / name)]
    return [name for name in dict.fromkeys((*CLIENT, *FORWARDED, *there)) if name not in names]


def _survey(place: Place, names: tuple[str, ...]) -> list[Hook]:
    outside = place.outside and place.is_ours
    others = [aside(place.runs), *([place.other] if outside else [])]
    return [
        Hook(
            name,
            place.runs / name,
            look(place.runs / name, name, outside=outside),
            any(os.path.lexists(folder / name) for folder in others),
        )
        for name in names
    ]
