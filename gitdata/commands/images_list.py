"""List the folder images of a commit's stages: where each is in the registry, and whether it is there.

An image is named by what is in its folder: one that was built for another commit or branch counts. Nothing is built.
Some registries hide what they do not have: "not visible" is one of these, or needs a login ([images] logins).
"""

from __future__ import annotations

import argparse

from gitdata.backends.builders import registries
from gitdata.backends.registry import RefusedError, find
from gitdata.commands.folder_images import add_options, settings_of, wanted
from gitdata.commands.terminal import print_json, print_table, say

_ABSENT, _HIDDEN = "not built", "not built, or not visible"
COLOURS = dict.fromkeys((_ABSENT, _HIDDEN), "33")


def configure(parser: argparse.ArgumentParser) -> None:
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON document")


def run(args: argparse.Namespace) -> int:
    settings = settings_of(args)
    found = wanted(args, settings)
    asked = registries(settings)
    rows = []
    for folder in found.folders:
        state = _ABSENT
        try:
            there = find(folder.reference, asked)
        except RefusedError as error:
            there, state = None, _HIDDEN
            say(error.message)
        for stage in found.stages[folder.reference]:
            rows.append((stage, folder, there.digest if there else "", state))
    if args.json:
        about = [
            {"stage": s, "folder": f.folder, "environment": f.id, "reference": f.reference, "digest": d or None}
            for s, f, d, _ in rows
        ]
        print_json({"commit": found.commit, "images": about})
    else:
        table = ((stage, folder.folder, folder.reference, digest or state) for stage, folder, digest, state in rows)
        print_table(("STAGE", "FOLDER", "REFERENCE", "DIGEST"), table, COLOURS)
    return 0
