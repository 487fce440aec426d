"""The command line: finds the verb, and is the one place where an error becomes a line and an exit code.

A verb's module is imported only when that verb is asked for, so that ``gitdata --help`` and the hooks stay
fast. Every verb is a module of ``gitdata.commands`` with ``configure(parser)`` and ``run(args) -> int``.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from gitdata import __version__
from gitdata.backends.machine import cache_home
from gitdata.commands.terminal import prepare_streams, say
from gitdata.commands.verbs import VERBS
from gitdata.errors import GitdataError, MachineError
from gitdata.text import printable

_WITH_HOOKS = ("status", "add", "commit", "push", "pull")  # what they promise holds with the git hooks alone


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises for anything a user can cause."""
    if argv is None:
        _take_names_as_utf8()
    prepare_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader went away (`gitdata log | head`): not an error of ours; keep Python from flushing again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except GitdataError as error:
        return _report(error.problems, error.hint, error.exit_code)
    except OSError as error:
        return _report(*_explain(error))
    except Exception:
        return _defect()


def _take_names_as_utf8() -> None:
    """Begin again in Python's UTF-8 mode where the locale would have it otherwise: git's names and DVC's are UTF-8."""
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])


def _dispatch(words: list[str]) -> int:
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in ("-h", "--help"):
            sys.stdout.write(overview())
            return 0
        if option in ("-V", "--version"):
            return _version()
        if option == "-C" and words:
            os.chdir(words.pop(0))
        else:
            # Deferred: what only mistakes need.
            from gitdata.commands.suggestion import unknown_option

            raise unknown_option("", option, ("--help", "--version", "-C"))
    if not words:
        sys.stderr.write(overview())
        return 2
    if words[0] == "version":
        return _version()
    if words[0] == "help":
        words = [*words[1:3], "--help"]
    if words[0] in ("-h", "--help"):
        sys.stdout.write(overview())
        return 0
    verb, rest = _verb(words)
    if not verb:
        return 0
    module = importlib.import_module("gitdata.commands." + verb.replace(" ", "_").replace("-", "_"))
    parser = _Parser(
        prog=f"gitdata {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    try:
        args, unknown = parser.parse_known_args(rest)
        if unknown:
            raise _Refusal(f"unrecognized arguments: {' '.join(unknown)}")
    except _Refusal as refusal:
        # Deferred, as all that only mistakes need.
        from gitdata.commands.suggestion import wrong_arguments

        raise wrong_arguments(verb, parser, rest, str(refusal)) from None
    except SystemExit:  # argparse's own way out: it has printed its help
        return 0
    if verb in _WITH_HOOKS and rest[:1] not in (["-h"], ["--help"]):
        _say_without_hooks()
    result: int = module.run(args)
    return result


def _say_without_hooks() -> None:
    # Deferred: most verbs do not need it, and `gitdata --help` loads next to nothing.
    from gitdata.data.hooknotice import hooks_notice

    notice = hooks_notice()
    if notice:
        say(notice)


class _Refusal(Exception):
    """What argparse finds wrong with the arguments."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refusal(message)


def _version() -> int:
    sys.stdout.write(f"gitdata {__version__}\n")
    return 0


def _verb(words: list[str]) -> tuple[str, list[str]]:
    known = {verb for verb, _, _ in VERBS}
    if words[0] in known:
        return words[0], words[1:]
    if len(words) > 1 and " ".join(words[:2]) in known:
        return " ".join(words[:2]), words[2:]
    members = [(verb, text) for verb, text, _ in VERBS if verb.startswith(words[0] + " ")]
    if members and words[1:2] in (["-h"], ["--help"]):
        sys.stdout.write("".join(f"gitdata {verb:<18} {text}\n" for verb, text in members))
        return "", []
    # Deferred: what only mistakes need.
    from gitdata.commands.suggestion import unknown_member, unknown_verb

    visible = [verb for verb, _, heading in VERBS if heading]
    raise unknown_member(words[0], words[1:], visible) if members else unknown_verb(words, visible)


def overview() -> str:
    """The text of ``gitdata --help``."""
    lines = ["usage: gitdata [-C DIR] COMMAND …      (or: git data COMMAND …; `gitdata help COMMAND` for one)\n"]
    heading = None
    for verb, text, group in VERBS:
        if not group:
            continue
        if group != heading:
            lines.append(f"\n{group}\n")
            heading = group
        lines.append(f"  {verb:<16} {text}\n")
    lines.append("\nExit codes: docs/exit-codes.md. `gitdata --version` prints the version.\n")
    return "".join(lines)


def _report(message: str | Sequence[str], hint: str, code: int) -> int:
    first, *others = [message] if isinstance(message, str) else message
    lines = [f"gitdata: {first}", *(f"  {line}" for line in others), *([f"hint: {hint}"] if hint else [])]
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))
    return code


def _explain(error: OSError) -> tuple[str, str, int]:
    name = error.filename2 or error.filename  # of a rename: the place, not what was half-written
    where = f"{name}: " if name else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return (
            f"{where}the disk is full; nothing was lost",
            "free some space and run the same command again",
            10,
        )
    return f"{where}{error.strerror or error}", "", 1


def _defect() -> int:
    text = f"gitdata {__version__}, Python {sys.version}\n{sys.argv}\n{traceback.format_exc()}"
    try:
        log = cache_home() / "defect.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(text, errors="backslashreplace")
        return _report(f"this is a defect in gitdata: {sys.exc_info()[1]!r}", f"please report it with {log}", 70)
    except (OSError, MachineError):
        sys.stderr.write(text)
        return 70
