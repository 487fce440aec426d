"""What the installed git hooks call; not for people.

Before git acts, an exit code other than 0 stops it. After git acted, problems are said and git goes on.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.commands.progress import Progress
from gitdata.commands.terminal import say
from gitdata.data.bring import bring, clear_gone
from gitdata.data.outgoing import brought_by, outputs_at, parse_lines
from gitdata.data.repository import Repository, is_initialised
from gitdata.data.sending import send
from gitdata.data.sent import record, unproven
from gitdata.data.workspace import Workspace
from gitdata.errors import ConflictError, GitdataError, NotARepositoryError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the hook")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="its arguments")


def run(args: argparse.Namespace) -> int:
    try:
        repo = Repository.open()
    except NotARepositoryError as error:
        if args.name == "pre-push":
            _hold_back(_remote(args), error)
        say(f"gitdata: {error.message}; data was left alone")
        return 0
    if args.name in ("pre-commit", "pre-merge-commit"):
        return _before_commit(repo, merging=args.name == "pre-merge-commit")
    if args.name == "pre-push":
        return _before_push(repo, _remote(args))
    if args.name in ("post-checkout", "post-merge", "post-rewrite"):
        _after(repo, args.name, args.rest)
    return 0


def _before_commit(repo: Repository, *, merging: bool) -> int:
    # Deferred: the other hooks read no stage specs and no YAML.
    from gitdata.data.precommit import pre_commit

    index = os.environ.get("GIT_INDEX_FILE")
    command = os.environ.get("GITDATA_GIT_COMMAND", "")
    verdict = pre_commit(repo, Path(index).absolute() if index else None, command, merging=merging)
    for line in verdict.lines:
        say(f"gitdata: {line}")
    return 1 if verdict.refused else 0


def _remote(args: argparse.Namespace) -> str:
    return args.rest[0] if args.rest else "origin"


def _hold_back(remote: str, error: NotARepositoryError) -> None:
    """Raises ConflictError where pointers would go out without data, as what is checked out knows of no remote."""
    git = Git(Path.cwd())
    if git.call("rev-parse", "--is-inside-work-tree").stdout.strip() != b"true":
        return  # a bare repository: a mirror, whose pointers came with their data
    for line in parse_lines(sys.stdin.read()):
        if is_initialised(git, line.local) and brought_by(git, [line], remote).outputs:
            name = line.local_ref.removeprefix("refs/heads/")
            cure = error.hint if is_initialised(git, "HEAD") else f"git switch {name}"
            raise ConflictError(
                f"{name} has data, and .dvc/config, which says where it goes, is not checked out here",
                hint=f"{cure}, then push again; or push without the data: git push --no-verify",
            ) from error


def _before_push(repo: Repository, remote: str) -> int:
    brought = brought_by(repo.git, parse_lines(sys.stdin.read()), remote)
    head = repo.git.resolve("HEAD")
    earlier = unproven(repo, outputs_at(repo.git, head).outputs) if head else []
    with Progress("sending") as show:
        done = send(repo, brought.outputs, earlier, show)
        show.done(done.objects, done.bytes)
    record(repo, done.proven, complete=not done.lost)
    for remark in (*(f"{problem}: its data was not sent" for problem in brought.problems), *done.remarks):
        say(f"gitdata: {remark}")
    return 0


def _after(repo: Repository, name: str, rest: list[str]) -> None:
    """Bring what git's move changed. Never fails: git has acted already."""
    # A checkout of single files ("0") is no change of branch: nothing is removed then.
    single = name == "post-checkout" and rest[2:3] == ["0"]
    try:
        space = Workspace(repo)
        with repo.lock():
            staged = space.staged()
            new = _changed_pointers(repo, "HEAD" if single else rest[0] if name == "post-checkout" else "ORIG_HEAD")
            absent = [path for path, one in staged.items() if new is None or one.pointer in new]
            moved = [one for path, one in staged.items() if one.watched and space.base.get(path) != one.out.oid]
            with Progress("fetching") as show:
                done = bring(space, moved, absent=absent, progress=show)
            if not single:
                done += clear_gone(space, staged)
    except (GitdataError, OSError) as error:
        say(f"gitdata: data was not brought up to date: {error}; `gitdata checkout` tries again")
        return
    for one in done:
        if one.done == "kept" and one.problem == "untracked":
            say(f"gitdata: {one.path} has no pointer any more; it was changed here and stays")
        elif one.done == "kept":
            say(f"gitdata: {one.path} was changed here and is kept; `gitdata checkout --force {one.path}` takes git's")
        elif one.done == "missing":
            hint = (one.error and one.error.hint) or "`gitdata pull` tries again"
            say(f"gitdata: {one.path} was not brought: {one.problem}; {hint}")


def _changed_pointers(repo: Repository, old: str) -> set[str] | None:
    """The pointers that differ from a commit: data that was never here is brought only for these. None: all."""
    if not old.strip("0"):
        return None  # a new worktree
    done = repo.git.call("diff", "--cached", "--name-only", "-z", "--no-renames", old, "--", "*.dvc")
    return {name.decode(errors="surrogateescape") for name in done.stdout.split(b"\0")[:-1]}
