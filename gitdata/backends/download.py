"""One file from an http(s) URL, piece by piece. The only door to the web for data that a person names.

Called by ``put``. Other schemes are refused, also where a server redirects to one; time and size are limited.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import IO

from gitdata.errors import InvalidInputError, RemoteError
from gitdata.text import reason

CHUNK = 1024 * 1024
_SCHEMES = ("http", "https")


def is_url(text: str) -> bool:
    return "://" in text


def file_name(url: str) -> str:
    """The last part of the URL's path, "" if it has none."""
    return urllib.parse.unquote(urllib.parse.urlsplit(url).path).rpartition("/")[2]


def download(url: str, *, timeout: float, limit: int | None = None) -> Iterator[bytes]:
    """The bytes. Raises InvalidInputError (not http, too big) and RemoteError."""
    _check_scheme(url)
    shown = urllib.parse.urlsplit(url)._replace(query="", netloc=urllib.parse.urlsplit(url).netloc.rpartition("@")[2])
    name, count, expected = shown.geturl(), 0, None
    opener = urllib.request.build_opener(_Redirects())
    try:
        with opener.open(url, timeout=timeout) as answer:
            length = answer.headers.get("Content-Length", "")
            expected = int(length) if length.isdigit() else None
            while piece := answer.read(CHUNK):
                count += len(piece)
                if limit is not None and count > limit:
                    raise InvalidInputError(f"{name} is bigger than {limit} bytes", hint="raise --max-size")
                yield piece
    except urllib.error.HTTPError as error:
        raise RemoteError(f"{name}: the server answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise RemoteError(f"{name}: {reason(error)}", transient=True) from error
    if expected is not None and count != expected:
        raise RemoteError(f"{name}: the connection ended after {count} of {expected} bytes", transient=True)


def _check_scheme(url: str) -> None:
    scheme = urllib.parse.urlsplit(url).scheme.lower()
    if scheme not in _SCHEMES:
        raise InvalidInputError(f"{url.partition('?')[0]}: only http and https URLs are read, not {scheme!r}")


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        _check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
