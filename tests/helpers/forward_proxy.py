"""A company's proxy: the one way out for builds in pods, whose network ends at this machine.

It goes the way that this machine goes itself: through the machine's own proxy, where there is one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


class _Handler(StreamRequestHandler):
    def handle(self) -> None:
        method, target, version = self.rfile.readline(65536).decode("latin-1").split(" ", 2)
        fields = list(iter(self.rfile.readline, b"\r\n"))
        url = urlsplit(f"//{target}" if method == "CONNECT" else target)
        try:
            far, direct = _connection(url.hostname or "", url.port or 80, "https" if method == "CONNECT" else "http")
        except (OSError, ValueError):
            self.wfile.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            return
        with far:
            if method == "CONNECT" and direct:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                if direct:
                    target = url._replace(scheme="", netloc="").geturl() or "/"
                kept = [f for f in fields if not f.lower().startswith((b"proxy-", b"connection:"))]
                closing = [] if method == "CONNECT" else [b"Connection: close\r\n"]
                far.sendall(b"".join([f"{method} {target} {version}".encode("latin-1"), *kept, *closing, b"\r\n"]))
            back = threading.Thread(target=_pour, args=(far, self.connection), daemon=True)
            back.start()
            _pour(self.connection, far)
            back.join()


def _connection(host: str, port: int, scheme: str) -> tuple[socket.socket, bool]:
    """To the host, or to the machine's own proxy for it; and whether it is the host."""
    via = None if proxy_bypass(host) else getproxies().get(scheme)
    if via:
        place = urlsplit(via)
        host, port = place.hostname or "", place.port or 80
    far = socket.create_connection((host, port), timeout=30)
    far.settimeout(None)
    return far, not via


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Server(ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@contextmanager
def forward_proxy(address: str) -> Iterator[str]:
    """Its URL."""
    with _Server((address, 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{server.server_address[1]}"
        finally:
            server.shutdown()
