"""The pointers that need a YAML library: text to quote or to fold, comments and keys of other tools to keep.

Called by ``dvc`` alone, after its checks; uses the library and the settings that DVC uses, so that the bytes are equal.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
from collections.abc import Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from gitdata.errors import InvalidInputError
from gitdata.text import reason

# Left out of the checksum that DVC keeps of an import (its top-level md5).
_UNHASHED = frozenset(
    {"desc", "type", "labels", "meta", "locked", "frozen", "metric", "persist", "isexec", "size", "nfiles"}
)


def dump_document(document: dict[str, Any]) -> bytes:
    """A whole pointer as DVC's own writer dumps it."""
    stream = io.BytesIO()
    _yaml().dump(document, stream)
    return stream.getvalue()


def change_out(data: bytes, path: str, paths: Sequence[str], fields: dict[str, Any]) -> bytes:
    """``data`` with the out of ``path`` set to ``fields``. ``paths``: those of all its outs, in order."""
    yaml, document = _editable(data, path, paths)
    out = document["outs"][paths.index(path)]
    for key in ("size", "nfiles", "isexec"):
        if key in out and key not in fields:
            del out[key]
    for key, value in fields.items():
        if key not in out or out[key] != value:
            out[key] = value
    if out.get("cache") is True:
        del out["cache"]  # the default, which DVC does not write
    return _dump(yaml, document)


def move_out(data: bytes, old: str, new: str, paths: Sequence[str], way: str) -> bytes:
    """``data`` with the out of path ``old`` at ``new``. way: from the pointer's new folder to its old one."""
    yaml, document = _editable(data, old, paths)
    document["outs"][paths.index(old)]["path"] = new
    for dep in document.get("deps") or ():
        path = dep.get("path")
        if "repo" not in dep and isinstance(path, str) and "://" not in path and not path.startswith("/"):
            dep["path"] = posixpath.normpath(posixpath.join(way, path))
    return _dump(yaml, document)


def drop_out(data: bytes, path: str, paths: Sequence[str]) -> bytes:
    """``data`` without the out of that path."""
    yaml, document = _editable(data, path, paths)
    del document["outs"][paths.index(path)]
    return _dump(yaml, document)


def _editable(data: bytes, path: str, paths: Sequence[str]) -> tuple[YAML, Any]:
    if path not in paths:
        raise InvalidInputError(f"no out {path!r} in this pointer (it has: {', '.join(paths) or 'none'})")
    yaml = _yaml()
    try:
        return yaml, yaml.load(data)
    except YAMLError as error:  # it was readable for libyaml; the two differ in corners
        raise InvalidInputError(f"cannot rewrite the pointer of {path!r}: {reason(error)}") from error


def _dump(yaml: YAML, document: Any) -> bytes:
    if "md5" in document:
        document["md5"] = import_checksum(document)
    stream = io.BytesIO()
    yaml.dump(document, stream)
    return stream.getvalue()


def import_checksum(document: Any) -> str:
    """DVC's checksum of an import's own fields: without it right, `dvc status` says "changed checksum"."""
    body = {key: value for key, value in document.items() if key not in ("md5", "meta", "desc")}
    if body.get("wdir") == ".":
        del body["wdir"]
    text = json.dumps(_hashed(body), sort_keys=True)
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _hashed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hashed(inner) for key, inner in value.items() if key not in _UNHASHED}
    if isinstance(value, list):
        return [_hashed(inner) for inner in value]
    return value


def _yaml() -> YAML:
    yaml = YAML()
    yaml.default_flow_style = False
    return yaml
