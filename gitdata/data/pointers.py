"""Pointers of one tree, read so that a bad one never stands in the way of the others.

What cannot be read is a *problem*, by the name of the pointer: a merge conflict, text that is no pointer, two pointers
for one path. It must never guess what a bad pointer meant.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from gitdata.errors import ConflictError, GitdataError, InvalidInputError
from gitdata.formats.dvc import Pointer, is_pointer, output_path, parse_pointer
from gitdata.formats.dvclock import is_lock, lock_pointer, pipeline_name
from gitdata.text import quoted

PATTERNS = ("*.dvc", "*dvc.lock")  # git's pathspecs of everything that names data
TEXTS = (*PATTERNS, "*dvc.yaml")  # and of all that is read for it: dvc.yaml says which of a lock's outputs DVC keeps


@dataclass(frozen=True, slots=True)
class Pointers:
    """found: by path of the ``.dvc`` file. problems: the error that reading it is, by path."""

    found: dict[str, Pointer] = field(default_factory=dict)
    problems: dict[str, GitdataError] = field(default_factory=dict)

    def strict(self) -> dict[str, Pointer]:
        """Those found. Raises the first problem, if there is one."""
        for error in self.problems.values():
            raise error
        return self.found


def is_text(name: str) -> bool:
    """Whether a path's text counts for ``read_pointers``: pointers, and what DVC keeps of its own pipelines."""
    return is_pointer(name) or is_lock(name) or posixpath.basename(name) == "dvc.yaml"


def read_pointers(texts: Mapping[str, bytes], unmerged: Collection[str] = ()) -> Pointers:
    """texts: path -> bytes. unmerged: the paths that git has in conflict; their text counts for nothing."""
    apart = {name for name in unmerged if is_pointer(name) or is_lock(name)}
    read = Pointers(problems={name: merge_conflict(name) for name in sorted(apart)})
    partial: dict[str, GitdataError] = {}
    for name, text in sorted(texts.items()):
        if name in read.problems:
            continue
        try:
            if is_lock(name):
                read.found[name] = _read_lock(name, texts, unmerged, partial)
            elif is_pointer(name):
                read.found[name] = parse_pointer(text, name)
        except GitdataError as error:
            read.problems[name] = error
    for name, overlap in overlaps(read.found):
        read.problems.setdefault(name, overlap)
    for name in read.problems:
        read.found.pop(name, None)
    read.problems.update(partial)
    return read


def _read_lock(
    name: str, texts: Mapping[str, bytes], unmerged: Collection[str], partial: dict[str, GitdataError]
) -> Pointer:
    """A dvc.lock as one pointer; what cannot be told of some of its outputs goes to ``partial``."""
    pipeline = pipeline_name(name)
    if pipeline in unmerged:
        raise merge_conflict(pipeline)
    pointer, said = lock_pointer(texts[name], texts.get(pipeline), name)
    if said:
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        partial[name] = InvalidInputError(said[0] + more, hint="`dvc status` says what DVC makes of it")
    return pointer


def merge_conflict(name: str) -> ConflictError:
    word = quoted(name)
    return ConflictError(
        f"{name}: merge conflict",
        hint=f"choose with `git checkout --ours {word}` or `--theirs`, then `git add {word}` and `gitdata checkout`",
    )


def overlaps(pointers: Mapping[str, Pointer]) -> Iterator[tuple[str, InvalidInputError]]:
    """(pointer, error) where two pointers claim one path, or one a path inside the other's: both of them."""
    owner: dict[str, str] = {}
    for name, pointer in pointers.items():
        for out in pointer.outs:
            path = output_path(name, pointer, out)
            if path in owner:
                error = InvalidInputError(
                    f"{path} is an output of both {owner[path]} and {name}", hint="remove one of the two pointers"
                )
                yield from ((one, error) for one in {owner[path], name})
            owner.setdefault(path, name)
    for path, name in owner.items():
        above = posixpath.dirname(path)
        while above:
            if above in owner:
                error = InvalidInputError(
                    f"{path} ({name}) lies inside {above} ({owner[above]})", hint="remove one of the two pointers"
                )
                yield from ((one, error) for one in {owner[above], name})
            above = posixpath.dirname(above)
