"""Revisions: what the names that a person gives commits and branches mean in their clone.

Called by every verb that takes a revision, and by whoever must know which git remote, or which default branch, is meant
without being named. One mistake is told in one way with one exit code. Reads this clone alone: it never asks a server.
"""

from __future__ import annotations

from gitdata.backends.git import Git
from gitdata.errors import MissingDataError

_REMOTES = "refs/remotes/"
_HEADS = "refs/heads/"


def git_remote(git: Git) -> str:
    """The name of the git remote that is meant without being named: the branch's, else the only one, else origin."""
    branch = current_branch(git)
    own = git.config(f"branch.{branch}.remote") if branch else ""
    if own and own != ".":  # "." is a branch that follows another one of this clone
        return own
    known = git.call("remote").stdout.decode(errors="surrogateescape").splitlines()
    return known[0] if len(known) == 1 else "origin"


def current_branch(git: Git) -> str:
    """The branch that HEAD is on, "" if on none."""
    done = git.call("symbolic-ref", "--quiet", "--short", "HEAD")
    return done.stdout.decode(errors="surrogateescape").strip() if done.returncode == 0 else ""


def default_branch(git: Git) -> str:
    """The default branch of the git remote as far as this clone knows it, "" if it does not.

    A clone that has pushed and never asked (`git init`, `git remote add`) knows the branches alone: the only one is it.
    """
    prefix = f"{_REMOTES}{git_remote(git)}/"
    done = git.call("symbolic-ref", "--quiet", f"{prefix}HEAD")
    if done.returncode == 0:
        return done.stdout.decode(errors="surrogateescape").strip().removeprefix(prefix)
    pushed = {ref.removeprefix(prefix) for ref in git.refs(prefix)} - {"HEAD"}
    names = {name for name in pushed if not name.startswith("gitdata/")}
    if not names:
        local = {ref.removeprefix(_HEADS) for ref in git.refs(_HEADS)} | {current_branch(git)}
        names = {name for name in local if name and not name.startswith("gitdata/")}
    return names.pop() if len(names) == 1 else next((name for name in ("main", "master") if name in names), "")


def find_commit(git: Git, revision: str) -> str | None:
    """The commit of a revision, None if it has none. A branch that is only on the remote may go without its name."""
    if not revision:
        return None
    return git.resolve(revision) or git.resolve(f"{_REMOTES}{git_remote(git)}/{revision}")


def commit_of(git: Git, revision: str) -> str:
    """The commit of a revision. Raises MissingDataError for what is none, whatever the verb."""
    return find_commit(git, revision) or _refuse(git, revision)


def _refuse(git: Git, revision: str) -> str:
    if not revision:
        raise MissingDataError("'' names no commit, branch or tag", hint="name one, HEAD for example")
    if revision == "HEAD":
        raise MissingDataError("HEAD: this branch has no commit yet", hint="commit something first")
    if ".." in revision:
        raise MissingDataError(f"{revision}: that is a range, where one commit is meant", hint="name one end of it")
    done = git.call("rev-parse", "--verify", "--end-of-options", revision)
    if done.returncode == 0:
        kind = git.call("cat-file", "-t", done.stdout.decode().strip()).stdout.decode().strip()
        if kind in ("tree", "blob", "tag"):
            what = {"tree": "a folder", "blob": "a file", "tag": "a tag of something else"}[kind]
            raise MissingDataError(f"{revision}: that is {what}, not a commit", hint="name a commit, branch or tag")
        raise MissingDataError(f"{revision}: its commit is not in this repository", hint="git fetch")
    if b"is ambiguous" in done.stderr:
        raise MissingDataError(f"{revision}: several objects of git begin so", hint="give more digits")
    raise MissingDataError(
        f"{revision}: no commit, branch or tag of that name is here", hint="`git fetch` brings what is on the remote"
    )
