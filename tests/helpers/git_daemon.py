"""git's own daemon on an address that pods reach; anybody may push, as only a test's server may allow."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cluster.processes import Server, eventually, free_port


@contextmanager
def serve_git(folder: Path, address: str) -> Iterator[str]:
    """Serve the repositories below a folder; the URL of the folder."""
    port = free_port(address)
    command = ["git", "daemon", "--reuseaddr", "--export-all", "--enable=receive-pack", f"--base-path={folder}"]
    server = Server("git-daemon", [*command, f"--listen={address}", f"--port={port}", str(folder)], folder)
    server.start()
    url = f"git://{address}:{port}"
    try:
        eventually("git daemon", lambda: _answers(url), needs=[server])
        yield url
    finally:
        server.stop()


def _answers(url: str) -> bool:
    said = subprocess.run(["git", "ls-remote", f"{url}/no-such"], stdin=subprocess.DEVNULL, capture_output=True)
    return b"refused" not in said.stderr.lower() or b"access denied" in said.stderr.lower()
