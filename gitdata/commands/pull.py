"""`git pull` with the arguments given here, then bring the data of all pointers.

Data that was changed here is kept: exit code 5 where git's pointer moved on as well.
"""

from __future__ import annotations

import argparse

from gitdata.commands.checkout import report, update
from gitdata.commands.passthrough import asked_for_help, check_arguments, check_remote, take_all
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError, RemoteError


def configure(parser: argparse.ArgumentParser) -> None:
    take_all(parser, "git pull")


def run(args: argparse.Namespace) -> int:
    if asked_for_help(args):
        return 0
    repo = Repository.open()
    check_remote(repo.git, "pull", check_arguments(repo.git, "pull", args.arguments))
    # The hooks would bring data too, one merge step at a time.
    if repo.git.interactive("pull", *args.arguments, env={"GITDATA_SKIP_HOOKS": "1"}) != 0:
        if repo.git.run("ls-files", "--unmerged"):
            raise ConflictError("git pull stopped at a conflict", hint="resolve it with git, then `gitdata checkout`")
        raise RemoteError("git pull failed (see above); no data was moved", hint="`gitdata checkout` brings data alone")
    fetch_notes(repo)
    done = update(repo, None, force=False, remove=True)
    return report(done, changed_is_error=False)


def fetch_notes(repo: Repository) -> None:
    """The provenance of what came, into a place of its own: notes that were not pushed yet are never overwritten."""
    branch = repo.git.text("rev-parse", "--abbrev-ref", "HEAD")
    remote = repo.git.config(f"branch.{branch}.remote", "origin")
    if remote != "." and not remote.startswith("-"):
        refs = f"+refs/notes/gitdata/*:refs/gitdata/remotes/{remote}/notes/*"
        repo.git.call("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--end-of-options", remote, refs)
