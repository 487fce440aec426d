"""Where the git hooks come from and where they go: install, uninstall, look.

Called by ``init`` and the ``hooks`` verbs. The scripts are plain sh in the top-level ``hooks/`` folder (in a wheel:
``gitdata/_share/hooks``). A hook that is already there is kept as ``<name>.gitdata-chained`` and goes on being called.
It never overwrites a file it did not write, and doing it twice changes nothing.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from gitdata.backends.git import Git
from gitdata.errors import ConflictError, MachineError

CLIENT = ("pre-commit", "pre-merge-commit", "pre-push", "post-checkout", "post-merge", "post-rewrite")
SERVER = ("post-receive",)

_MARK = "# gitdata-hook "
_CHAINED = ".gitdata-chained"

State: TypeAlias = Literal["installed", "outdated", "foreign", "absent"]


@dataclass(frozen=True, slots=True)
class Hook:
    """One hook of a repository. state: of the file git runs. chained: whether another hook is called before it."""

    name: str
    path: Path
    state: State
    chained: bool


def share(name: str) -> Path:
    """A folder that ships beside the package: ``hooks``, ``k8s-jobs``."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "_share" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise MachineError(f"this installation of gitdata lacks its folder {name!r}", hint="install gitdata again")


def hooks_folder(git: Git) -> Path:
    """Where git looks for hooks: ``core.hooksPath``, else the common folder of all worktrees."""
    return (git.path / git.text("rev-parse", "--git-path", "hooks")).absolute()


def survey(git: Git, names: tuple[str, ...] = CLIENT + SERVER) -> list[Hook]:
    folder = hooks_folder(git)
    return [_look(folder, name) for name in names]


def install(git: Git, names: tuple[str, ...] = CLIENT) -> list[Hook]:
    """Install or refresh hooks; what is there already and is not ours is chained. Raises ConflictError."""
    folder = hooks_folder(git)
    found = [_look(folder, name) for name in names]
    for hook in found:
        if hook.state == "foreign" and hook.chained:
            raise ConflictError(
                f"{hook.path} is not gitdata's, and {hook.path.name}{_CHAINED} is already kept from before",
                hint="make one file of the two, then run `gitdata hooks install` again",
            )
    if folder.exists() and not folder.is_dir():
        raise ConflictError(f"git's hooks are switched off (core.hooksPath is {folder})", hint="unset core.hooksPath")
    folder.mkdir(parents=True, exist_ok=True)
    for hook in found:
        if hook.state == "foreign":
            hook.path.rename(_kept(hook.path))
        if hook.state != "installed":
            _write(hook.path, _text(hook.name))
    return survey(git, names)


def uninstall(git: Git, names: tuple[str, ...] = CLIENT + SERVER) -> list[Hook]:
    """Remove what is ours and put back what was there before."""
    for hook in survey(git, names):
        if hook.state in ("installed", "outdated"):
            hook.path.unlink()
            if hook.chained:
                _kept(hook.path).rename(hook.path)
    return survey(git, names)


def _look(folder: Path, name: str) -> Hook:
    path = folder / name
    chained = os.path.lexists(_kept(path))
    if not os.path.lexists(path):
        return Hook(name, path, "absent", chained)
    try:
        text = path.read_text(errors="replace")
    except OSError:
        return Hook(name, path, "foreign", chained)
    if not any(line.startswith(_MARK) for line in text.splitlines()[:3]):
        return Hook(name, path, "foreign", chained)
    current = text == _text(name) and os.access(path, os.X_OK)
    return Hook(name, path, "installed" if current else "outdated", chained)


def _kept(path: Path) -> Path:
    return path.with_name(path.name + _CHAINED)


def _text(name: str) -> str:
    folder = share("hooks")
    prelude = (folder / "prelude.sh").read_text().replace("@GITDATA@", shlex.quote(program()))
    return (folder / name).read_text().replace("# @PRELUDE@\n", prelude)


def program() -> str:
    """The absolute path of the ``gitdata`` command, "" where it cannot be told (the hook then looks in PATH)."""
    for candidate in (Path(sys.argv[0]).absolute().with_name("gitdata"), Path(sys.executable).with_name("gitdata")):
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return str(candidate)
    return shutil.which("gitdata") or ""


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.gitdata-{os.getpid()}.tmp")
    try:
        temporary.write_text(text)
        temporary.chmod(0o777 & ~_umask())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
