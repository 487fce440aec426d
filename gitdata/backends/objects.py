"""The object store: one small Protocol, two implementations (a folder, S3), one place that chooses.

Keys are ``/``-separated and relative to the remote's URL. Everything under a remote is named by its content (or is an
advisory ``live/`` file), so a key may be written twice and is never overwritten with other content. Every
implementation makes an object appear whole or not at all, and durable before the call returns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from gitdata.errors import InvalidInputError, RemoteError


class OtherKindError(InvalidInputError):
    """A remote of a kind, or with an option, that DVC knows and gitdata does not: its transfer is DVC's."""


class NotListedError(RemoteError):
    """A remote whose objects can be asked for one by one only."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """key: relative to the store. size: bytes. modified: seconds since the epoch, by the store's clock."""

    key: str
    size: int
    modified: float


class ObjectStore(Protocol):
    """Bytes by key. Raises MissingDataError (no such key), RemoteError (``transient`` tells whether to try again)."""

    url: str

    def read(self, key: str) -> bytes:
        """The whole object."""

    def stream(self, key: str) -> Iterator[bytes]:
        """The object in pieces of a few MiB."""

    def write(self, key: str, data: bytes) -> None:
        """Store ``data``; the caller has made sure that the key names it."""

    def upload(self, key: str, path: Path, md5: str) -> None:
        """Store a file whose bytes have the md5 ``md5``; checked while they are read, never stored if they differ.

        Raises InvalidInputError if the file does not have that md5 (it changed, or the cache is damaged).
        """

    def head(self, key: str) -> ObjectInfo | None:
        """Size and time, or None."""

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose key starts with ``prefix`` (which ends in ``/``), in no promised order."""

    def delete(self, key: str) -> None:
        """Remove an object; none is not an error."""

    def fresh(self) -> ObjectStore:
        """The same store over connections of its own, for a second look at what came out wrong."""
