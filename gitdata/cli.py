"""The command line: the table of verbs, and the one place where an error becomes a line and an exit code.

A verb's module is imported only when that verb is asked for, so that ``gitdata --help`` and the hooks stay fast.
Every verb is a module of ``gitdata.commands`` with ``configure(parser)`` and ``run(args) -> int``.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from gitdata import __version__
from gitdata.errors import GitdataError, UsageError

# (verb, one line of help, heading); the module is the verb with "_" for " " and "-".
VERBS: tuple[tuple[str, str, str], ...] = (
    ("init", "make this git repository a gitdata repository: remote, hooks", "Data"),
    ("add", "store files or folders in the cache and write their pointers", "Data"),
    ("put", "copy a file, folder, URL or standard input into a data folder", "Data"),
    ("status", "what changed in data, pointers and outputs", "Data"),
    ("commit", "add what changed, then git commit", "Data"),
    ("push", "send data to the remote, then git push", "Data"),
    ("pull", "git pull, then bring the data of the pointers", "Data"),
    ("checkout", "make the data in the workspace what the pointers say", "Data"),
    ("ls", "list the files of a data path, at any revision", "Data"),
    ("get", "write a file or folder of any revision to a place of your choice", "Data"),
    ("log", "the commits that changed data", "Data"),
    ("diff", "which files of the data differ between two revisions", "Data"),
    ("hooks install", "install the git hooks (init does it)", "Data"),
    ("hooks uninstall", "remove them and restore what was there", "Data"),
    ("hooks status", "which hooks are installed", "Data"),
    ("stage validate", "check the stage specs of the working tree or a commit", "Pipelines"),
    ("plan", "what would run for a commit, and why", "Pipelines"),
    ("run", "run stages for the working tree, without a push", "Pipelines"),
    ("controller", "watch a repository, run what its pushes change, publish the outputs", "Pipelines"),
    ("job list", "the runs of the stages, newest first", "Pipelines"),
    ("job inspect", "everything known about one run", "Pipelines"),
    ("job logs", "what a run's commands printed", "Pipelines"),
    ("job wait", "wait until a commit's outputs are published", "Pipelines"),
    ("job retry", "ask the controller to try a failed run again", "Pipelines"),
    ("prov show", "the provenance records of a commit", "Provenance"),
    ("prov trace", "from an output back to the raw inputs and the code", "Provenance"),
    ("notify list", "the messages of the outbox and their states", "Notifications"),
    ("notify resend", "ask the controller to send a message again", "Notifications"),
    ("notify release", "ask the controller to send held messages", "Notifications"),
    ("completion", "print the shell completion for bash, zsh or fish", "Other"),
    ("hook", "what the installed git hooks call", ""),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code; never raises for anything a user can cause."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # The reader went away (`gitdata log | head`): not an error of ours; keep the interpreter from flushing again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except GitdataError as error:
        return _report(error.message, error.hint, error.exit_code)
    except OSError as error:
        return _report(*_explain(error))
    except Exception:
        return _defect()


def _dispatch(words: list[str]) -> int:
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option in ("-h", "--help"):
            sys.stdout.write(overview())
            return 0
        if option == "--version":
            sys.stdout.write(f"gitdata {__version__}\n")
            return 0
        if option == "-C" and words:
            os.chdir(words.pop(0))
        else:
            raise UsageError(f"unknown option {option!r}", hint="see `gitdata --help`")
    if not words:
        sys.stderr.write(overview())
        return 2
    verb, rest = _verb(words)
    if not verb:
        return 0
    module = importlib.import_module("gitdata.commands." + verb.replace(" ", "_").replace("-", "_"))
    parser = argparse.ArgumentParser(
        prog=f"gitdata {verb}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.configure(parser)
    try:
        args = parser.parse_args(rest)
    except SystemExit as stop:  # argparse's own way out: it has printed its help (0) or the mistake (2)
        return int(stop.code or 0)
    result: int = module.run(args)
    return result


def _verb(words: list[str]) -> tuple[str, list[str]]:
    known = {verb for verb, _, _ in VERBS}
    if words[0] in known:
        return words[0], words[1:]
    group = [verb for verb in known if verb.startswith(words[0] + " ")]
    if not group:
        raise UsageError(f"unknown command {words[0]!r}", hint="see `gitdata --help`")
    if len(words) > 1 and " ".join(words[:2]) in known:
        return " ".join(words[:2]), words[2:]
    if words[1:2] in (["-h"], ["--help"]):
        sys.stdout.write("".join(f"gitdata {verb:<18} {text}\n" for verb, text, _ in VERBS if verb in group))
        return "", []
    raise UsageError(f"gitdata {words[0]} needs one of: {', '.join(sorted(v.split()[1] for v in group))}")


def overview() -> str:
    """The text of ``gitdata --help``."""
    lines = ["usage: gitdata [-C DIR] COMMAND …      (also: git data COMMAND …; `gitdata COMMAND --help` for one)\n"]
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


def _report(message: str, hint: str, code: int) -> int:
    sys.stderr.write(f"gitdata: {message}\n")
    if hint:
        sys.stderr.write(f"hint: {hint}\n")
    return code


def _explain(error: OSError) -> tuple[str, str, int]:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{where}the disk is full; nothing was lost", "free some space and run the same command again", 10
    return f"{where}{error.strerror or error}", "", 1


def _defect() -> int:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gitdata"
    text = f"gitdata {__version__}, Python {sys.version}\n{sys.argv}\n{traceback.format_exc()}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        log = home / "defect.log"
        log.write_text(text)
        return _report(f"this is a defect in gitdata: {sys.exc_info()[1]!r}", f"please report it with {log}", 70)
    except OSError:
        sys.stderr.write(text)
        return 70
