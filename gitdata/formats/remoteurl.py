"""The URL of a data remote: what it means, and what is wrong with it.

Called where one is typed (`init`, `controller`, `deploy`) and by ``stores``, which opens them. Pure. It must never let
a URL pass that fails later, at the first object: a template that left something out makes ``s3://bucket/a//b``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitdata.errors import InvalidInputError

_SCHEME = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+)://(?P<rest>.*)", re.DOTALL)
_ALMOST = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):(?P<rest>[/\\].*)", re.DOTALL)
_OTHER_HOST = re.compile(r"[^/\\]+@[^/\\]+:.*", re.DOTALL)
_BUCKET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253}[A-Za-z0-9])?")

# What DVC can reach and gitdata cannot.
DVC_KINDS = frozenset(
    {"azure", "gdrive", "gs", "hdfs", "http", "https", "oss", "ssh", "webdav", "webdavs", "webhdfs", "remote"}
)


@dataclass(frozen=True, slots=True)
class RemoteUrl:
    """kind: ``s3``, ``folder``, or the scheme of one that only DVC can reach. path: a folder, as written.

    bucket, prefix: of an S3 URL; the prefix without ``/`` at its ends.
    """

    kind: str
    path: str = ""
    bucket: str = ""
    prefix: str = ""


def parse_remote_url(url: str) -> RemoteUrl:
    """What a URL or path means. Raises InvalidInputError, naming it, for what cannot be the place of data."""
    _check_text(url)
    match = _SCHEME.fullmatch(url)
    if match is None:
        return _folder(url)
    scheme, rest = match["scheme"].lower(), match["rest"]
    if scheme == "s3":
        return _s3(url, rest)
    if scheme == "file":
        if not rest.startswith("/"):
            raise InvalidInputError(
                f"{url!r}: a remote in a folder needs an absolute path, not a host", hint="file:///path, or the path"
            )
        return RemoteUrl("folder", path=rest)
    if scheme not in DVC_KINDS:
        raise InvalidInputError(f"{url!r}: no kind of remote is called {scheme!r}", hint="use a folder or s3://")
    if not rest.strip("/"):
        raise InvalidInputError(f"{url!r}: nothing follows {scheme}://")
    return RemoteUrl(scheme)


def _check_text(url: str) -> None:
    if not url.strip():
        raise InvalidInputError("the URL of a data remote is empty", hint="a folder or s3://bucket/prefix")
    if not url.isprintable():
        raise InvalidInputError(f"{url!r}: a control character is in it", hint="type it again without")
    if url != url.strip():
        raise InvalidInputError(f"{url!r}: a space stands before or after it", hint="type it again without")


def _folder(url: str) -> RemoteUrl:
    almost = _ALMOST.fullmatch(url)
    if almost and (almost["scheme"].lower() in DVC_KINDS | {"s3", "file"}):
        raise InvalidInputError(
            f"{url!r}: {almost['scheme']}: needs two slashes after it",
            hint=f"{almost['scheme'].lower()}://{almost['rest'].lstrip('/' + chr(92))}",
        )
    if _OTHER_HOST.fullmatch(url):
        raise InvalidInputError(
            f"{url!r}: a folder on another machine is no data remote of this form",
            hint="mount it, use s3://, or put ./ in front if it is a folder here",
        )
    return RemoteUrl("folder", path=url)


def _s3(url: str, rest: str) -> RemoteUrl:
    bucket, _, prefix = rest.partition("/")
    parts = prefix.removesuffix("/").split("/") if prefix else []
    if "@" in bucket:
        raise InvalidInputError(
            f"s3://…{rest[rest.index('@') :]}: a user or password is in it, which would be committed",
            hint="use --option or AWS_*",
        )
    if not bucket:
        raise InvalidInputError(f"{url!r}: the bucket is missing; an S3 URL is s3://bucket/prefix")
    for mark, what in (("?", "a query"), ("#", "a fragment")):
        if mark in rest:
            raise InvalidInputError(f"{url!r}: {what} ({mark}…) is in it; an S3 URL is s3://bucket/prefix")
    if ":" in bucket:
        raise InvalidInputError(
            f"{url!r}: {bucket!r} is a host and port, not a bucket",
            hint="the server goes into the option endpointurl: --option endpointurl=http://host:port",
        )
    if not _BUCKET.fullmatch(bucket) or ".." in bucket:
        raise InvalidInputError(f"{url!r}: {bucket!r} cannot be the name of a bucket")
    for part in parts:
        if part in ("", ".", ".."):
            what = "an empty name (//)" if not part else f"the name {part!r}"
            raise InvalidInputError(
                f"{url!r}: {what} is in its path, which cannot be a place on S3", hint="correct the URL"
            )
    return RemoteUrl("s3", bucket=bucket, prefix="/".join(parts))
