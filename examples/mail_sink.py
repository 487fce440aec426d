"""A mail server for demos and tests: takes SendGrid's POST /v3/mail/send and keeps each mail as a JSON file.

    python examples/mail_sink.py FOLDER [--port 0] [--port-file FILE] [--fail-first N] [--hang-first N]
    [--quiet]

Prints its address; point gitdata at it with the controller's setting for the mail host. Nothing leaves the
machine.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIMIT = 30_000_000  # bytes of a request, SendGrid's own limit


class Sink(ThreadingHTTPServer):
    """fail_first: answer so many requests with 503.

    hang_first: keep so many mails, then hang up without an answer. host: the address to listen on.
    """

    daemon_threads = True

    def __init__(
        self, folder: Path, port: int = 0, fail_first: int = 0, hang_first: int = 0, host: str = "127.0.0.1"
    ) -> None:
        super().__init__((host, port), Handler)
        self.folder = folder
        self.fail_first = fail_first
        self.hang_first = hang_first
        self.lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self.count = sum(1 for _ in folder.glob("*.json"))

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]}:{self.server_address[1]}"

    def take(self, counter: str) -> bool:
        """Whether this request is one of the first N of that counter."""
        with self.lock:
            left: int = getattr(self, counter)
            setattr(self, counter, max(0, left - 1))
            return left > 0

    def keep(self, mail: object) -> str:
        """Store one mail; its number is the message id."""
        with self.lock:
            self.count += 1
            name = f"{self.count:06d}"
            text = json.dumps({"id": name, "received": time.time(), "mail": mail}, indent=2, ensure_ascii=False)
            new = self.folder / f".{name}.new"
            new.write_text(text + "\n")
            new.replace(self.folder / f"{name}.json")
            return name


class Handler(BaseHTTPRequestHandler):
    server: Sink

    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(min(length, LIMIT))
        if self.path != "/v3/mail/send":
            return self.answer(404, "no such resource")
        if not self.headers.get("Authorization", "").startswith("Bearer "):
            return self.answer(401, "The provided authorization grant is invalid, expired, or revoked")
        if self.server.take("fail_first"):
            return self.answer(503, "try again later")
        try:
            mail = json.loads(body)
            for needed in ("personalizations", "from", "subject", "content"):
                mail[needed]
        except (ValueError, KeyError, TypeError):
            return self.answer(400, "Bad Request")
        name = self.server.keep(mail)
        if self.server.take("hang_first"):
            self.close_connection = True
            return None
        return self.answer(202, "", name)

    def answer(self, status: int, message: str, name: str = "") -> None:
        body = json.dumps({"errors": [{"message": message}]}).encode() if message else b""
        self.send_response(status)
        if name:
            self.send_header("X-Message-Id", name)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the files tell."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the mails are kept, one JSON file each")
    parser.add_argument("--port", type=int, default=0, help="0 (the default): any free one")
    parser.add_argument("--port-file", type=Path, help="write the port there once it is open")
    parser.add_argument("--fail-first", type=int, default=0, metavar="N", help="answer the first N with 503")
    parser.add_argument("--hang-first", type=int, default=0, metavar="N", help="take the first N, answer nothing")
    parser.add_argument("--quiet", action="store_true", help="do not print the address")
    args = parser.parse_args()
    sink = Sink(args.folder, args.port, args.fail_first, args.hang_first)
    if args.port_file:
        new = args.port_file.with_name(args.port_file.name + f".{os.getpid()}")
        new.write_text(f"{sink.server_address[1]}\n")
        new.replace(args.port_file)
    if not args.quiet:
        print(f"mail sink at {sink.url}, mails in {args.folder}", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        sink.serve_forever()


if __name__ == "__main__":
    main()
