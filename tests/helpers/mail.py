"""The mail sink of ``examples/`` in a thread of the test, and a bare remote with an outbox."""

from __future__ import annotations

import importlib.util
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

SINK = Path(__file__).parents[2] / "examples" / "mail_sink.py"


class RunningSink:
    """A sink that listens; ``mails()`` is what it took."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.url: str = server.url

    def mails(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.server.folder.glob("*.json"))]

    def subjects(self) -> list[str]:
        return sorted(mail["mail"]["subject"] for mail in self.mails())


@contextmanager
def running_sink(
    folder: Path, *, port: int = 0, fail_first: int = 0, hang_first: int = 0, host: str = "127.0.0.1"
) -> Iterator[RunningSink]:
    server = _module().Sink(folder, port, fail_first, hang_first, host)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield RunningSink(server)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("mail_sink", SINK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
