"""Arguments that belong to git: verbs that end in a git command hand on what they were given, options too.

Called by ``commit``, ``push`` and ``pull``. Only a leading ``-h`` or ``--help`` is ours.
"""

from __future__ import annotations

import argparse


def take_all(parser: argparse.ArgumentParser, command: str) -> None:
    """Let the parser take every word as an argument of ``command``."""
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="…", help=f"arguments of {command}")
    parser.set_defaults(parser=parser)
    parser.prefix_chars = "\0"  # or argparse would look for options of its own


def asked_for_help(args: argparse.Namespace) -> bool:
    """Print our help where it was asked for."""
    if args.arguments[:1] in (["-h"], ["--help"]):
        args.parser.print_help()
        return True
    return False
