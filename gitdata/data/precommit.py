"""The pre-commit hook's decision: which pointers to bring up to date, what to say, whether to refuse.

A colleague's newer pointer must never be reverted by a workspace that is only older; where both sides changed, nothing
is touched. What cannot be read stops no commit that has nothing to do with it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from gitdata.data.base import Base
from gitdata.data.pointers import PATTERNS
from gitdata.data.repository import Repository
from gitdata.data.threeway import moved
from gitdata.data.track import Added, add, stage
from gitdata.data.tracked import Tracked, both_changed, of_dvc
from gitdata.data.workspace import Seen, Workspace
from gitdata.errors import GitdataError, InvalidInputError
from gitdata.formats.dvclock import is_lock
from gitdata.text import quoted

# What git keeps in its folder while one of these is under way: then the index is not the user's alone.
_UNDER_WAY = {
    "MERGE_HEAD": "merge",
    "CHERRY_PICK_HEAD": "cherry-pick",
    "REVERT_HEAD": "revert",
    "BISECT_LOG": "bisect",
    "rebase-merge": "rebase",
    "rebase-apply": "rebase",
}
_COMMITS_ANYWAY = re.compile(r"\s--(amend|allow-empty)\b")


@dataclass
class Verdict:
    """lines: for the user, in order. refused: git must not commit."""

    lines: list[str] = field(default_factory=list)
    refused: bool = False


def pre_commit(repo: Repository, index: Path | None, command: str, *, merging: bool = False) -> Verdict:
    """Decide, and add what is to be added. index: git's, as the hook was given it. command: how git was called."""
    space = Workspace(repo, index)
    verdict = Verdict()
    under_way = "merge" if merging else _under_way(repo)
    mode = _mode(space)
    temporary = index is not None and not _is_own(repo, index)
    with space.lock():
        staged = space.staged()
        survey = space.survey_staged(staged)
        changed = _judge(space, survey, mode, verdict)
        _name_problems(space, staged, verdict)
        _warn_generated(space, staged, under_way, verdict)
        left = changed
        if changed and not verdict.refused:
            if mode == "always" and not under_way and not temporary:
                left = _add(space, changed, staged, command, verdict)
            else:
                _leave(changed, mode, under_way, verdict)
        if _stages_moved(space):
            # Deferred: the schema of specs costs more to load than all the rest of this hook.
            from gitdata.data.stagecheck import staged_problems

            problems, warnings = staged_problems(space)
            named = {error.remark for error in space.problems.values()}
            verdict.lines += [*problems, *(f"warning: {text}" for text in warnings if text not in named)]
            verdict.refused |= bool(problems)
        if left or verdict.refused or not _is_settled(space, survey, staged):
            space.unsettle()
        elif not temporary:
            space.settle(staged, space.pointer_rows())  # git has its index locked: they are the same still
    return verdict


def _is_settled(space: Workspace, survey: list[Seen], staged: dict[str, Tracked]) -> bool:
    """Whether the hook after the commit has nothing to bring or to clear away."""
    if space.problems or any(one.problem or one.state == "stale" or one.unstaged for one in survey):
        return False
    if any(one.tracked.pipeline and one.state in ("changed", "conflict") for one in survey):
        return False
    away = [one for one in survey if one.state == "absent"]
    if any(moved(one.base.oid if one.base else None, one.git) for one in away):
        return False
    gone = [path for path, base in space.base.items() if base.oid and path not in staged]
    return not any(os.path.lexists(space.repo.root / path) for path in gone)


def _name_problems(space: Workspace, staged: dict[str, Tracked], verdict: Verdict) -> None:
    """A pointer that cannot be read stops a commit only if it is part of it; one whose data cannot be moved never."""
    outside = space.outside(staged)
    if not space.problems and not outside:
        return
    out = space.git.run("diff", "--cached", "--name-only", "-z", "--no-renames", "--diff-filter=AM", "--", *PATTERNS)
    touched = {name.decode(errors="surrogateescape") for name in out.split(b"\0")[:-1]}
    for name, error in sorted(space.problems.items()):
        verdict.refused |= name in touched and _refuses(name, error)
        verdict.lines.append(error.remark + ("" if name in touched else " (not part of this commit)"))
    verdict.lines += [f"warning: {error.remark}" for name, error in outside.items() if name in touched]


def _refuses(name: str, error: GitdataError) -> bool:
    """DVC alone writes a lock, and may understand what gitdata does not (a template in wdir, an anchor)."""
    return not is_lock(name) or "merge conflict" in error.message


def _is_own(repo: Repository, index: Path) -> bool:
    """Whether it becomes the worktree's index (`git commit -a` works on the lock file), not one for one commit."""
    return index.name in ("index", "index.lock") and index.parent.resolve() == repo.git_dir.resolve()


