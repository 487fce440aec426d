"""Make this git repository a gitdata repository: DVC's folder, a data remote, the git hooks.

Does only what is missing, so it may be run again, and in a repository that DVC already uses. The files it writes are
staged in git; commit them.
"""

from __future__ import annotations

import argparse

from gitdata.backends.git import Git
from gitdata.commands.terminal import print_line, say
from gitdata.data.hooks import decline, declined, install
from gitdata.data.repository import Repository
from gitdata.data.setup import REMOTE, about_remote, add_remote, check_layout, check_remote, make_folder
from gitdata.data.workspace import Workspace
from gitdata.errors import ConflictError, UsageError

EPILOG = """examples:
  gitdata init --remote /srv/data
  gitdata init --remote s3://bucket/prefix --option endpointurl=http://localhost:9000"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("--remote", metavar="URL", help="where the data is shared: a folder or s3://bucket/prefix")
    parser.add_argument("--name", default=REMOTE, help="the name of that remote (default: %(default)s)")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an option of the remote, as DVC names it (endpointurl, region, …); secrets go to config.local",
    )
    parser.add_argument("--no-hooks", action="store_true", help="do not install the git hooks")


def run(args: argparse.Namespace) -> int:
    options = dict(_option(text) for text in args.option)
    if options and args.remote is None:
        raise UsageError("--option needs --remote")
    repo = Repository.find()
    check_layout(repo)
    if args.remote is not None:
        check_remote(repo, args.remote, options)  # before anything is written
    files = make_folder(repo)
    if args.remote is not None:
        files += add_remote(repo, args.name, args.remote, options)
    if files:
        repo.git.run("add", "--", *dict.fromkeys(files))
        print_line(f"{repo.root}: wrote and staged {', '.join(dict.fromkeys(files))}")
    ready = Repository.open()
    _remember(ready)
    if note := about_remote(ready):
        say(note)
    if not files:
        say("nothing was missing")
    # Last: where anything above fails there are no hooks that would hold up git.
    if args.no_hooks:
        decline(ready.git)
    else:
        set_up_hooks(ready.git)
    return 0


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--option {text!r} is not KEY=VALUE")
    return key.lower(), value


def set_up_hooks(git: Git) -> None:
    """Install the hooks unless the user said no before; where it cannot be, a warning."""
    if declined(git):
        say("git hooks: none, as gitdata.hooks is false (`gitdata hooks install` installs them)")
        return
    try:
        done = install(git)
    except ConflictError as error:
        say(f"warning: the git hooks are not installed: {error.message} ({error.hint})")
        return
    say(f"git hooks: {done.hooks[0].path.parent}")
    for note in done.notes:
        say(note)


def _remember(repo: Repository) -> None:
    """Data that DVC brought here is what its pointers say: from now on changes to it can be told."""
    space = Workspace(repo)
    with space.lock():
        space.remember(space.survey())
