"""Directory listings: the bytes of DVC's ``.dir`` objects, and the rules for every path that comes from outside.

Called wherever a listing is read (cache, remote, a worker's output) or written. Pure. It must never let a path through
that could leave the folder it is written to, reach a repository's own files, or mean two things on another system:
``check_relpath`` is the one gate, and both reading and writing pass it.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterable

from gitdata.errors import InvalidInputError
from gitdata.model import Entry, Listing
from gitdata.text import printable, quoted

MAX_DIR_BYTES = 256 * 1024 * 1024
MAX_FILES = 2_000_000
MAX_PATH_BYTES = 4000
MAX_NAME_BYTES = 255
MAX_DEPTH = 100

DVCIGNORE = ".dvcignore"
LEFT_OUT = frozenset({".git", ".hg", ".dvc"})  # of a data folder: what is somebody's repository
SCRATCH = re.compile(r"\.[0-9a-f]{16}\.gitdata-tmp")  # what is half-written
_NO_UTF8 = "its name is not valid UTF-8"
_MD5 = re.compile(r"[0-9a-f]{32}")
_OID = re.compile(r"[0-9a-f]{32}(?:\.dir)?")

# Nearly all paths: nothing in them needs a closer look, so ten thousand of them cost a few milliseconds.
_HARMLESS = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*")

# Characters that HFS+ ignores in names: with one of them inside, ".git" is still ".git" on such a disk.
_IGNORABLE = re.compile("[\u200c-\u200f\u202a-\u202e\u206a-\u206f\ufeff]")
_RESERVED = frozenset({".git", ".dvc", "git~1", "dvc~1"})


def is_oid(text: str) -> bool:
    return _OID.fullmatch(text) is not None


def object_key(oid: str) -> str:
    """Where an object lies in a cache and on a remote. Raises InvalidInputError for anything but an oid."""
    if not is_oid(oid):
        raise InvalidInputError(f"not an object id: {oid!r}", hint="an object id is an md5 in lower-case hex")
    return f"files/md5/{oid[:2]}/{oid[2:]}"


def dir_oid(data: bytes) -> str:
    """The oid of a listing's bytes."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest() + ".dir"


def check_relpath(path: str, folder: str = "") -> None:
    """Raises InvalidInputError unless ``path`` is a plain relative path that is safe to write below a folder.

    folder: where it lies, for the message.
    """
    if len(path) <= MAX_NAME_BYTES and _HARMLESS.fullmatch(path) and path.count("/") < MAX_DEPTH:
        return
    problem = _path_problem(path)
    if problem:
        full = f"{folder}/{path}" if folder else path
        hint = f"rename it, such as: mv {quoted(full)} NEW-NAME" if problem == _NO_UTF8 else ""
        raise InvalidInputError(f"refused path '{printable(full[:200])}': {problem}", hint=hint)


def check_data_path(path: str) -> None:
    """As ``check_relpath``, for a file that is to become data: it must be one that a scan of its folder finds again."""
    check_relpath(path)
    if _HARMLESS.fullmatch(path):
        return
    *folders, name = path.split("/")
    problem = ""
    if name == DVCIGNORE:
        problem = f"DVC refuses a {DVCIGNORE} inside data"
    elif any(part in LEFT_OUT or SCRATCH.fullmatch(part) for part in (*folders, name)):
        problem = "DVC and gitdata leave such names out of data"
    if problem:
        raise InvalidInputError(f"refused path '{printable(path[:200])}': {problem}")


