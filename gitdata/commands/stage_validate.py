"""Check the stage specs of the working tree, or of a commit, as the controller will.

One line a problem: `file: $.json.path: what; fix`. Remarks on fields that are not honoured yet go to stderr.
Exit code 4 if there is any problem.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.commands.terminal import print_json, print_lines, say
from gitdata.controller.sources import Tree
from gitdata.data.revisions import commit_of, default_branch
from gitdata.errors import InvalidInputError, NotARepositoryError
from gitdata.formats.dvc import parse_pointer
from gitdata.formats.spec import FOLDER, is_spec, load_pipeline, sources_of, stage_json
from gitdata.formats.spec_text import MAX_BYTES
from gitdata.model import Stage


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("revision", nargs="?", metavar="REV", help="a commit (default: the working tree)")
    parser.add_argument("--json", action="store_true", help="stages, problems and warnings as one JSON document")


def run(args: argparse.Namespace) -> int:
    git = _open()
    stages: tuple[Stage, ...] = ()
    problems: list[str] = []
    try:
        stages = _worktree(git) if args.revision is None else _commit(git, args.revision)
    except InvalidInputError as error:
        problems = list(error.problems)
    warnings = [warning for stage in stages for warning in stage.warnings]
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


def _open() -> Git:
    here = Git(Path.cwd())
    found = here.call("rev-parse", "--show-toplevel")
    if found.returncode != 0:
        raise NotARepositoryError("not inside a git working tree", hint="run it in your repository, or with -C DIR")
    return Git(Path(found.stdout.decode(errors="surrogateescape").rstrip("\n")))


def _commit(git: Git, revision: str) -> tuple[Stage, ...]:
    return Tree(git, commit_of(git, revision)).pipeline(default_branch(git))


def _worktree(git: Git) -> tuple[Stage, ...]:
    """The stages as a commit of everything that git does not ignore would have them."""
    listed = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    names = [name.decode(errors="surrogateescape") for name in listed.split(b"\0")[:-1]]
    paths = [name for name in names if (path := git.path / name).is_symlink() or path.exists()]
    files = {name: _read(git.path / name, name) for name in paths if is_spec(name)}
    sources = sources_of(_without_outputs(git.path, paths))
    return load_pipeline(files, sources, default_branch=default_branch(git) or None)


def _without_outputs(root: Path, paths: Iterable[str]) -> Iterable[str]:
    """The paths without the pointers that came along from an output branch: the controller drops those, too."""
    for path in paths:
        pointer = path.endswith(".dvc") and not path.startswith(".dvc/") and (root / path).is_file()
        if not pointer or not parse_pointer(_read(root / path, path), path).generated:
            yield path


def _read(path: Path, name: str) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise InvalidInputError(f"{name}: not an ordinary file; replace it with one")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
