"""Ask the controller what the tags of stages' images mean now, and to run what that changes.

A tag is resolved once and its digest kept with the outputs, so that a tag that moved recomputes nothing by itself.
Stages whose image is a folder of the repository have nothing to refresh.
"""

from __future__ import annotations

import argparse

from gitdata.commands.sites import ask, asked_branch, published_on
from gitdata.commands.terminal import say
from gitdata.controller.pinned import pinned_images
from gitdata.controller.published import generated_pointers
from gitdata.data.repository import Repository
from gitdata.errors import ConflictError, MissingDataError


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stage", nargs="*", metavar="STAGE", help="default: every stage")
    parser.add_argument("-b", "--branch", help="default: the current branch")


def run(args: argparse.Namespace) -> int:
    repository = Repository.open()
    git, branch = repository.git, asked_branch(repository, args.branch)
    found = published_on(repository, branch)
    if not found.stages:
        raise ConflictError(
            f"gitdata/{branch} shows no stages: {found.error or 'it has none'}", hint="see `gitdata plan`"
        )
    known = {name for name, (state, _, _) in found.stages.items() if state == "success"}  # else its image may be new
    of_folders = (known & generated_pointers(git, found.sha).keys()) - pinned_images(git, found.sha).keys()
    for stage in args.stage:
        if stage not in found.stages:
            raise MissingDataError(f"gitdata/{branch} has no stage {stage}", hint="see `gitdata plan`")
        if stage in of_folders:
            raise ConflictError(
                f"the image of {stage} is a folder of the repository, which has no tag",
                hint="change its files and push",
            )
    if found.stages.keys() <= of_folders:
        say(f"no stage of {branch} has an image with a tag: nothing to ask for")
        return 0
    for stage in dict.fromkeys(args.stage or [""]):
        ask(git, "refresh", stage, branch)
    whose = ", ".join(args.stage) or "all stages"
    say(f"asked what the images of {whose} of {branch} mean now; `gitdata job list` shows what that changes")
    return 0