def _under_way(repo: Repository) -> str:
    return next((name for file, name in _UNDER_WAY.items() if (repo.git_dir / file).exists()), "")


def _mode(space: Workspace) -> str:
    mode = space.git.config("gitdata.autoAdd", "always").lower()
    if mode not in ("always", "check", "never"):
        raise InvalidInputError(f"git config gitdata.autoAdd is {mode!r}", hint="use always, check or never")
    return mode


def _judge(space: Workspace, survey: list[Seen], mode: str, verdict: Verdict) -> list[Seen]:
    """What was changed here and can be added; the rest is settled, remarked or refused."""
    changed = []
    for seen in survey:
        path = seen.tracked.path
        if seen.problem:
            verdict.lines.append(f"{path} was not looked at: {seen.problem.remark}")
        elif seen.unstaged and seen.state == "same":
            pointer = seen.tracked.pointer
            verdict.lines.append(
                f"{pointer} is changed but not staged: `git add {quoted(pointer)}` puts {path} into a commit"
            )
        elif seen.state == "same" and seen.held:
            space.set_base(path, Base(seen.git, bool(seen.held.absent)))
        elif seen.state == "stale":
            verdict.lines.append(
                f"{path} is older than its pointer: `gitdata checkout {quoted(path)}` brings it up to date"
            )
        elif seen.tracked.pipeline and seen.state in ("changed", "conflict"):
            verdict.lines.append(of_dvc(seen.tracked).remark)
        elif seen.state == "conflict" or (seen.state == "changed" and not _ours(seen)):
            verdict.lines.append(f"{path} was changed here and in git: {both_changed(path)}")
            verdict.refused |= mode != "never"
        elif seen.state == "changed":
            changed.append(seen)
    return changed


def _ours(seen: Seen) -> bool:
    """Whether the working tree's pointer is what we may rewrite: git's, or already that of the data here."""
    return seen.written in (seen.git, seen.held.oid if seen.held else None)


def _leave(changed: list[Seen], mode: str, under_way: str, verdict: Verdict) -> None:
    paths = ", ".join(seen.tracked.path for seen in changed)
    words = " ".join(quoted(seen.tracked.path) for seen in changed)
    why = f" during a {under_way}" if under_way else ""
    verdict.lines.append(f"changed data is not in this commit{why}: {paths} (`gitdata add {words}` adds it)")
    verdict.refused |= mode == "check" and not under_way


def _add(
    space: Workspace, changed: list[Seen], staged: dict[str, Tracked], command: str, verdict: Verdict
) -> list[Seen]:
    """Bring the pointers up to date and stage them; those that could not be."""
    nothing_else = space.git.call("diff", "--cached", "--quiet").returncode == 0
    done: list[Added] = []
    left = []
    for seen in changed:
        try:
            done.append(add(space, seen.tracked.path, staged[seen.tracked.path], ask=False))
        except InvalidInputError as error:
            left.append(seen)
            verdict.lines.append(f"{seen.tracked.path} is not in this commit: {error.message}")
    stage(space, done)
    for one in done:
        verdict.lines.append(f"{one.pointer} brought up to date ({len(one.held.listing)} files)")
        verdict.lines += [f"left out of {one.path}: {name}" for name in one.held.left_out]
    has_head = space.git.resolve("HEAD") is not None
    if done and nothing_else and has_head and not _COMMITS_ANYWAY.search(command):
        # git has decided before it called us that there is nothing to commit, and does not look again.
        verdict.lines.append("data is all that changed, which git cannot see in this run: run the same command again")
        verdict.refused = True
    return left


def _warn_generated(space: Workspace, staged: dict[str, Tracked], under_way: str, verdict: Verdict) -> None:
    """Outputs of stages come from the controller; left over from an output branch they do not belong in a commit."""
    if under_way or not any(one.generated for one in staged.values()):
        return
    out = space.git.run("diff", "--cached", "--name-only", "-z", "--no-renames", "--diff-filter=AM", "--", "*.dvc")
    names = {name.decode(errors="surrogateescape") for name in out.split(b"\0")[:-1]}
    for one in staged.values():
        if one.generated and one.pointer in names:
            verdict.lines.append(
                f"warning: {one.pointer} is a stage's output, which the controller writes: "
                f"`git rm --cached {quoted(one.pointer)}` takes it out of this commit"
            )


def _stages_moved(space: Workspace) -> bool:
    """Whether this commit changes specs, or which pointers exist."""
    quiet = ("diff", "--cached", "--quiet", "--no-renames")
    return (
        space.git.call(*quiet, "--", "stages").returncode != 0
        or space.git.call(*quiet, "--diff-filter=AD", "--", "*.dvc").returncode != 0
    )
