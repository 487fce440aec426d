"""The pre-commit hook's decision: which pointers to bring up to date, what to say, whether to refuse.

Called by ``gitdata hook pre-commit`` and ``pre-merge-commit`` when something may have moved. A colleague's newer
pointer must never be reverted by a workspace that is only older; where both sides changed, nothing is touched.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from gitdata.data.repository import Repository
from gitdata.data.track import Added, add, stage
from gitdata.data.workspace import Seen, Tracked, Workspace
from gitdata.errors import InvalidInputError

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
    with repo.lock():
        staged = space.staged()
        changed = _judge(space, space.survey_staged(staged), mode, verdict)
        _warn_generated(space, staged, under_way, verdict)
        left = changed
        if changed and not verdict.refused:
            if mode == "always" and not under_way and not temporary:
                _add(space, changed, staged, command, verdict)
                left = []
            else:
                _leave(changed, mode, under_way, verdict)
        if _stages_moved(space):
            # Deferred: the schema of specs costs more to load than all the rest of this hook.
            from gitdata.data.stagecheck import staged_problems

            problems, warnings = staged_problems(space)
            verdict.lines += [*problems, *(f"warning: {text}" for text in warnings)]
            verdict.refused |= bool(problems)
        if left or verdict.refused:
            space.unsettle()
        elif not temporary:
            for path in space.base.keys() - staged.keys():
                space.set_base(path, None)
            space.settle(staged)
    return verdict


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
        if seen.state == "same":
            space.set_base(path, seen.git)
        elif seen.state == "stale":
            verdict.lines.append(_stale(seen))
        elif seen.state == "conflict" or (seen.state == "changed" and not _ours(seen)):
            verdict.lines.append(
                f"{path} was changed here and in git: `gitdata add {path}` keeps yours, "
                f"`gitdata checkout --force {path}` takes git's"
            )
            verdict.refused |= mode != "never"
        elif seen.state == "changed":
            changed.append(seen)
    return changed


def _ours(seen: Seen) -> bool:
    """Whether the working tree's pointer is what we may rewrite: git's, or already that of the data here."""
    return seen.written in (seen.git, seen.held.oid if seen.held else None)


def _stale(seen: Seen) -> str:
    path, pointer = seen.tracked.path, seen.tracked.pointer
    if seen.held and seen.written == seen.held.oid:
        return f"{pointer} is changed but not staged: `git add {pointer}` puts {path} into a commit"
    return f"{path} is older than its pointer: `gitdata checkout {path}` brings it up to date"


def _leave(changed: list[Seen], mode: str, under_way: str, verdict: Verdict) -> None:
    paths = " ".join(seen.tracked.path for seen in changed)
    why = f" during a {under_way}" if under_way else ""
    verdict.lines.append(f"changed data is not in this commit{why}: {paths} (`gitdata add {paths}` adds it)")
    verdict.refused |= mode == "check" and not under_way


def _add(space: Workspace, changed: list[Seen], staged: dict[str, Tracked], command: str, verdict: Verdict) -> None:
    nothing_else = space.git.call("diff", "--cached", "--quiet").returncode == 0
    done: list[Added] = [add(space, seen.tracked.path, staged[seen.tracked.path]) for seen in changed]
    stage(space, done)
    for one in done:
        verdict.lines.append(f"{one.pointer} brought up to date ({len(one.held.listing)} files)")
    has_head = space.git.resolve("HEAD") is not None
    if nothing_else and has_head and not _COMMITS_ANYWAY.search(command):
        # git has decided before it called us that there is nothing to commit, and does not look again.
        verdict.lines.append("data is all that changed, which git cannot see in this run: run the same command again")
        verdict.refused = True


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
                f"`git rm --cached {one.pointer}` takes it out of this commit"
            )


def _stages_moved(space: Workspace) -> bool:
    """Whether this commit changes specs, or which pointers exist."""
    quiet = ("diff", "--cached", "--quiet", "--no-renames")
    return (
        space.git.call(*quiet, "--", "stages").returncode != 0
        or space.git.call(*quiet, "--diff-filter=AD", "--", "*.dvc").returncode != 0
    )
