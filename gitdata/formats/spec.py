"""Stage specs: from the files below ``stages/`` to the stages of a commit. The door to the modules
``spec_*``.

The hook, ``gitdata stage validate`` and the controller call ``load_pipeline``. Every problem of every file is
collected and raised as one InvalidInputError with a line each, ``file: $.json.path: what; fix``; what is
known but not honoured yet is a remark in ``Stage.warnings``. Pure: bytes in, stages out. The format is
Pachyderm's pipeline spec; a field more is ``notify``.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gitdata.errors import InvalidInputError
from gitdata.formats.spec_build import Spec, build
from gitdata.formats.spec_pipeline import check, in_order, is_content, sources_of
from gitdata.formats.spec_text import read_documents
from gitdata.formats.stages import stage_from_json, stage_json
from gitdata.model import Stage

__all__ = [
    "FOLDER",
    "is_content",
    "is_other_spec",
    "is_spec",
    "load_pipeline",
    "parse_specs",
    "sources_of",
    "stage_from_json",
    "stage_json",
]

FOLDER = "stages"

_ENDINGS = (".json", ".yaml", ".yml")
_OTHER_ENDINGS = (".jsonnet", ".json5", ".jsonc", ".hjson")
MAX_STAGES = 1000


def is_spec(path: str) -> bool:
    """Whether a path of the repository is a spec file: ``stages/**.json``, ``.yaml`` or ``.yml``, nothing
    hidden.
    """
    return _is_of_pipeline(path, _ENDINGS)


def is_other_spec(path: str) -> bool:
    """Whether a path is a spec in a language that is not read: it must be named, not passed over."""
    return _is_of_pipeline(path, _OTHER_ENDINGS)


def _is_of_pipeline(path: str, endings: tuple[str, ...]) -> bool:
    parts = path.split("/")
    return (
        len(parts) > 1
        and parts[0] == FOLDER
        and path.lower().endswith(endings)
        and not any(part.startswith(".") for part in parts)
    )


def parse_specs(data: bytes, file: str, *, default_branch: str | None = None) -> list[Stage]:
    """The stages of one spec file, each checked by itself. Raises InvalidInputError with all that is wrong."""
    specs = _read(data, file, default_branch)
    _raise([line for spec in specs for line in spec.problems])
    return [spec.stage for spec in specs if spec.stage is not None]


def load_pipeline(
    files: Mapping[str, bytes],
    sources: Mapping[str, str],
    *,
    default_branch: str | None = None,
    refused: Mapping[str, str] = MappingProxyType({}),
    pointer_names: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Stage, ...]:
    """All stages of a commit, each after those it reads. Raises InvalidInputError with all that is wrong.

    files: spec files by path. sources: what the tree holds, from ``sources_of``. default_branch: the
    repository's, which an input's ``branch`` may name (beside ``master``). refused: spec files that cannot be read ->
    why. pointer_names: what pointers are called -> the path of their data, where that is another.
    """
    specs: list[Spec] = []
    problems = [f"{file}: {why}" for file, why in sorted(refused.items())]
    for file in sorted(files):
        try:
            found = _read(files[file], file, default_branch)
        except InvalidInputError as error:
            problems.append(error.message)
        else:
            specs += found
            problems += [line for spec in found for line in spec.problems]
    if len(specs) > MAX_STAGES:
        problems.append(f"{FOLDER}: {len(specs)} stages are too many (limit: {MAX_STAGES}); remove some")
        _raise(problems)
    complete = not problems
    problems += check(specs, sources, complete, pointer_names)
    _raise(problems)
    return in_order([spec.stage for spec in specs if spec.stage is not None])


def _read(data: bytes, file: str, default_branch: str | None) -> list[Spec]:
    if not file.isascii() and any("\ud800" <= c <= "\udfff" for c in file):
        raise InvalidInputError(f"{file!a}: its name is not valid UTF-8; rename the file")
    branches = frozenset({"master", default_branch or "main"})
    documents = read_documents(data, file)
    several = len(documents) > 1
    return [
        build(document, file, f"{file}#{i}" if several else file, branches) for i, document in enumerate(documents, 1)
    ]


def _raise(problems: list[str]) -> None:
    if problems:
        raise InvalidInputError(list(dict.fromkeys(problems)))
