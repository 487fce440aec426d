"""The folder images of a commit and how they are configured, for the verbs ``images build``, ``push`` and ``list``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from gitdata.backends.builders import BUILDERS, ImageSettings, LocalBuilder
from gitdata.backends.contexts import FolderName, name_folder
from gitdata.backends.discovery import git_around
from gitdata.backends.git import Git
from gitdata.backends.machine import cache_home
from gitdata.commands.terminal import say
from gitdata.controller.config import read_settings
from gitdata.controller.sources import Tree
from gitdata.data.revisions import commit_of, default_branch
from gitdata.errors import MissingDataError, UsageError
from gitdata.stopping import unwound_by_sigterm


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line asks for. stages: by the reference of the image that they run, in order."""

    git: Git
    commit: str
    folders: tuple[FolderName, ...]
    stages: dict[str, list[str]]


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="only the images of these stages")
    parser.add_argument("--rev", default="HEAD", metavar="REV", help="the commit (default: HEAD)")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the controller's settings: [images] counts")
    parser.add_argument("--registry", metavar="PREFIX", help="where images go: registry.example/team")


def add_system(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--system", action="store_true", help="gitdata's own images instead of those of stages")


def asks_system(args: argparse.Namespace) -> bool:
    if args.system and args.stages:
        raise UsageError("--system takes no stages: those images are gitdata's own")
    return bool(args.system)


def settings_of(args: argparse.Namespace, *, registry: str = "") -> ImageSettings:
    """The settings that count. registry: the default; "" where one must be named."""
    found = read_settings(args.config).images
    found = replace(found, registry=args.registry or found.registry or registry)
    if not found.registry:
        raise UsageError(
            "no registry is named", hint="--registry registry.example/team, or --config FILE with [images]"
        )
    return found if found.builder in BUILDERS else replace(found, builder="auto")


def wanted(args: argparse.Namespace, settings: ImageSettings) -> Wanted:
    """The folder images of the stages of a commit, each once. Raises InvalidInputError for specs with mistakes,
    MissingDataError for a stage that is none.
    """
    git = git_around()
    commit = commit_of(git, args.rev)
    stages = {stage.name: stage for stage in Tree(git, commit).pipeline(default_branch(git))}
    for name in args.stages:
        if name not in stages:
            raise MissingDataError(f"no stage is named {name}", hint=f"stages: {', '.join(stages) or 'none'}")
    named: dict[str, FolderName] = {}
    users: dict[str, list[str]] = {}
    for name in dict.fromkeys(args.stages or stages):
        image = stages[name].transform.image
        found = name_folder(git, commit, image, settings)
        if found is None:
            say(f"{name}: runs {image}, which is no folder of this commit")
            continue
        named.setdefault(found.reference, found)
        users.setdefault(found.reference, []).append(name)
    _remark(git, commit, list(named.values()))
    return Wanted(git, commit, tuple(named.values()), users)


def _remark(git: Git, commit: str, folders: list[FolderName]) -> None:
    """An image is made of a commit: what is not committed is not in it."""
    if commit != git.resolve("HEAD") or git.config("core.bare") == "true":
        return
    top = Git(Path(git.text("rev-parse", "--show-toplevel")))
    for folder in folders:
        if top.run("--literal-pathspecs", "status", "--porcelain", "-z", "--", folder.folder):
            say(f"{folder.folder}: what is not committed is not in its image")


@contextmanager
def builder_of(settings: ImageSettings) -> Iterator[LocalBuilder]:
    """A builder for a person, or CI, which may cancel what it builds at any moment."""
    builder = LocalBuilder(settings, logs=cache_home() / "builds", say=say)
    with unwound_by_sigterm(), closing(builder):
        yield builder
