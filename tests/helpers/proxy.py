"""A small HTTP proxy that misbehaves on request: between a client and a Kubernetes API server, or an S3 server.

Every request passes as it is until ``rule`` names a fault for it. It speaks plain http to its clients, so that a
kubeconfig or an S3 endpoint names it without certificates, and whatever the upstream speaks behind it.
"""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade"})


@dataclass(frozen=True)
class Request:
    """path: with its query. headers: their names in lower case."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def watches(self) -> bool:
        return "watch=" in self.path


@dataclass(frozen=True)
class Fault:
    """What happens to a request. forward: whether the upstream still gets it. status: the answer, 0 for none at all.

    seconds: for how long the upstream's own answer passes before the connection is cut; status is then not used.
    """

    forward: bool = False
    status: int = 0
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None


Rule = Callable[[Request], Fault | None]


class Proxy:
    """url: of the proxy. seen: all requests, in order."""

    def __init__(self, upstream: str, ca: Path | None = None) -> None:
        self.rule: Rule | None = None
        self.seen: list[Request] = []
        self._upstream = urlsplit(upstream)
        self._tls = ssl.create_default_context(cafile=str(ca)) if ca else None
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def connect(self) -> http.client.HTTPConnection:
        host, port = self._upstream.hostname or "", self._upstream.port
        if self._tls:
            return http.client.HTTPSConnection(host, port, timeout=120, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=120)

    def count(self, method: str, part: str) -> int:
        """How many requests of that method had this in their path."""
        return sum(r.method == method and part in r.path for r in self.seen)


class _Handler(BaseHTTPRequestHandler):
    owner: Proxy
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = Request(self.command, self.path, body, {name.lower(): value for name, value in self.headers.items()})
        self.owner.seen.append(request)
        self.close_connection = True
        fault = self.owner.rule(request) if self.owner.rule else None
        if fault is not None and not fault.forward:
            return self._answer(fault)
        upstream = self.owner.connect()
        try:
            answer = self._ask(upstream, body)
            if fault is None or fault.seconds is not None:
                self._pass(answer, None if fault is None else fault.seconds)
            else:
                answer.read()
                self._answer(fault)
        except (OSError, http.client.HTTPException):
            pass  # the upstream is down, or our client is: the connection ends
        finally:
            upstream.close()

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _ask(self, upstream: http.client.HTTPConnection, body: bytes) -> http.client.HTTPResponse:
        upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() not in _HOP:
                upstream.putheader(name, value)
        upstream.endheaders(body or None)
        return upstream.getresponse()

    def _pass(self, answer: http.client.HTTPResponse, seconds: float | None) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP:
                self.send_header(name, value)
        chunked = bool(answer.chunked)  # a client then takes each piece as it comes
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.send_header("Connection", "close")
        self.end_headers()
        end = None if seconds is None else time.monotonic() + seconds
        while piece := answer.read1(1 << 16):
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            self.wfile.flush()
            if end is not None and time.monotonic() >= end:
                return
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _answer(self, fault: Fault) -> None:
        if not fault.status:
            return
        self.send_response(fault.status)
        for name, value in fault.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(fault.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(fault.body)

    def handle(self) -> None:
        with suppress(OSError):  # a client that was killed
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def misbehaving(upstream: str, ca: Path | None = None) -> Iterator[Proxy]:
    """A proxy to ``upstream`` in a thread, until the block ends."""
    proxy = Proxy(upstream, ca)
    thread = threading.Thread(target=proxy.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
        thread.join()
