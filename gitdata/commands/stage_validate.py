"""Check the stage specs of the working tree, or of a commit, as the controller will.

One line a problem: `file: $.json.path: what; fix`. Remarks on fields that are not honoured yet go to stderr.
Exit code 4 if there is any problem.
"""

from __future__ import annotations

import argparse

from gitdata.backends.discovery import discover
from gitdata.commands.terminal import print_json, print_lines, say
from gitdata.data.pipeline import PipelineTree, commit_files, working_files
from gitdata.data.revisions import commit_of, default_branch
from gitdata.errors import InvalidInputError
from gitdata.formats.spec import FOLDER, stage_json
from gitdata.model import Stage


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", nargs="?", metavar="REV", help="a commit (default: the working tree)")
    parser.add_argument("--json", action="store_true", help="stages, problems and warnings as one JSON document")


def run(args: argparse.Namespace) -> int:
    git = discover().git
    stages: tuple[Stage, ...] = ()
    problems: list[str] = []
    files = working_files(git) if args.revision is None else commit_files(git, commit_of(git, args.revision))
    tree = PipelineTree(files)
    try:
        stages = tree.pipeline(default_branch(git))
    except InvalidInputError as error:
        problems = list(error.problems)
    warnings = [*(warning for stage in stages for warning in stage.warnings), *tree.remarks]
    if args.json:
        print_json({"stages": [stage_json(s) for s in stages], "problems": problems, "warnings": warnings})
    else:
        print_lines(problems)
        for warning in warnings:
            say(f"warning: {warning}")
        if not problems:
            say(_summary(stages))
    return InvalidInputError.exit_code if problems else 0


def _summary(stages: tuple[Stage, ...]) -> str:
    if not stages:
        return f"no stages (no specs under {FOLDER}/)"
    return f"{len(stages)} {'stage is' if len(stages) == 1 else 'stages are'} in order: " + ", ".join(
        stage.name for stage in stages
    )
