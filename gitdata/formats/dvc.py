"""Pointers: the text of a ``.dvc`` file to and from records, byte for byte as DVC 3 writes it.

Called by everything that looks at data by path: the workspace, the planner (on trees of commits), the publisher. Pure.
The form that DVC and gitdata write themselves is read and written here without any YAML library (they cost more to
import than ten thousand pointers to read); everything else goes through ``yaml12`` and ``dvcyaml``. A pointer never
leads out of the repository: ``parse_pointer`` refuses it.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gitdata.errors import InvalidInputError
from gitdata.formats.dvcdir import check_relpath, dir_oid, dump_dir, is_oid, object_key, parse_dir
from gitdata.model import Output

__all__ = [
    "Pointer",
    "check_relpath",
    "dir_oid",
    "drop_out",
    "dump_dir",
    "dump_pointer",
    "is_oid",
    "is_pointer",
    "move_out",
    "object_key",
    "output_path",
    "parse_dir",
    "parse_pointer",
    "update_pointer",
]

MAX_BYTES = 1024 * 1024

# What `dvc add` writes when nothing needs quotes or folding. The path begins with a letter and has 72 characters at
# most (longer ones are folded at column 80); a word that YAML takes for something else than text is not plain.
_PLAIN = r"[A-Za-z][A-Za-z0-9_./-]{0,71}"
_FRESH = re.compile(
    rf"outs:\n- md5: (?P<oid>[0-9a-f]{{32}}(?:\.dir)?)\n  size: (?P<size>0|[1-9][0-9]{{0,14}})\n"
    rf"(?:  nfiles: (?P<nfiles>0|[1-9][0-9]{{0,14}})\n)?(?P<exec>  isexec: true\n)?"
    rf"  hash: md5\n  path: (?P<path>{_PLAIN})\n"
)
_PLAIN_TEXT = re.compile(_PLAIN)
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
_NUMBER = re.compile(r"[0-9]+(?:e[0-9]+)?")  # an md5 that YAML would take for a number
_MD5 = re.compile(r"[0-9a-f]{32}(?:\.dir)?")

_TOP_KEYS = frozenset(
    {"desc", "md5", "cmd", "wdir", "frozen", "locked", "deps", "outs", "always_changed", "meta"},
)
_OUT_KEYS = frozenset(
    {
        "md5",
        "size",
        "nfiles",
        "isexec",
        "version_id",
        "etag",
        "checksum",
        "cloud",
        "remote-meta",
        "hash",
        "path",
        "fs_config",
        "desc",
        "type",
        "labels",
        "meta",
        "cache",
        "metric",
        "plot",
        "persist",
        "remote",
        "push",
        "files",
    }
)
_REMAINDER = _OUT_KEYS - {"md5", "size", "nfiles", "isexec", "hash", "path"}


@dataclass(frozen=True, slots=True)
class Pointer:
    """One ``.dvc`` file.

    outs: paths are as written, relative to ``wdir`` (``output_path`` resolves them); an oid of "" is data that was
    never brought here (``dvc import-url --no-download``). extras: per out, DVC's other keys (desc, remote, push, …).
    legacy: the hashes are DVC 2's (no ``hash: md5``), whose objects lie elsewhere.
    """

    outs: tuple[Output, ...]
    frozen: bool = False
    deps: tuple[dict[str, Any], ...] = ()
    meta: Mapping[str, Any] = field(default_factory=dict)
    wdir: str = "."
    legacy: bool = False
    desc: str = ""
    extras: tuple[Mapping[str, Any], ...] = ()

    @property
    def generated(self) -> bool:
        """Whether a controller wrote it: its data is a stage's output, never an input."""
        return isinstance(self.meta.get("gitdata"), Mapping)

    @property
    def imported(self) -> bool:
        """Whether `dvc import` wrote it: DVC takes its data from that other repository, and never pushes it."""
        return len(self.deps) == 1 and isinstance(self.deps[0].get("repo"), Mapping)