def alike(paths: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of paths that macOS and Windows take for one: they differ only in case or in Unicode form.

    One of them may be a folder of the other: ``A`` and ``a/b``.
    """
    first: dict[str, str] = {}
    found = []
    for path in sorted(paths):
        folded = _folded(path)
        if folded in first:
            found.append((first[folded], path))
        else:
            first[folded] = path
    for path in first.values():
        above = _folded(path)
        while above := above.rpartition("/")[0]:
            if above in first:
                found.append((first[above], path))
    return found


def _folded(path: str) -> str:
    return (
        path.lower() if path.isascii() else unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())
    )


def _path_problem(path: str) -> str:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return _NO_UTF8
    if not path or "\0" in path:
        return "it is empty or has a NUL in it"
    if size > MAX_PATH_BYTES or path.count("/") >= MAX_DEPTH:
        return "it is too long or too deep"
    for part in path.split("/"):
        if part in ("", ".", ".."):
            return "it is absolute, or has an empty part, '.' or '..'"
        if len(part.encode()) > MAX_NAME_BYTES:
            return "one of its parts is longer than 255 bytes"
        # A backslash is an ordinary character here and a separator elsewhere: neither reading may be a trick.
        for name in part.split("\\"):
            folded = _IGNORABLE.sub("", name).split(":", 1)[0].rstrip(". ").casefold()
            if name == ".." or folded in _RESERVED:
                return f"{name!r} is reserved for a repository's own files"
    return ""


def parse_dir(data: bytes, name: str) -> Listing:
    """The files of a ``.dir`` object. Raises InvalidInputError unless the bytes are exactly what DVC 3 would write."""
    if len(data) > MAX_DIR_BYTES:
        raise InvalidInputError(f"{name}: a listing of {len(data)} bytes is too big")
    try:
        items = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{name}: not a directory listing: no JSON") from error
    if not isinstance(items, list):
        raise InvalidInputError(f"{name}: not a directory listing: no JSON array")
    listing, last = [], ""
    same = json.dumps(items).encode() == data
    for item in items:
        if not isinstance(item, dict) or item.keys() != {"md5", "relpath"}:
            raise InvalidInputError(f"{name}: an entry has other keys than md5 and relpath")
        oid, path = item["md5"], item["relpath"]
        if not isinstance(path, str) or not isinstance(oid, str) or not _MD5.fullmatch(oid):
            raise InvalidInputError(f"{name}: an entry's path or md5 is malformed: {str(item)[:200]}")
        listing.append(Entry(path, oid))
        same = same and last <= path and next(iter(item)) == "md5"
        last = path
    try:
        check_paths([entry.path for entry in listing])
    except InvalidInputError as error:
        raise InvalidInputError(f"{name}: {error.message}") from error
    if not same:
        raise InvalidInputError(f"{name}: not in DVC's canonical form", hint="`gitdata add` of the folder rewrites it")
    return tuple(listing)


def dump_dir(listing: Iterable[Entry]) -> bytes:
    """The bytes of a ``.dir`` object: DVC's own JSON, so that its md5 is what DVC computes for the same folder."""
    entries = sorted(listing, key=_path)
    check_paths([entry.path for entry in entries])
    data = json.dumps([{"md5": entry.oid, "relpath": entry.path} for entry in entries]).encode()
    if len(data) > MAX_DIR_BYTES:  # nobody would read it again
        raise InvalidInputError(f"a listing of {len(data)} bytes is too big (limit: {MAX_DIR_BYTES})")
    return data


def _path(entry: Entry) -> str:
    return entry.path


def check_paths(paths: list[str]) -> None:
    """Raises InvalidInputError unless all can be files of one folder: each safe, none twice, none inside another."""
    if len(paths) > MAX_FILES:
        raise InvalidInputError(f"{len(paths)} files in one listing are too many (limit: {MAX_FILES})")
    files = set(paths)
    if len(files) != len(paths):
        twice = next(a for a, b in zip(sorted(paths), sorted(paths)[1:], strict=False) if a == b)
        raise InvalidInputError(f"{twice!r} is listed twice")
    folders: set[str] = set()
    for path in paths:
        check_relpath(path)
        parent = path.rpartition("/")[0]
        while parent and parent not in folders:
            if parent in files:
                raise InvalidInputError(f"{parent!r} is listed as a file and as a folder")
            folders.add(parent)
            parent = parent.rpartition("/")[0]
