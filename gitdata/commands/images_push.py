"""Build and push the folder images of a commit's stages, those that the registry does not have.

For CI, or a person: the controller then finds them and builds nothing. Prints a reference with its digest for each
image. With --system: gitdata's own images, from this installation.
"""

from __future__ import annotations

import argparse

from gitdata.backends.builders import registries
from gitdata.backends.registry import resolve
from gitdata.commands.folder_images import (
    add_options,
    add_system,
    asks_system,
    builder_of,
    settings_of,
    wanted,
)
from gitdata.commands.terminal import print_now, say
from gitdata.errors import InvalidInputError
from gitdata.executors.system_images import push_system


def configure(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    add_system(parser)


def run(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    if asks_system(args):
        with builder_of(settings) as builder:
            for reference in push_system(builder, settings.registry, platform=settings.platform):
                print_now(reference)
        return 0
    found = wanted(args, settings)
    asked = registries(settings)
    with builder_of(settings) as builder:
        for folder in found.folders:
            try:
                digest = resolve(folder.reference, asked).digest
                say(f"image {folder.folder}: is there already")
            except InvalidInputError:  # some registries refuse to say that they have none
                digest = builder.build(found.git, found.commit, folder.folder, folder.reference)
            print_now(f"{folder.reference}@{digest}")
    return 0