def is_pointer(path: str) -> bool:
    """Whether a path is one of a pointer: nothing in a folder of DVC's own is."""
    return path.endswith(".dvc") and ".dvc" not in path.split("/")


def output_path(name: str, pointer: Pointer, out: Output) -> str:
    """Where an out of the pointer ``name`` lies, relative to the root of the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), pointer.wdir, out.path))


def parse_pointer(data: bytes, name: str) -> Pointer:
    """Read a pointer. ``name``: its path in the repository. Raises InvalidInputError naming the file and the fix."""
    if len(data) > MAX_BYTES:
        raise InvalidInputError(f"{name}: {len(data)} bytes are too many for a pointer")
    fresh = _FRESH.fullmatch(data.decode("ascii", errors="replace"))
    if fresh and fresh["path"].lower() not in _WORDS and not _NUMBER.fullmatch(fresh["oid"]):
        nfiles = int(fresh["nfiles"]) if fresh["nfiles"] else None
        out = Output(fresh["path"], fresh["oid"], int(fresh["size"]), nfiles, bool(fresh["exec"]))
        pointer = Pointer((out,), extras=({},))
    else:
        # Deferred: PyYAML costs 20 ms to import, and a repository's pointers seldom need it.
        from gitdata.formats.yaml12 import load_yaml

        pointer = _pointer(load_yaml(data, name), name)
    for out in pointer.outs:
        _check_place(name, pointer, out)
    return pointer


def _pointer(document: Any, name: str) -> Pointer:
    if document is None:
        document = {}  # DVC writes pointers in place: an empty file is one that is just being written
    _check_keys(document, _TOP_KEYS, name, "the file")
    outs = document.get("outs") or []
    deps = document.get("deps") or []
    wdir = document.get("wdir") or "."
    meta = document.get("meta") or {}
    if not isinstance(outs, list) or not isinstance(deps, list) or not isinstance(wdir, str):
        raise InvalidInputError(f"{name}: outs and deps must be lists, wdir a path")
    if not all(isinstance(dep, dict) for dep in deps):
        raise InvalidInputError(f"{name}: every item of deps must be a mapping")
    for out in outs:
        _check_keys(out, _OUT_KEYS, name, "an item of outs")
    return Pointer(
        outs=tuple(_output(out, name) for out in outs),
        frozen=bool(document.get("frozen") or document.get("locked")),
        deps=tuple(deps),
        meta=meta if isinstance(meta, dict) else {},
        wdir=wdir,
        legacy=any("md5" in out and "hash" not in out for out in outs),
        desc=str(document.get("desc") or ""),
        extras=tuple({k: v for k, v in out.items() if k in _REMAINDER} for out in outs),
    )


def _check_keys(value: Any, known: frozenset[str], name: str, what: str) -> None:
    if not isinstance(value, dict):
        raise InvalidInputError(f"{name}: {what} must be a mapping of keys to values")
    unknown = sorted(value.keys() - known)
    if unknown:
        raise InvalidInputError(f"{name}: unknown key {unknown[0]!r}", hint="remove it; DVC would refuse it too")


def _output(item: dict[str, Any], name: str) -> Output:
    path, oid = item.get("path"), item.get("md5", "")
    if not isinstance(path, str) or not path:
        raise InvalidInputError(f"{name}: an out without a path", hint="a path that looks like a number needs quotes")
    if item.get("hash", "md5") != "md5" or "etag" in item or "checksum" in item:
        raise InvalidInputError(f"{name}: {path!r} is not hashed with md5; gitdata reads only md5")
    if "files" in item or "cloud" in item:
        raise InvalidInputError(
            f"{name}: {path!r} lies on a version-aware remote, which gitdata does not read",
            hint="use a remote without version_aware, then `dvc add` the path again",
        )
    if not isinstance(oid, str) or (oid and not _MD5.fullmatch(oid.lower())):
        raise InvalidInputError(f"{name}: the md5 of {path!r} is not 32 hex digits", hint="digits only: quote it")
    for key in ("size", "nfiles"):
        count = item.get(key)
        # Not more than canonical JSON can hold: sizes go into records.
        if count is not None and (isinstance(count, bool) or not isinstance(count, int) or not 0 <= count < 2**53):
            raise InvalidInputError(f"{name}: {key} of {path!r} is not a number of bytes or files")
    return Output(path, oid.lower(), item.get("size"), item.get("nfiles"), item.get("isexec") is True)


def _check_place(name: str, pointer: Pointer, out: Output) -> None:
    for part in (pointer.wdir, out.path):
        if part.startswith("/") or "://" in part or "\0" in part:
            raise InvalidInputError(f"{name}: {part!r} is not a path inside the repository")
    try:
        check_relpath(output_path(name, pointer, out))
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error.message}", hint="an out must lie inside the repository") from error


def dump_pointer(out: Output, meta: Mapping[str, Any] | None = None) -> bytes:
    """A fresh pointer: what `dvc add` would write, and ``meta`` after it."""
    if not is_oid(out.oid):
        raise InvalidInputError(f"{out.path}: not an object id: {out.oid!r}")
    if not _PLAIN_TEXT.fullmatch(out.path) or out.path.lower() in _WORDS or meta:
        # Deferred: ruamel.yaml costs 60 ms to import.
        from gitdata.formats.dvcyaml import dump_document

        return dump_document({"outs": [out_fields(out)], **({"meta": dict(meta)} if meta else {})})
    quote = "'" if _NUMBER.fullmatch(out.oid) else ""
    lines = ["outs:"]
    lines += [f"{'- ' if key == 'md5' else '  '}{key}: {value}" for key, value in _texts(out, quote).items()]
    return ("\n".join(lines) + "\n").encode()


def _texts(out: Output, quote: str) -> dict[str, str]:
    fields = {key: "true" if value is True else str(value) for key, value in out_fields(out).items()}
    fields["md5"] = f"{quote}{out.oid}{quote}"
    return fields


def out_fields(out: Output) -> dict[str, Any]:
    """The fields of an out in the order in which DVC writes them."""
    fields: dict[str, Any] = {"md5": out.oid}
    if out.size is not None:
        fields["size"] = out.size
    if out.nfiles is not None:
        fields["nfiles"] = out.nfiles
    if out.exec:
        fields["isexec"] = True
    return {**fields, "hash": "md5", "path": out.path}


def update_pointer(data: bytes, out: Output) -> bytes:
    """The pointer with the out of that path changed; comments, order and DVC's other keys stay as they are."""
    fresh = _FRESH.fullmatch(data.decode("ascii", errors="replace"))
    if fresh and fresh["path"] == out.path:
        return dump_pointer(out)
    # Deferred: ruamel.yaml costs 60 ms to import.
    from gitdata.formats.dvcyaml import change_out
    from gitdata.formats.yaml12 import load_yaml

    name = f"the pointer of {out.path}"
    pointer = _pointer(load_yaml(data, name), name)
    return change_out(data, out.path, [o.path for o in pointer.outs], out_fields(out))


def move_out(data: bytes, name: str, old: str, new: str, way: str = ".") -> bytes:
    """The pointer ``name`` with its out ``old`` at ``new``, all else kept. way: to its old folder from its new one."""
    fresh = _FRESH.fullmatch(data.decode("ascii", errors="replace"))
    if fresh and fresh["path"] == old:
        return dump_pointer(replace(parse_pointer(data, name).outs[0], path=new))
    # Deferred: ruamel.yaml costs 60 ms to import.
    from gitdata.formats import dvcyaml

    return dvcyaml.move_out(data, old, new, [out.path for out in parse_pointer(data, name).outs], way)


def drop_out(data: bytes, name: str, path: str) -> bytes | None:
    """The pointer ``name`` without one out; None where that is its only one."""
    paths = [out.path for out in parse_pointer(data, name).outs]
    if paths == [path]:
        return None
    if path not in paths:
        return data
    # Deferred: ruamel.yaml costs 60 ms to import.
    from gitdata.formats import dvcyaml

    return dvcyaml.drop_out(data, path, paths)
