"""Build contexts on their way into a cluster: ``python -m gitdata.worker.context`` in the pod of a build.

Packed by executors.kubernetes_build. In the pod this is the first container, the only one with the keys of the store.
A context is a tar in the object store, named by its sha256; it is unpacked only when its bytes have that digest, and
then still as a stranger's: ordinary files below one place, nothing else. Its words are in the environment
(``GITDATA_*``); it runs nothing of what it unpacks.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.errors import GitdataError, InvalidInputError
from gitdata.formats.dvc import check_relpath
from gitdata.formats.keys import context_key

_PIECE = 1 << 20


def pack(folder: Path, target: Path) -> None:
    """Write a folder of ordinary files as a tar: the same bytes for the same names, contents and exec bits."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(folder.rglob("*"), key=lambda p: p.relative_to(folder).as_posix().encode()):
            if not path.is_file() or path.is_symlink():
                continue  # folders come with their files, as in git
            info = tarfile.TarInfo(path.relative_to(folder).as_posix())
            found = path.stat()
            info.size, info.mode = found.st_size, 0o755 if found.st_mode & 0o100 else 0o644
            with path.open("rb") as data:
                archive.addfile(info, data)


def fetch(store: ObjectStore, key: str, digest: str, place: Path) -> None:
    """Unpack a context into the empty ``place``. Raises InvalidInputError (damaged), MissingDataError, OSError."""
    with tempfile.TemporaryFile() as file:
        seen = sha256()
        for piece in store.stream(key):
            seen.update(piece)
            file.write(piece)
        if seen.hexdigest() != digest:
            raise InvalidInputError(f"{key} is damaged: its bytes have another sha256")
        file.seek(0)
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    _unpack(archive, member, place)
        except tarfile.TarError as error:
            raise InvalidInputError(f"{key} is no context: {error}") from error


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
    check_relpath(member.name)
    data = archive.extractfile(member) if member.isreg() else None
    if data is None:
        raise InvalidInputError(f"a context may hold ordinary files only, and {member.name!r} is none")
    target = place / member.name
    target.parent.mkdir(parents=True, exist_ok=True)
    # A name that comes twice is refused too: nothing here is ever overwritten.
    mode = 0o755 if member.mode & 0o100 else 0o644
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(data, file, _PIECE)


def _from(env: Mapping[str, str]) -> None:
    options = json.loads(env.get("GITDATA_STORE_OPTIONS") or "{}")
    store = open_store(env["GITDATA_STORE"], {str(k): str(v) for k, v in options.items()})
    digest = env["GITDATA_CONTEXT"]
    fetch(store, context_key(env["GITDATA_ZONE"], digest), digest, Path(env["GITDATA_INTO"]))


def main() -> int:
    os.umask(0o022)
    try:
        _from(os.environ)
    except GitdataError as error:
        words = f"{error.message}; {error.hint}" if error.hint else error.message
    except OSError as error:
        words = f"{error.strerror or error}: {error.filename or ''}"
    else:
        return 0
    print(words, file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
