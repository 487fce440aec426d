"""An object store of a kind that only DVC can reach (ssh, gs, azure, http, webdav, …), through DVC's own classes.

Called through ``Repository.remote``, deferred: DVC costs most of a second to import, and this is the only module that
does. The settings are read by DVC itself, so that `dvc push` and gitdata mean one place. It must never turn a server
that does not answer into "no such object"; what is not known of an object counts as an error.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.config import Config
from dvc.fs import get_cloud_fs

from gitdata.backends.git_records import hide_password
from gitdata.backends.local import check_key, verified
from gitdata.backends.objects import NotListedError, ObjectInfo, OtherKindError
from gitdata.errors import MissingDataError, RemoteError

_STREAM = 4 * 1024 * 1024


class DvcStore:
    """The remote ``name`` of the repository at ``root``, as an ``ObjectStore``."""

    def __init__(self, root: Path, name: str, url: str) -> None:
        self.url = hide_password(url)
        self._name = name
        try:
            kind, settings, self._base = get_cloud_fs(Config(str(root / ".dvc")), name=name)
            self._fs: Any = kind(**settings)
        except Exception as error:  # a plug-in raises whatever its client raises
            plugin = re.search(r"dvc-[a-z0-9]+", str(error))
            raise OtherKindError(
                f"{self.url}: DVC cannot open it here: {_said(error)}",
                hint=f"pip install {plugin[0]}" if plugin else f"`dvc push -r {name} -v` says more",
            ) from error

    def read(self, key: str) -> bytes:
        return b"".join(self.stream(key))

    def stream(self, key: str) -> Iterator[bytes]:
        try:
            with self._fs.open(self._path(key), "rb") as file:
                while piece := file.read(_STREAM):
                    yield bytes(piece)
        except Exception as error:  # as above
            raise self._error(error, "read", key) from error

    def write(self, key: str, data: bytes) -> None:
        with tempfile.NamedTemporaryFile(prefix="gitdata-") as file:
            file.write(data)
            file.flush()
            self._put(key, Path(file.name), len(data))

    def upload(self, key: str, path: Path, md5: str) -> None:
        # Read to its end first: DVC's classes take a file's name, not its bytes.
        self._put(key, path, sum(len(piece) for piece in verified(path, md5)))

    def _put(self, key: str, path: Path, size: int) -> None:
        target = self._path(key)
        try:
            self._fs.makedirs(self._fs.parent(target), exist_ok=True)
            self._fs.put_file(str(path), target)
        except Exception as error:  # as above
            raise self._error(error, "write", key) from error
        stored = self.head(key)
        if stored is None or stored.size not in (size, -1):
            raise RemoteError(f"{self.url}: {key} was not stored whole", transient=True)

    def head(self, key: str) -> ObjectInfo | None:
        """size: -1 where the server does not say it."""
        try:
            found = self._fs.info(self._path(key))
        except Exception as error:  # as above
            said = self._error(error, "read", key)
            if isinstance(said, MissingDataError):
                return None
            raise said from error
        if found.get("type") == "directory":
            return None
        size = found.get("size")
        return ObjectInfo(key, -1 if size is None else int(size), 0.0)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        if not self._fs.CAN_TRAVERSE:
            raise NotListedError(f"{self.url}: a remote of this kind cannot be listed")
        check_key(prefix, prefix=True)
        top = self._path(prefix.rstrip("/")) if prefix else self._base
        try:
            found = self._fs.fs.find(top, detail=True) if self._fs.exists(top) else {}
        except Exception as error:  # as above
            raise self._error(error, "list", prefix) from error
        cut = len(self._base.rstrip("/")) + 1
        for path, info in found.items():
            size = info.get("size")
            yield ObjectInfo(path[cut:], -1 if size is None else int(size), 0.0)

    def delete(self, key: str) -> None:
        try:
            self._fs.rm_file(self._path(key))
        except Exception as error:  # as above
            said = self._error(error, "delete", key)
            if not isinstance(said, MissingDataError):
                raise said from error

    def fresh(self) -> DvcStore:
        return self  # its connections are DVC's

    def _path(self, key: str) -> str:
        return str(self._fs.join(self._base, *check_key(key).split("/")))

    def _error(self, error: Exception, verb: str, key: str) -> MissingDataError | RemoteError:
        if isinstance(error, MissingDataError | RemoteError):
            return error
        cause = error.__cause__ if isinstance(error, FileNotFoundError) else error
        if cause is None or isinstance(cause, FileNotFoundError) or getattr(cause, "status", None) == 404:
            return MissingDataError(f"{self.url}: no object {key}")
        return RemoteError(
            f"{self.url}: cannot {verb} {key}: {_said(cause)}", hint=f"`dvc push -r {self._name} -v` says more",
            transient=True,
        )  # fmt: skip


def _said(error: BaseException) -> str:
    """One line of what a plug-in raised."""
    lines = str(error).strip().splitlines()
    return hide_password(lines[0][:300]) if lines else type(error).__name__
