"""Remove gitdata's git hooks and put back those that were there before."""

from __future__ import annotations

import argparse

from gitdata.backends.discovery import git_around
from gitdata.commands.hooks_install import show
from gitdata.data.hooks import uninstall


def configure(parser: argparse.ArgumentParser) -> None:
    del parser  # nothing to choose


def run(args: argparse.Namespace) -> int:
    del args
    show(uninstall(git_around()))
    return 0
