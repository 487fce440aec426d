"""Where git looks for hooks, where gitdata's go, and what core.hooksPath was before.

Called by ``hooks``. Git's own folder takes gitdata's hooks. A folder that core.hooksPath names, or that ``.git/hooks``
only links to, belongs to others and is often in git: nothing is ever written there. gitdata's folder takes its place
instead, and each hook in it calls the other folder's of that name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from gitdata.backends.git import Git

_KEY = "core.hooksPath"
_OURS = "gitdata.hooksFolder"  # what core.hooksPath was set to
_BEFORE = "gitdata.hooksPath"  # what it was, where it was set in the same file


@dataclass(frozen=True, slots=True)
class Place:
    """runs: where git looks now. ours: where gitdata's hooks go. scope, value: of the core.hooksPath that counts.

    outside: whether ``ours`` takes the place of a folder of others, ``other``. taken: whether it does so already.
    """

    common: Path
    runs: Path
    ours: Path
    other: Path
    scope: str
    value: str
    outside: bool
    taken: bool

    @property
    def is_ours(self) -> bool:
        """Whether git looks where gitdata's hooks go."""
        return _same(self.runs, self.ours)


def find_place(git: Git) -> Place:
    """As it is now; nothing is changed."""
    lines = git.text("rev-parse", "--path-format=absolute", "--git-common-dir", "--git-path", "hooks").split("\n")
    common, runs = Path(lines[0]), Path(lines[1])
    default, own = common / "hooks", common / "gitdata/hooks"
    values = _values(git)
    scope, value = values[-1] if values else ("", "")
    taken = bool(value) and scope in ("local", "worktree") and value == git.config(_OURS)
    plain = not value or _same(runs, default)
    outside = taken or not plain or default.is_symlink()
    other = default if plain else runs
    if taken:
        inherited = [value for scope, value in values if scope in ("global", "system")]
        before = _path(git, _BEFORE) or (_path(git, _KEY, inherited[-1]) if inherited else "")
        other = _top(git, common) / before if before else default
    return Place(common, runs, own if outside else default, other, scope, value, outside, taken)


def take(git: Git, place: Place) -> None:
    """Let git look into gitdata's folder, and remember what core.hooksPath was."""
    if not place.outside:
        return
    file = "--worktree" if place.scope == "worktree" else "--local"
    if not place.taken:
        if place.scope in ("local", "worktree"):
            git.run("config", file, "--replace-all", _BEFORE, place.value)
        else:
            git.call("config", file, "--unset-all", _BEFORE)
    if place.value != str(place.ours):
        git.run("config", file, "--replace-all", _OURS, str(place.ours))
        git.run("config", file, "--replace-all", _KEY, str(place.ours))


def give_back(git: Git, place: Place) -> None:
    """Make core.hooksPath what it was, for each worktree. One that somebody else set since then stays."""
    for file in (
        place.common / "config",
        *place.common.glob("config.worktree"),
        *place.common.glob("worktrees/*/config.worktree"),
    ):

        def config(*words: str, file: Path = file) -> str:
            return git.call("config", "--file", str(file), *words).stdout.decode(errors="surrogateescape").rstrip("\n")

        ours = config("--get", _OURS)
        if ours and ours == config("--get", _KEY):
            before = config("--get", _BEFORE)
            git.run(
                "config", "--file", str(file), *(("--replace-all", _KEY, before) if before else ("--unset-all", _KEY))
            )
        for key in (_BEFORE, _OURS):
            config("--unset-all", key)


def _values(git: Git) -> list[tuple[str, str]]:
    """(scope, value) of each core.hooksPath, the one that counts last."""
    words = (
        git.call("config", "--show-scope", "-z", "--get-all", _KEY).stdout.decode(errors="surrogateescape").split("\0")
    )
    return [pair for pair in zip(words[::2], words[1::2], strict=False) if pair[0] != "command"]


def _path(git: Git, key: str, value: str = "") -> str:
    """A setting as a path, ``~`` expanded."""
    options = ["-c", f"{key}={value}"] if value else []
    done = git.call(*options, "config", "--type=path", "--get", key)
    return done.stdout.decode(errors="surrogateescape").rstrip("\n") if done.returncode == 0 else ""


def _top(git: Git, common: Path) -> Path:
    done = git.call("rev-parse", "--show-toplevel")
    return Path(os.fsdecode(done.stdout.rstrip(b"\n"))) if done.returncode == 0 else common


def _same(one: Path, two: Path) -> bool:
    return one == two or (one.exists() and two.exists() and one.samefile(two))
