"""The ``/pfs`` of a datum: its input files as real files in a folder of the host.

Called by worker.datum before every try. A file that only one datum of the job needs is fetched straight to its
place. One that several need (a model) is fetched once a job, verified, into a folder that commands never see; each
datum gets a private copy, or, where it is big, a read-only bind mount of it: a mount costs nothing, and what cannot
be written needs no copy. Never links, through which a command could alter what the next datum reads. What no datum in
hand reads makes room when the disk is short, and is fetched again.
"""

from __future__ import annotations

import os
import shutil
import stat
import threading
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import uuid4

from gitdata.backends.filelock import locked
from gitdata.backends.local import write_all
from gitdata.backends.objects import ObjectStore
from gitdata.data.hashing import Digest, Hasher
from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import check_relpath, object_key
from gitdata.formats.lfs import LFS_BYTES, refuse_lfs
from gitdata.model import Datum, Entry

SMALL = 8 << 20
OUT = "out"
_AT_ONCE = 8
_WAITING = 4  # shared objects that no datum in hand reads get at most this part of the disk
_MODES = (0o644, 0o755)


@dataclass(frozen=True, slots=True)
class Staged:
    """binds: (host file, path inside) to mount read-only. digests: of every object that the datum reads.

    files: path inside ``/pfs`` -> the entry that is there.
    """

    binds: tuple[tuple[str, str], ...]
    digests: dict[str, Digest]
    files: dict[str, Entry]


class Stager:
    """Brings the inputs of datums of one job, in one worker, one datum at a time.

    objects: the folder of shared objects, of all workers of the job on this machine. datums: what these may still do.
    disk: bytes of which the folder is a part, 0 for what is free where it lies.
    """

    def __init__(
        self, store: ObjectStore, objects: Path, datums: Iterable[Datum], owner: tuple[int, int] | None, disk: int = 0
    ) -> None:
        self._store, self._objects, self._owner, self._disk = store, objects, owner, disk
        self._uses = Counter(oid for d in datums for oid in _oids(d))
        self._held = objects / f"{uuid4().hex}.held"  # what the datum in hand reads, for other workers to see
        self._fetched = 0  # bytes of shared objects since room was last made
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
        self._hold(datum)
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
        mode = _MODES[entry.exec]
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
        if shared is None and digest.size < LFS_BYTES:
            refuse_lfs(target.read_bytes(), entry.path)
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
                _use(note)
                scratch.rename(place)
                with self._lock:
                    self._fetched += digest.size
                return digest, place
        _use(note)
        sha256, size = note.read_text().split(" ")
        return Digest(oid, sha256, int(size)), place

    def _hold(self, datum: Datum) -> None:
        """Say which shared objects must stay while this datum is in hand; make room if much came since the last time.

        Who makes room has the lock, so that nothing goes that a worker has said it reads.
        """
        held = [oid for oid in _oids(datum) if self._uses[oid] > 1]
        if not held and not self._fetched:
            return
        with locked(self._objects / "held.lock"):
            self._held.write_text("\n".join(held))
            free = shutil.disk_usage(self._objects).free
            most = (min(self._disk, free) if self._disk else free) // _WAITING
            if self._fetched > most // 8:  # not for each of many small ones
                self._make_room(most)
                self._fetched = 0

    def _make_room(self, most: int) -> None:
        """Of the shared objects that no datum in hand reads keep those used last, ``most`` bytes of them."""
        held = {oid for file in self._objects.glob("*.held") for oid in file.read_text().split()}
        notes = [note for note in self._objects.glob("*.sha256") if note.stem not in held]
        size = 0
        for note in sorted(notes, key=lambda note: note.stat().st_mtime_ns, reverse=True):
            copies = [copy for mode in _MODES if (copy := note.with_suffix(f".{mode:o}")).exists()]
            size += sum(copy.stat().st_size for copy in copies)
            if size > most:
                for file in (*copies, note):
                    file.unlink()

    def _fetch(self, oid: str, target: Path, mode: int) -> Digest:
        """Write an object and verify it; other bytes are asked for again over a fresh connection.

        Nothing of a job outlives it, so that nothing need be made durable.
        """
        digest = self._write(self._store, oid, target, mode)
        if digest.md5 != oid:
            digest = self._write(self._store.fresh(), oid, target, mode)
        if digest.md5 != oid:
            raise InvalidInputError(f"object {oid} came from the remote with other bytes: their md5 is {digest.md5}")
        return digest

    def _write(self, store: ObjectStore, oid: str, target: Path, mode: int) -> Digest:
        hasher = Hasher()
        target.unlink(missing_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            for piece in store.stream(object_key(oid)):
                hasher.update(piece)
                write_all(descriptor, piece)
            os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        digest = hasher.digest()
        with self._lock:
            self.bytes_down += digest.size
        return digest


def _use(note: Path) -> None:
    """Let a shared object be the one used last; the system's own time for a file is too coarse to tell."""
    now = time.time_ns()
    os.utime(note, ns=(now, now))


def _oids(datum: Datum) -> set[str]:
    return {entry.oid for part in datum.inputs for entry in part.entries}


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
