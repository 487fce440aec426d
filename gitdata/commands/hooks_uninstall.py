"""Remove gitdata's git hooks and put back those that were there before."""

from __future__ import annotations

import argparse

from gitdata.commands.hooks_install import open_git, show
from gitdata.data.hooks import uninstall


def configure(parser: argparse.ArgumentParser) -> None:
    del parser  # nothing to choose


def run(args: argparse.Namespace) -> int:
    del args
    show(uninstall(open_git()))
    return 0
