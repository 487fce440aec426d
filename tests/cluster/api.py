"""The Kubernetes API over plain HTTP, for the testbed and for what tests look at. Independent of gitdata's client.

Objects are dictionaries as the server writes them. An answer that is not 2xx raises ApiError with its words.
"""

from __future__ import annotations

import http.client
import json
import select
import ssl
import threading
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

Object = dict[str, Any]
MERGE_PATCH = "application/merge-patch+json"


class ApiError(LookupError):
    """status: the HTTP status. body: the server's Status object, or what it said instead."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__(f"{status}: {body.get('message') if isinstance(body, dict) else body}")
        self.status = status
        self.body = body


class Api:
    """One user's way to the server, for any number of threads; each keeps one connection open."""

    def __init__(
        self, server: str, ca: Path | None, token: str | None, client: tuple[Path, Path] | None = None
    ) -> None:
        """ca: None for those that this machine trusts. client: a certificate and its key."""
        self.server = server
        self._where = urlsplit(server)
        self._tls = ssl.create_default_context(cafile=str(ca) if ca else None)
        if client:
            self._tls.load_cert_chain(*client)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._local = threading.local()

    def get(self, path: str, **query: str) -> Object:
        return self.request("GET", path, None, query)

    def list(self, path: str, **query: str) -> list[Object]:
        found: list[Object] = self.get(path, **query).get("items", [])
        return found

    def create(self, path: str, body: Object, **query: str) -> Object:
        return self.request("POST", path, body, query)

    def patch(self, path: str, body: Object, **query: str) -> Object:
        return self.request("PATCH", path, body, query, MERGE_PATCH)

    def delete(self, path: str, body: Object | None = None, **query: str) -> Object:
        return self.request("DELETE", path, body, query)

    def text(self, path: str, **query: str) -> str:
        """For what is not JSON: /readyz, a pod's log."""
        status, body = self._exchange("GET", _target(path, query), None, {})
        if status >= 300:
            raise ApiError(status, body.decode(errors="replace"))
        return body.decode(errors="replace")

    def request(
        self, method: str, path: str, body: Object | None, query: Mapping[str, str], kind: str = "application/json"
    ) -> Object:
        data = None if body is None else json.dumps(body).encode()
        status, said = self._exchange(method, _target(path, query), data, {"Content-Type": kind})
        try:
            answer = json.loads(said)
        except ValueError:
            raise ApiError(status, said.decode(errors="replace")) from None
        if status >= 300:
            raise ApiError(status, answer)
        parsed: Object = answer
        return parsed

    def _exchange(self, method: str, target: str, data: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        # An idle connection may have been closed by the server (or the server restarted): a read may be asked again.
        for fresh in (False, True):
            connection = None if fresh else getattr(self._local, "connection", None)
            if connection is not None and connection.ended:
                connection.close()
                connection = None
            reused = connection is not None
            connection = connection or self._connect(30)
            try:
                connection.request(method, target, data, {**self._headers, **headers})
                answer = connection.getresponse()
                status, body = answer.status, answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._local.connection = None
                if reused and (method == "GET" or isinstance(error, http.client.RemoteDisconnected)):
                    continue
                raise OSError(f"{method} {target}: {error}") from error
            self._local.connection = connection
            return status, body
        raise AssertionError("a fresh connection either answers or raises")

    def watch(self, path: str, seconds: int, **query: str) -> Iterator[tuple[str, Object]]:
        """(type, object) of each event, until the server ends the watch after ``seconds``."""
        connection = self._connect(seconds + 10)
        try:
            query = {"watch": "true", "timeoutSeconds": str(seconds), **query}
            connection.request("GET", _target(path, query), headers=self._headers)
            answer = connection.getresponse()
            if answer.status != 200:
                raise ApiError(answer.status, answer.read().decode(errors="replace"))
            for line in answer:
                event = json.loads(line)
                yield event["type"], event["object"]
        except http.client.HTTPException as error:
            raise OSError(f"watch {path}: {error}") from error
        finally:
            connection.close()

    def _connect(self, timeout: float) -> _Connection:
        return _Connection(self._where.hostname or "", self._where.port, timeout=timeout, context=self._tls)


class _Connection(http.client.HTTPSConnection):
    """Closes itself, and the answer that was not read to its end, when its thread or its Api is gone."""

    _answer: http.client.HTTPResponse | None = None

    def connect(self) -> None:
        super().connect()
        weakref.finalize(self, self.sock.close)  # before the socket's own end, also where both end in one cycle

    def getresponse(self) -> http.client.HTTPResponse:
        self._answer = super().getresponse()
        return self._answer

    def close(self) -> None:
        super().close()
        if self._answer is not None:  # one that ends with its connection is the only one who knows the socket
            self._answer.close()

    @property
    def ended(self) -> bool:
        """Whether the server has closed it: nobody asked, so what there is to read is its end."""
        if self.sock is None:
            return True
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(0))

    def __del__(self) -> None:
        self.close()


def _target(path: str, query: Mapping[str, str]) -> str:
    return quote(path, safe="/:") + (f"?{urlencode(query)}" if query else "")
