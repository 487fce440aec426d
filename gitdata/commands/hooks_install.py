"""Install the git hooks (`gitdata init` does it). Doing it again refreshes them.

Hooks that are there already are kept and called first; a folder that core.hooksPath names is left as it is, its hooks
are called too. Where another program wrote its hooks over gitdata's, this repairs it. With --server, in the repository
that people push to: only the hook that wakes the controller.
"""

from __future__ import annotations

import argparse

from gitdata.backends.discovery import git_around
from gitdata.commands.terminal import print_line, say
from gitdata.data.hooknames import CLIENT, SERVER
from gitdata.data.hooks import Change, install


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--server", action="store_true", help="post-receive alone, for a bare repository")


def run(args: argparse.Namespace) -> int:
    show(install(git_around(), SERVER if args.server else CLIENT))
    return 0


def show(change: Change) -> None:
    for hook in change.hooks:
        chained = ", calls the hook that was there before" if hook.chained and hook.state != "absent" else ""
        print_line(f"{hook.path}: {hook.state}{chained}")
    for note in change.notes:
        say(note)
