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
from gitdata.data.bring import Brought, bring, clear_gone
from gitdata.data.ignore import exclude_dvc
from gitdata.data.outgoing import brought_by, outputs_at, parse_lines
from gitdata.data.repository import Repository, is_initialised, pointers_at
from gitdata.data.sending import send
from gitdata.data.sent import record, unproven
from gitdata.data.threeway import moved
from gitdata.data.tracked import Tracked, both_changed, outputs
from gitdata.data.workspace import Workspace
from gitdata.errors import ConflictError, GitdataError, NotARepositoryError

_AFTER = ("post-checkout", "post-merge", "post-rewrite", "post-commit", "post-applypatch", "post-index-change")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="the hook")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help="its arguments")


def run(args: argparse.Namespace) -> int:
    after = args.name in _AFTER
    try:
        repo = Repository.open(in_hook=True)
    except NotARepositoryError as error:
        if args.name == "pre-push":
            _hold_back(_remote(args), error)
        left = _was_here() if after else None
        if left is not None:
            _after(left, args.name, args.rest)
        else:
            say(f"gitdata: {error.message}; data was left alone")
        return 0
    if args.name in ("pre-commit", "pre-merge-commit"):
        return _before_commit(repo, merging=args.name == "pre-merge-commit")
    if args.name == "pre-push":
        return _before_push(repo, _remote(args))
    if after:
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


def _was_here() -> Repository | None:
    """The repository, where git moved to a commit from before `gitdata init`: data that came later leaves."""
    repo = Repository.find(in_hook=True)
    if not (repo.git_dir / "gitdata/base.json").exists() or not (repo.root / ".dvc").is_dir():
        return None
    exclude_dvc(repo.common_dir)
    return repo


def _after(repo: Repository, name: str, rest: list[str]) -> None:
    """Have the workspace follow the pointers. Never fails: git has acted already."""
    try:
        space = Workspace(repo)
        with space.lock():
            rows = space.pointer_rows()  # git may move them while the data is brought
            staged = space.staged()
            written = space.written_of(staged)
            wanted = [one for path, one in written.items() if one.watched and moved(space.oid_of(path), one.out.oid)]
            # Inside of git's own work, of which the rest is lost if a person ends it, nothing waits for a network.
            with Progress("fetching") as show:
                done = bring(space, wanted, follow=True, offline=name == "post-index-change", progress=show)
            done += clear_gone(space, staged | written, _former(repo, name, rest))
            if not any(one.done == "missing" for one in done):
                space.follow(rows)
    except (GitdataError, OSError) as error:
        say(f"gitdata: data was not brought up to date: {error}; `gitdata checkout` tries again")
        return
    for problem in space.problems.values():
        say(f"gitdata: {problem.remark}")
    for one in done:
        _tell(one, name)


def _former(repo: Repository, name: str, rest: list[str]) -> list[Tracked]:
    """The outputs of where a checkout came from."""
    if name != "post-checkout" or rest[2:3] != ["1"] or not rest[0].strip("0"):
        return []
    try:
        return [one for one in outputs(pointers_at(repo.git, rest[0]).found).values() if one.watched]
    except GitdataError:  # a commit that is not here (any more)
        return []


def _tell(one: Brought, name: str) -> None:
    hint = one.error.hint if one.error else ""
    if one.done == "kept" and one.problem == "untracked":
        say(f"gitdata: {one.path} has no pointer any more; it was changed here and stays, and git ignores it")
    elif one.done == "kept":
        say(f"gitdata: {one.path} was changed here and in git, and is kept: {both_changed(one.path)}")
    elif one.done == "missing":
        say(f"gitdata: {one.path} was not brought: {one.problem}; {hint or '`gitdata pull` tries again'}")
    elif one.done == "unreadable":
        say(f"gitdata: {one.path} was left as it is: {one.error.remark if one.error else one.problem}")
    elif one.done == "removed" and name == "post-commit":
        say(f"gitdata: {one.path} was removed with its pointer; earlier commits and the cache have it")
