"""The ``/pfs`` of a datum: its input files as real files in a folder of the host.

Called by worker.datum before every try. A file that only one datum of the job needs is fetched straight to its
place. One that several need (a model) is fetched once a job, verified, into a folder that commands never see; each
datum gets a private copy, or, where it is big, a read-only bind mount of it: a mount costs nothing, and what cannot
be written needs no copy. Never links, through which a command could alter what the next datum reads.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from gitdata.backends.filelock import locked
from gitdata.backends.local import write_all
from gitdata.backends.objects import ObjectStore
from gitdata.data.hashing import Digest, Hasher
from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import check_relpath, object_key
from gitdata.model import Datum, Entry

SMALL = 8 << 20
OUT = "out"
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Staged:
    """binds: (host file, path inside) to mount read-only. digests: of every object that the datum reads.

    files: path inside ``/pfs`` -> the entry that is there.
    """

    binds: tuple[tuple[str, str], ...]
    digests: dict[str, Digest]
    files: dict[str, Entry]


class Stager:
    """Brings the inputs of the datums of one job. objects: the job's folder of shared objects."""

    def __init__(
        self, store: ObjectStore, objects: Path, datums: Iterable[Datum], owner: tuple[int, int] | None
    ) -> None:
        self._store, self._objects, self._owner = store, objects, owner
        self._uses = Counter(oid for d in datums for oid in {e.oid for part in d.inputs for e in part.entries})
        self._lock = threading.Lock()
        self.bytes_down = 0

    def stage(self, datum: Datum, pfs: Path) -> Staged:
        """Fill ``pfs``, an empty folder. Raises MissingDataError, InvalidInputError (damaged data), RemoteError."""
        files = _files(datum)
        folders = {OUT, *(i.name for i in datum.inputs)}
        for path in files:
            folders.update(path[:at] for at, letter in enumerate(path) if letter == "/")
        for path in folders & files.keys():
            raise InvalidInputError(f"/pfs/{path} is both a file and a folder in the listing of its input")
        for folder in sorted(folders):
            (pfs / folder).mkdir()
            self._own(pfs / folder)
        binds: list[tuple[str, str]] = []
        digests: dict[str, Digest] = {}

        def bring(path: str) -> None:
            entry = files[path]
            digest, shared = self._bring(entry, pfs / path)
            digests[entry.oid] = digest
            if shared is not None:
                binds.append((str(shared), f"/pfs/{path}"))

        if len(files) < 3:
            for path in files:
                bring(path)
        else:
            with ThreadPoolExecutor(_AT_ONCE) as pool:
                for _ in pool.map(bring, files):
                    pass
        return Staged(tuple(sorted(binds)), digests, files)

    def _bring(self, entry: Entry, target: Path) -> tuple[Digest, Path | None]:
        """One file; the path is that of the shared object where the target is only a place to mount it."""
        mode = 0o755 if entry.exec else 0o644
        if self._uses[entry.oid] == 1:
            digest, shared = self._fetch(entry.oid, target, mode), None
        else:
            digest, shared = self._shared(entry.oid, mode)
            if digest.size < SMALL:
                shutil.copyfile(shared, target)
                target.chmod(mode)
                shared = None
            else:
                target.touch()
        self._own(target)
        return digest, shared

    def _own(self, path: Path) -> None:
        if self._owner is not None:
            os.chown(path, *self._owner)

    def _shared(self, oid: str, mode: int) -> tuple[Digest, Path]:
        """The job's own copy of an object, fetched by the first worker that needs it."""
        place = self._objects / f"{oid}.{mode:o}"
        note = place.with_suffix(".sha256")
        with locked(place.with_suffix(".lock")):
            if not place.exists():
                scratch = place.with_suffix(".new")
                digest = self._fetch(oid, scratch, mode)
                note.write_text(f"{digest.sha256} {digest.size}")
                scratch.rename(place)
                return digest, place
        sha256, size = note.read_text().split(" ")
        return Digest(oid, sha256, int(size)), place

    def _fetch(self, oid: str, target: Path, mode: int) -> Digest:
        """Write an object and verify it. Nothing of a job outlives it, so that nothing need be made durable."""
        hasher = Hasher()
        target.unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for piece in self._store.stream(object_key(oid)):
                hasher.update(piece)
                write_all(descriptor, piece)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        digest = hasher.digest()
        with self._lock:
            self.bytes_down += digest.size
        if digest.md5 != oid:
            raise InvalidInputError(
                f"object {oid} on the remote is damaged: its bytes have the md5 {digest.md5}",
                hint="delete it there and push again from a machine that has the data",
            )
        return digest


def undisturbed(staged: Staged, pfs: Path) -> Staged:
    """``staged`` for another command in the same ``pfs``: no mount where the one before put a link or a folder."""
    return replace(staged, binds=tuple(bind for bind in staged.binds if _is_undisturbed(pfs, bind[1])))


def _is_undisturbed(pfs: Path, inside: str) -> bool:
    *folders, name = inside.removeprefix("/pfs/").split("/")
    place = pfs
    try:
        for folder in folders:
            place /= folder
            if not stat.S_ISDIR(place.lstat().st_mode):
                return False
        return stat.S_ISREG((place / name).lstat().st_mode)
    except FileNotFoundError:
        return True
    except OSError:
        return False  # a folder into which we may not look either


def _files(datum: Datum) -> dict[str, Entry]:
    """Path below ``/pfs`` -> entry. Raises InvalidInputError for a path that could leave its input's folder."""
    files: dict[str, Entry] = {}
    for part in datum.inputs:
        if "/" in part.name or part.name == OUT:
            raise InvalidInputError(f"an input cannot be named {part.name!r}")
        check_relpath(part.name)
        for entry in part.entries:
            check_relpath(entry.path)
            path = f"{part.name}/{entry.path}"
            if files.setdefault(path, entry).oid != entry.oid:
                raise InvalidInputError(f"two inputs put different files at /pfs/{path}", hint="give them names")
    return files
