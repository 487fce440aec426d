"""An object store on S3 or anything that speaks its protocol, through obstore.

Called through ``stores.open_store``; the only module that imports obstore. Uploads are checked against their md5 while
they are read and against their size afterwards. It must never turn an unreachable or refusing server into "no such
object": every error is one line that says what the server said and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, cast

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError
from obstore.store import S3Store as _Client

from gitdata.backends.local import check_key, verified
from gitdata.backends.objects import ObjectInfo
from gitdata.backends.s3config import S3Settings, s3_settings
from gitdata.errors import InvalidInputError, MissingDataError, RemoteError

if TYPE_CHECKING:
    from obstore.store import ClientConfig

PART = 8 * 1024 * 1024
_MOST_PARTS = 9_000  # S3 takes 10,000

# What is sent waits in memory, of which the agent of a pod has little: so many big objects at once, each with so many
# bytes of its parts under way.
_BIG_AT_ONCE = BoundedSemaphore(4)
_UNDER_WAY = 3 * PART

# Where a client without keys looks for those of its machine: asking there in vain means that there are none.
_METADATA = ("169.254.169.254", "169.254.170.2", "fd00:ec2::254")
_REFUSALS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "403 Forbidden", "401 Unauthorized")


def open_s3(url: str, options: Mapping[str, str], patience: float = 0) -> S3Store:
    return S3Store(s3_settings(url, options), patience)


class S3Store:
    """Keys are relative to the prefix of the URL. patience: as ``stores.open_store`` has it."""

    def __init__(self, settings: S3Settings, patience: float = 0) -> None:
        self.url = settings.url
        self._settings, self._patience = settings, patience
        self._endpoint = settings.endpoint
        self._prefix = f"{settings.prefix}/" if settings.prefix else ""
        try:
            self._client = _Client(
                settings.bucket,
                client_options=cast("ClientConfig", settings.client),
                retry_config={
                    "max_retries": 10_000 if patience else 4,  # then time alone is the limit
                    "retry_timeout": timedelta(seconds=patience or 20),
                    "backoff": {
                        "init_backoff": timedelta(milliseconds=200),
                        "max_backoff": timedelta(seconds=3),
                        "base": 2,
                    },
                },
                **_only_these_keys(settings.config),
            )
        except BaseError as error:
            raise InvalidInputError(f"{self.url}: {_reason(str(error))}") from error

    def read(self, key: str) -> bytes:
        return b"".join(self.stream(key))

    def stream(self, key: str) -> Iterator[bytes]:
        try:
            for piece in obstore.get(self._client, self._key(key)).stream(min_chunk_size=PART // 2):
                yield bytes(piece)
        except (BaseError, OSError) as error:
            raise self._error(error, "read", key) from error

    def write(self, key: str, data: bytes) -> None:
        self._put(key, data, len(data))

    def upload(self, key: str, path: Path, md5: str) -> None:
        size = path.stat().st_size
        if size <= PART:
            self.write(key, b"".join(verified(path, md5)))
        else:
            self._put(key, verified(path, md5), size)
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

    def fresh(self) -> S3Store:
        return S3Store(self._settings, self._patience)

    def _put(self, key: str, data: bytes | Iterator[bytes], size: int) -> None:
        try:
            if size <= PART:
                obstore.put(self._client, self._key(key), data, use_multipart=False)
                return
            part = part_size(size)
            with _BIG_AT_ONCE:
                obstore.put(
                    self._client,
                    self._key(key),
                    data,
                    use_multipart=True,
                    chunk_size=part,
                    max_concurrency=max(1, _UNDER_WAY // part),
                )
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
        where = f"{self.url} at {self._endpoint}" if self._endpoint else self.url
        if any(place in said for place in _METADATA):
            return RemoteError(
                f"{where}: no access keys were found",
                hint="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the remote's own keys",
            )
        reason = _reason(said)
        refused = isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError)
        if refused or any(word in said for word in _REFUSALS):
            return RemoteError(
                f"{where}: the server refused to {verb} {key or 'the bucket'}: {reason}",
                hint="check the remote's access keys, profile, region and bucket policy",
            )
        return RemoteError(f"{where}: cannot {verb} {key or 'the bucket'}: {reason}", transient=True)


def part_size(size: int) -> int:
    """Of an object of so many bytes, in bytes: S3 takes 10,000 parts, whatever their size."""
    return max(PART, -(-size // _MOST_PARTS))


def _only_these_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The same, where keys without a session token go without one: the client would take that of its environment."""
    given = dict(config)
    if "access_key_id" in given and "session_token" not in given:
        keys = {name: given.pop(name) for name in ("access_key_id", "secret_access_key")}
        given["credential_provider"] = lambda: {**keys, "token": None, "expires_at": None}
    return given


def _reason(said: str) -> str:
    """What the server said, or that it said nothing, out of the client's report of several lines."""
    code = re.search(r"<Code>(.*?)</Code>", said)
    text = re.search(r"<Message>(.*?)</Message>", said, re.DOTALL)
    status = re.search(r"status code: (\d{3}[A-Za-z ]*)", said)
    if code:
        return f"{code[1]}: {text[1].strip()}"[:300] if text else code[1]
    if status:
        return status[1].strip()
    if "HTTP error" in said:
        return "the server does not answer"
    return (said.strip().splitlines() or ["no reason given"])[0][:300]
