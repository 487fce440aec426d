"""`git clone` with the arguments given here, then what a clone lacks: the git hooks, and the data of its commit.

    gitdata clone https://git.example/team/pictures.git

A repository without gitdata is cloned, and that is all. Where the data cannot be brought the clone stays, and
`gitdata pull` in it tries again.
"""

from __future__ import annotations

import argparse
import json
import shlex
import tempfile
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.commands.checkout import report, update
from gitdata.commands.init import set_up_hooks
from gitdata.commands.passthrough import asked_for_help, check_arguments, take_all
from gitdata.commands.pull import fetch_notes
from gitdata.commands.terminal import say
from gitdata.data.repository import Repository, is_initialised
from gitdata.errors import GitdataError, RemoteError


def configure(parser: argparse.ArgumentParser) -> None:
    take_all(parser, "git clone")


def run(args: argparse.Namespace) -> int:
    if asked_for_help(args):
        return 0
    check_arguments(Git(Path.cwd()), "clone", args.arguments)
    place = _clone(args.arguments)
    if place is None:
        say("gitdata: a bare clone takes neither hooks nor data")
        return 0
    git = Git(place)
    if not is_initialised(git, "HEAD"):
        say(f"gitdata: {place} has no data yet: nothing to do but the clone (`gitdata init` in it makes it gitdata's)")
        return 0
    set_up_hooks(git)
    if not git.run("ls-files"):
        say("gitdata: nothing is checked out yet; the hooks bring the data with `git checkout`")
        return 0
    try:
        repo = Repository.open(place)
        fetch_notes(repo)
        return report(update(repo, None, force=False, remove=False), changed_is_error=False)
    except GitdataError as error:
        error.message = f"cloned, but the data was not brought: {error.message}"
        again = f"gitdata -C {shlex.quote(str(place))} pull"
        error.hint = f"{error.hint}; then {again}" if error.hint else again
        raise


def _clone(arguments: list[str]) -> Path | None:
    """The working tree of the new clone, None if it is bare. Raises RemoteError."""
    with tempfile.TemporaryDirectory(prefix="gitdata-clone-") as folder:
        events = Path(folder, "events")  # git's own account, where it says which folder it made
        env = {"GIT_TRACE2_EVENT": str(events), "GITDATA_SKIP_HOOKS": "1"}  # the data comes once, afterwards
        if Git(Path.cwd()).interactive("clone", *arguments, env=env) != 0:
            raise RemoteError("git clone failed (see above)")
        lines = events.read_bytes().splitlines() if events.exists() else []
    for line in lines:
        event = json.loads(line)
        if event.get("event") == "def_repo" and "/" not in event["sid"]:  # else of a program that it called
            return Path(event["worktree"])
    return None
