"""An object store on S3 or anything that speaks its protocol, through obstore.

Called through ``stores.open_store``; the only module that imports obstore. Uploads are checked against their md5 while
they are read and against their size afterwards. It must never turn an unreachable or refusing server into "no such
object": every error is one line that says what the server said and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as _Client

from gitdata.backends.local import check_key, verified
from gitdata.backends.objects import ObjectInfo
from gitdata.backends.s3config import S3Settings, s3_settings
from gitdata.errors import InvalidInputError, MissingDataError, RemoteError

PART = 8 * 1024 * 1024


def open_s3(url: str, options: Mapping[str, str]) -> S3Store:
    return S3Store(s3_settings(url, options))


class S3Store:
    """Keys are relative to the prefix of the URL."""

    def __init__(self, settings: S3Settings) -> None:
        self.url = settings.url
        self._endpoint = settings.endpoint
        self._prefix = f"{settings.prefix}/" if settings.prefix else ""
        try:
            self._client = _Client(
                settings.bucket,
                config=settings.config,
                client_options=settings.client,
                retry_config={
                    "max_retries": 4,
                    "retry_timeout": timedelta(seconds=20),
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=200),
                        "max_backoff": timedelta(seconds=3),
                        "base": 2,
                    },
                },
            )
        except BaseError as error:
            raise InvalidInputError(f"{self.url}: {_first_line(error)}") from error

    def read(self, key: str) -> bytes:
        return b"".join(self.stream(key))

    def stream(self, key: str) -> Iterator[bytes]:
        try:
            for piece in obstore.get(self._client, self._key(key)).stream(min_chunk_size=PART // 2):
                yield bytes(piece)
        except (BaseError, OSError) as error:
            raise self._error(error, "read", key) from error

    def write(self, key: str, data: bytes) -> None:
        try:
            obstore.put(self._client, self._key(key), data, use_multipart=len(data) > PART, chunk_size=PART)
        except (BaseError, OSError) as error:
            raise self._error(error, "write", key) from error

    def upload(self, key: str, path: Path, md5: str) -> None:
        size = path.stat().st_size
        if size <= PART:
            self.write(key, b"".join(verified(path, md5)))
        else:
            self._upload_parts(key, path, md5)
        stored = self.head(key)
        if stored is None or stored.size != size:
            raise RemoteError(
                f"{self.url}: {key} was stored as {stored.size if stored else 0} bytes, sent were {size}",
                transient=True,
            )

    def head(self, key: str) -> ObjectInfo | None:
        try:
            found = obstore.head(self._client, self._key(key))
        except (NotFoundError, FileNotFoundError):
            return None
        except (BaseError, OSError) as error:
            raise self._error(error, "read", key) from error
        return ObjectInfo(key, found["size"], found["last_modified"].timestamp())

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        start = self._prefix + check_key(prefix, prefix=True)
        try:
            for batch in obstore.list(self._client, start or None, chunk_size=1000):
                for found in batch:
                    key = found["path"].removeprefix(self._prefix)
                    yield ObjectInfo(key, found["size"], found["last_modified"].timestamp())
        except (BaseError, OSError) as error:
            raise self._error(error, "list", prefix) from error

    def delete(self, key: str) -> None:
        try:
            obstore.delete(self._client, self._key(key))
        except (NotFoundError, FileNotFoundError):
            return
        except (BaseError, OSError) as error:
            raise self._error(error, "delete", key) from error

    def _upload_parts(self, key: str, path: Path, md5: str) -> None:
        try:
            obstore.put(self._client, self._key(key), verified(path, md5), use_multipart=True, chunk_size=PART)
        except (BaseError, OSError) as error:
            raise self._error(error, "write", key) from error

    def _key(self, key: str) -> str:
        return self._prefix + check_key(key)

    def _error(self, error: Exception, verb: str, key: str) -> MissingDataError | RemoteError:
        said = str(error)
        if "NoSuchBucket" in said:
            return RemoteError(f"{self.url}: no such bucket", hint="make the bucket, or correct the remote's url")
        if isinstance(error, NotFoundError | FileNotFoundError):
            return MissingDataError(f"{self.url}: no object {key}")
        refused = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
        if refused or any(word in said for word in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "403 Forbidden")):
            return RemoteError(
                f"{self.url}: the server refused to {verb} {key}: {_first_line(error)}",
                hint="check the remote's access keys, profile and bucket policy",
            )
        where = f" at {self._endpoint}" if self._endpoint else ""
        return RemoteError(f"{self.url}{where}: cannot {verb} {key}: {_first_line(error)}", transient=True)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
