"""Arguments that belong to git: verbs that end in a git command hand on what they were given, options too.

Called by ``commit``, ``push`` and ``pull``. Only a leading ``-h`` or ``--help`` is ours. What git would refuse is
refused here, before the verb does its own part: git is asked for its options, none is listed here.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.errors import UsageError
from gitdata.text import quoted

# A line of `git push -h`: "-o, --push-option <server-specific>", "-S, --[no-]gpg-sign[=<key-id>]". The letter, and how
# its value begins: " <" where it may be the next word, "[" where it may only follow at once.
_SHORT = re.compile(r"^ +-(\w)(?:, --(?:\[no-\])?[\w-]+)?( [<(]|\[)?", re.MULTILINE)


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


def check_arguments(git: Git, verb: str, arguments: Sequence[str]) -> list[str]:
    """The arguments that are no options. Raises UsageError for an option that this git's ``verb`` does not have."""
    # What git prints for its own completion, and its short help; other languages and versions print the same form.
    long = git.call(verb, "--git-completion-helper-all").stdout.decode(errors="replace").split()
    usage = git.call(verb, "-h")
    short = dict(_SHORT.findall((usage.stdout + usage.stderr).decode(errors="replace")))
    if not long or not short:
        return []  # an older git, or none; it says itself what is wrong
    words = iter(arguments)
    plain: list[str] = []
    for word in words:
        if word == "--":
            plain += words
        elif word.startswith("--"):
            _check_long(verb, word, long, words)
        elif word.startswith("-") and word != "-":
            _check_short(verb, word, short, words)
        else:
            plain.append(word)
    return plain


def check_remote(git: Git, verb: str, plain: Sequence[str]) -> None:
    """Raises UsageError where push or pull is given data, as `dvc push` is, in the place of a git remote."""
    first = plain[0] if plain else ""
    if first and not git.config(f"remote.{first}.url") and (first.endswith(".dvc") or _is_data(first)):
        raise UsageError(
            f"{verb}: {first} is data, not a git remote",
            hint=f"`gitdata {verb}` takes the data of the whole commit; `dvc {verb} {quoted(first)}` works here",
        )
    # A URL, a path, or a word that git's insteadOf makes one of these is git's to judge.
    if first and not set(first) & set(":/") and not Path(first).exists() and not _is_remote(git, first):
        known = ", ".join(git.text("remote").split()) or "none"
        raise UsageError(f"{verb}: no git remote is called {first}", hint=f"known: {known}")


def _is_remote(git: Git, name: str) -> bool:
    """Whether git makes something else of it; it asks no server for that."""
    shown = git.call("ls-remote", "--get-url", "--", name)
    return shown.stdout.strip() != name.encode() or bool(git.config(f"remote.{name}.pushurl"))


def check_paths(verb: str, plain: Sequence[str]) -> None:
    """Raises UsageError where commit is given data: git knows its pointer alone."""
    for path in filter(_is_data, plain):
        raise UsageError(
            f"{verb}: git has no {path}, only its pointer", hint=f"name {quoted(path.rstrip('/') + '.dvc')} instead"
        )


def _is_data(path: str) -> bool:
    return Path(path.rstrip("/") + ".dvc").is_file()


def _check_long(verb: str, word: str, known: Sequence[str], rest: Iterator[str]) -> None:
    name, equals, _ = word.partition("=")
    exact = [option for option in known if option.rstrip("=") == name]
    found = exact or [option for option in known if option.startswith(name)]  # git takes what begins one alone
    if not found:
        raise _unknown(verb, word, known)
    if len(found) > 1:
        raise UsageError(f"{verb}: {name} may mean {' or '.join(option.rstrip('=') for option in found)}")
    if found[0].endswith("=") and not equals:
        _take_value(verb, name, rest)


def _check_short(verb: str, word: str, known: dict[str, str], rest: Iterator[str]) -> None:
    for at, letter in enumerate(word[1:], 1):
        if letter not in known:
            raise _unknown(verb, f"-{letter}", ())
        if known[letter]:  # all that follows is its value
            if at == len(word) - 1 and known[letter] != "[":
                _take_value(verb, f"-{letter}", rest)
            return


def _take_value(verb: str, option: str, rest: Iterator[str]) -> None:
    if next(rest, None) is None:
        raise UsageError(f"{verb}: {option} needs a value")


def _unknown(verb: str, word: str, known: Sequence[str]) -> UsageError:
    # Deferred: what only mistakes need.
    from gitdata.commands.suggestion import unknown_option

    return unknown_option(verb, word, [option.rstrip("=") for option in known])
