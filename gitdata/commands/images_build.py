"""Build the folder images of a commit's stages on this machine, and push nothing.

To see that a Dockerfile is in order before it is pushed: the controller builds what it needs by itself. Prints a
reference for each image. With --system: gitdata's own images, from this installation.
"""

from __future__ import annotations

import argparse

from gitdata.commands.folder_images import (
    add_options,
    add_system,
    asks_system,
    builder_of,
    settings_of,
    wanted,
)
from gitdata.commands.terminal import print_now
from gitdata.executors.system_images import build_system


def configure(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    add_system(parser)


def run(args: argparse.Namespace) -> int:
    settings = settings_of(args, registry="localhost")
    if asks_system(args):
        with builder_of(settings) as builder:
            for reference in build_system(builder, settings.registry, platform=settings.platform):
                print_now(reference)
        return 0
    found = wanted(args, settings)
    with builder_of(settings) as builder:
        for folder in found.folders:
            builder.make(found.git, found.commit, folder.folder, folder.reference)
            print_now(folder.reference)
    return 0
