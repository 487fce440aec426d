"""A company's proxy: the one way out for builds in pods, whose network ends at this machine.

It goes the way that this machine goes itself: through the machine's own proxy, where there is one.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        self._forward("https", f"//{self.path}")

    def do_GET(self) -> None:
        self._forward("http", self.path)

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _forward(self, scheme: str, target: str) -> None:
        self.close_connection = True
        url = urlsplit(target)
        proxy = urlsplit("" if proxy_bypass(url.hostname or "") else getproxies().get(scheme, ""))
        to = proxy if proxy.hostname else url
        try:
            far = socket.create_connection((to.hostname, to.port or 80), timeout=30)
        except (OSError, ValueError) as error:
            self.send_error(502, explain=str(error))
            return
        with far:
            far.settimeout(None)
            if scheme == "https" and to is url:
                self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            else:
                path = self.path if to is proxy else url._replace(scheme="", netloc="").geturl() or "/"
                far.sendall(self._head(path, end=scheme == "http"))
            back = threading.Thread(target=_pour, args=(far.recv, self.connection), daemon=True)
            back.start()
            _pour(self.rfile.read1, far)
            back.join()

    def _head(self, path: str, *, end: bool) -> bytes:
        """The request as it goes on. end: the connection ends with the answer."""
        dropped = {"connection", "proxy-connection", "proxy-authorization"}
        lines = [f"{name}: {value}" for name, value in self.headers.items() if name.lower() not in dropped]
        lines += ["Connection: close"] if end else []
        return "\r\n".join([f"{self.command} {path} {self.request_version}", *lines, "", ""]).encode("latin-1")

    def log_message(self, *args: object) -> None:
        pass


def _pour(receive: Callable[[int], bytes], target: socket.socket) -> None:
    with suppress(OSError):
        while data := receive(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False


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
