"""Which repository is meant: the one around a folder, or the one that git's own variables name.

Called by ``data.repository`` and by the verbs that work without `gitdata init`. git decides, and is asked as the user
would ask it; everything later is done by ``git`` on what is found here. Where git refuses, its own words are passed on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gitdata.backends.git import Git, too_old
from gitdata.backends.git_words import git_words
from gitdata.errors import GitdataError, NotARepositoryError

# With one of these set, git means another repository, working tree or index than those around the working directory.
PLACE = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR")
_FOLLOWED = ("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES")
_INDEX = "GIT_INDEX_FILE"
_NONE = "not a git repository (or any"
_OUTSIDE = "this operation must be run in a work tree"


@dataclass(frozen=True, slots=True)
class Discovery:
    """root: the top of the working tree. git_dir: this worktree's own; common_dir: shared by all worktrees.

    variables: what git needs to be told to find it from its root; empty where the folder alone says it.
    """

    root: Path
    git_dir: Path
    common_dir: Path
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def git(self) -> Git:
        return Git(self.root, variables=self.variables)


def discover(path: Path | None = None, *, in_hook: bool = False) -> Discovery:
    """The repository with a working tree around ``path``; without one, as git would from here and by its variables.

    in_hook: git has set them, and the index that it names may be one of a single command: that is not followed.
    Raises NotARepositoryError with git's words.
    """
    place = (path or here()).absolute()
    follow = () if path else (*PLACE, *_FOLLOWED, *(() if in_hook else (_INDEX,)))
    named = {name: os.environ[name] for name in follow if name in os.environ}
    asked = ("rev-parse", "--path-format=absolute", "--show-toplevel", "--absolute-git-dir", "--git-common-dir")
    done = Git(place, variables=named).call(*asked)
    lines = done.stdout.decode(errors="surrogateescape").splitlines()
    if done.returncode != 0:
        raise _refusal(place, done.stderr.decode(errors="replace"), named)
    if len(lines) != 3 or lines[0].startswith("--"):
        raise too_old(Git(place).text("--version"))
    root, git_dir, common_dir = map(Path, lines)
    if not root.is_dir():
        raise NotARepositoryError(
            f"{root}: this is to be the working tree of {git_dir}, and does not exist",
            hint="make it, or change core.worktree or GIT_WORK_TREE, which names it",
        )
    if named or not (root / ".git").exists():  # a variable, or core.worktree
        named |= {"GIT_DIR": str(git_dir), "GIT_WORK_TREE": str(root)}
        if "GIT_COMMON_DIR" in named:
            named["GIT_COMMON_DIR"] = str(common_dir)
    return Discovery(root, git_dir, common_dir, named)


def here() -> Path:
    """The working directory. Raises NotARepositoryError where it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        raise NotARepositoryError("the folder you are in does not exist any more", hint="cd to another one") from None


def git_around() -> Git:
    """The repository around the working directory, bare or not. Raises NotARepositoryError with git's words."""
    named = {name: os.environ[name] for name in (*PLACE, *_FOLLOWED) if name in os.environ}
    git = Git(here(), variables=named)
    done = git.call("rev-parse", "--git-dir")
    if done.returncode != 0:
        raise _refusal(git.path, done.stderr.decode(errors="replace"), named)
    return git


def _refusal(place: Path, stderr: str, named: Mapping[str, str]) -> GitdataError:
    said, cure = git_words(stderr)
    if named:
        values = ", ".join(f"{name}={value}" for name, value in sorted(named.items()))
        return NotARepositoryError(f"{said or place} ({values})", hint=cure or f"unset {' '.join(sorted(named))}")
    if said.startswith(_NONE):
        return _nothing_found(place)
    if said == _OUTSIDE:
        return NotARepositoryError(
            f"{place}: no git working tree here: this is a bare repository, or a repository's own folder",
            hint="run this in a clone, or at the top of the working tree",
        )
    return NotARepositoryError(f"{place}: {said or 'git cannot use this repository'}", hint=cure)


def _nothing_found(place: Path) -> GitdataError:
    for folder in (place, *place.parents):
        found = folder / ".git"
        try:
            there = found.exists()
        except PermissionError:
            there = True
        if there and os.access(found, os.R_OK | os.X_OK):
            hint = f"its HEAD, objects or refs are missing or may not be read: see `ls -la {found}`"
            return NotARepositoryError(f"{found}: git does not take this for a repository", hint=hint)
        if there:
            return NotARepositoryError(f"{found}: you may not read it", hint="ask its owner for the right to")
    return NotARepositoryError(f"{place}: no git working tree here", hint="run this inside one, or `git init` first")
