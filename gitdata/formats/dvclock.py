"""The outputs of DVC's own pipelines: ``dvc.lock`` says what was made, ``dvc.yaml`` what DVC keeps of it.

Called by whatever looks at data by path. Pure. Nothing is resolved that the lock has resolved already (templates,
foreach, matrix); it never writes: `dvc repro` and `dvc commit` do. An output that cannot be told is a problem by name,
the others are served.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import Pointer
from gitdata.formats.dvcdir import check_relpath
from gitdata.formats.yaml12 import load_yaml
from gitdata.model import Output

MAX_BYTES = 16 * 1024 * 1024
_MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")
_TEMPLATE = re.compile(r"\$\{[^}]*\}")
_CONFLICT = re.compile(rb"^<{7} ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class StageOut:
    """One output of a DVC stage that DVC keeps. path: in the repository. out: as the lock has it.

    remote: where its data goes, "" for the default one. pushed: False for `push: false`. legacy: a hash of DVC 2.
    """

    path: str
    stage: str
    out: Output
    remote: str = ""
    pushed: bool = True
    legacy: bool = False


@dataclass(frozen=True, slots=True)
class Locked:
    """What one ``dvc.lock`` has, and what is wrong with some of it, a line each."""

    outs: tuple[StageOut, ...] = ()
    problems: tuple[str, ...] = ()


def read_lock(lock: bytes, pipeline: bytes | None, folder: str) -> Locked:
    """The outputs of ``folder``/dvc.lock, given the dvc.yaml beside it (None: there is none)."""
    name = posixpath.join(folder, "dvc.lock")
    if pipeline is None:
        return Locked()  # nothing for DVC either
    try:
        made = _stages_of_lock(_load(lock, name), name)
        defined = _mapping(_load(pipeline, posixpath.join(folder, "dvc.yaml"))).get("stages")
    except InvalidInputError as error:
        return Locked(problems=(error.message,))
    outs: list[StageOut] = []
    problems: list[str] = []
    for stage, body in made.items():
        definition = _definition(stage, _mapping(defined))
        if definition is None:
            continue  # DVC leaves in its lock what was taken out of dvc.yaml, and reads it no more
        for item in _list(_mapping(body).get("outs")):
            try:
                outs += _out(_mapping(item), stage, definition, folder)
            except InvalidInputError as error:
                problems.append(f"{name}: {error.message}")
    return Locked(tuple(outs), tuple(problems))


def _load(data: bytes, name: str) -> Any:
    if _CONFLICT.search(data):
        raise InvalidInputError(f"merge conflict in {name}")
    return load_yaml(data, name, max_bytes=MAX_BYTES)


def _stages_of_lock(document: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise InvalidInputError(f"{name}: not a mapping of stages")
    if "schema" not in document:
        return document  # as DVC 1 wrote it
    if str(document["schema"]) != "2.0":
        raise InvalidInputError(f"{name}: schema {document['schema']!r} is not known")
    return _mapping(document.get("stages"))


def _definition(stage: str, defined: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The stage of dvc.yaml that a stage of the lock comes from; those of foreach and matrix are ``name@key``."""
    if stage in defined:
        return _mapping(defined[stage])
    group = _mapping(defined.get(stage.partition("@")[0]))
    if "foreach" in group:
        return _mapping(group.get("do"))
    return group if "matrix" in group else None


def _out(item: Mapping[str, Any], stage: str, definition: Mapping[str, Any], folder: str) -> Iterator[StageOut]:
    written = item.get("path")
    if not isinstance(written, str) or not written:
        raise InvalidInputError(f"stage {stage}: an output without a path")
    options = _options(written, definition)
    if options is None or options.get("cache") is False or written.startswith("/") or "://" in written:
        return
    wdir = definition.get("wdir") or "."
    if not isinstance(wdir, str) or _TEMPLATE.search(wdir):
        raise InvalidInputError(f"{written} of stage {stage}: its wdir is a template, which only DVC resolves")
    path = posixpath.normpath(posixpath.join(folder, wdir, written))
    check_relpath(path)
    if "files" in item or "cloud" in item:
        raise InvalidInputError(f"{path} lies on a version-aware remote, which gitdata does not read")
    oid = item.get("md5")
    if oid is None:
        return  # made, but never kept
    if item.get("hash", "md5") != "md5" or not isinstance(oid, str) or not _MD5.fullmatch(oid.lower()):
        raise InvalidInputError(f"{path} has no md5 of 32 hex digits")
    size, nfiles = (_count(item.get(key)) for key in ("size", "nfiles"))
    out = Output(written, oid.lower(), size, nfiles, item.get("isexec") is True)
    pushed = options.get("push") is not False
    yield StageOut(path, stage, out, str(options.get("remote") or ""), pushed, legacy="hash" not in item)


def _options(path: str, definition: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What dvc.yaml says of an output; None if it does not name it. A template stands for any text."""
    found: tuple[int, Mapping[str, Any]] | None = None
    for section in ("outs", "metrics", "plots"):
        for item in _list(definition.get(section)):
            named = item if isinstance(item, dict) else {item: {}}
            for written, options in named.items():
                plain = posixpath.normpath(str(written))
                weight = len(_TEMPLATE.sub("", plain)) if _TEMPLATE.search(plain) else 1 << 20
                if _fits(posixpath.normpath(path), plain) and (found is None or weight > found[0]):
                    found = weight, _mapping(options)
    return found[1] if found else None


def _fits(path: str, written: str) -> bool:
    pieces = _TEMPLATE.split(written)
    return re.fullmatch(".*".join(map(re.escape, pieces)), path, re.DOTALL) is not None


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53 else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def is_lock(name: str) -> bool:
    return posixpath.basename(name) == "dvc.lock"


def pipeline_name(lock: str) -> str:
    """The dvc.yaml that belongs to a dvc.lock."""
    return posixpath.join(posixpath.dirname(lock), "dvc.yaml")


def lock_pointer(lock: bytes, pipeline: bytes | None, name: str) -> tuple[Pointer, tuple[str, ...]]:
    """A dvc.lock as one pointer with many outs, relative to its folder; and what is wrong with some of them."""
    folder = posixpath.dirname(name)
    read = read_lock(lock, pipeline, folder)
    legacy = bool(read.outs) and all(one.legacy for one in read.outs)
    taken = [one for one in read.outs if one.legacy == legacy]
    old = [f"{name}: {one.path} has a hash of DVC 2" for one in read.outs if one.legacy != legacy]
    outs = tuple(replace(one.out, path=posixpath.relpath(one.path, folder or ".")) for one in taken)
    extras = tuple(
        {**({"remote": one.remote} if one.remote else {}), **({} if one.pushed else {"push": False})} for one in taken
    )
    return Pointer(outs, legacy=legacy, extras=extras), (*read.problems, *old)
