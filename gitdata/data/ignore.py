"""``.dvcignore`` (what data leaves out) and the ``.gitignore`` lines that keep data out of git.

Called by scans and by ``track``. git itself judges both (``.dvcignore`` with ``--exclude-per-directory``), which
is the same syntax: no second reading of the rules exists here.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Sequence
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.data.files import append_line, write_whole
from gitdata.data.scratch import IGNORE_LINE
from gitdata.data.tree import Ignored
from gitdata.errors import InvalidInputError

_SPECIAL = re.compile(r"[\\!#*?\[\]]")


def data_ignores(git: Git, root: Path, path: str) -> Ignored | None:
    """What ``.dvcignore`` excludes at or below the output ``path``; None where no rule exists (nearly always)."""
    folders = [root, *(root / parent for parent in _parents(path))]
    if not any(_has_rules(folder / ".dvcignore") for folder in folders):
        return None
    listed = git.run(
        "--literal-pathspecs", "ls-files", "-z", "--others", "--exclude-per-directory=.dvcignore", "--", path
    )
    files = {line.decode(errors="surrogateescape") for line in listed.split(b"\0")[:-1]}
    whole = tuple(name for name in files if name.endswith("/"))  # repositories of their own: git does not look inside
    shown = {name.rstrip("/") for name in files}
    for name in files:
        shown.update(_parents(name.rstrip("/")))

    def ignored(name: str, folder: bool) -> bool:
        # git lists no empty folder; whether it is "ignored" makes no difference to the data
        return name not in shown and not (whole and name.startswith(whole))

    return ignored


def _parents(path: str) -> list[str]:
    found = []
    while path := posixpath.dirname(path):
        found.append(path)
    return found


def _has_rules(file: Path) -> bool:
    try:
        lines = file.read_bytes().splitlines()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return any(line.strip() and not line.lstrip().startswith(b"#") for line in lines)


def git_ignores(git: Git, path: str) -> bool:
    return git.call("check-ignore", "--quiet", "--no-index", "--", f"./{path}").returncode == 0


def unshared(git: Git, paths: Sequence[str]) -> list[str]:
    """Those that no ``.gitignore`` has git ignore: rules of this clone or this person help no colleague."""
    if not paths:
        return []
    names = b"".join(b"./" + os.fsencode(path) + b"\0" for path in paths)  # else a colon may be magic
    done = git.call("check-ignore", "--verbose", "--non-matching", "--no-index", "-z", "--stdin", input=names)
    words = done.stdout.split(b"\0")
    rules = [os.path.basename(words[at]) for at in range(0, len(words) - 1, 4)]  # noqa: PTH119
    return [path for path, rule in zip(paths, rules, strict=True) if rule != b".gitignore"]


def keep_out_of_git(git: Git, root: Path, path: str) -> str | None:
    """Make git ignore an output; the ``.gitignore`` that was changed for it, or None. Escapes as DVC does."""
    if not unshared(git, [path]):
        return None
    folder, name = posixpath.split(path)
    if "\n" in name or name.endswith(" "):
        raise InvalidInputError(
            f"{path!r}: a name with a newline or an edge space cannot be kept out of git", hint="rename it"
        )
    file = posixpath.join(folder, ".gitignore")
    append_line(root / file, ignore_line(name))
    return file


def release_to_git(root: Path, path: str) -> str | None:
    """Take the line that keeps an output out of git away; the ``.gitignore`` that had it, None if none had."""
    folder, name = posixpath.split(path)
    file = posixpath.join(folder, ".gitignore")
    line = os.fsencode(ignore_line(name))
    try:
        lines = (root / file).read_bytes().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return None
    kept = [one for one in lines if one.rstrip(b"\r\n") != line]
    if len(kept) == len(lines):
        return None
    if kept:
        write_whole(root / file, b"".join(kept))
    else:
        (root / file).unlink()  # as DVC does
    return file


def exclude_output(git: Git, common_dir: Path, path: str) -> None:
    """Ignore a stage's output in this clone alone: source branches have no line for it."""
    if not git_ignores(git, path):
        _exclude(common_dir, ignore_line(path))


def exclude_scratch(common_dir: Path) -> None:
    """Have git leave out what a killed process leaves half-written. To be called before anything large is written."""
    _exclude(common_dir, IGNORE_LINE)


def exclude_dvc(common_dir: Path) -> None:
    """Ignore DVC's private folders in this clone: a commit from before `dvc init` has no ``.dvc/.gitignore``."""
    for name in (".dvc/cache", ".dvc/tmp", ".dvc/config.local"):
        _exclude(common_dir, ignore_line(name))


def _exclude(common_dir: Path, line: str) -> None:
    file = common_dir / "info/exclude"
    if not file.exists() or os.fsencode(line) not in file.read_bytes().split(b"\n"):
        file.parent.mkdir(parents=True, exist_ok=True)
        append_line(file, line)


def ignore_line(name: str) -> str:
    return "/" + _SPECIAL.sub(r"\\\g<0>", name)
