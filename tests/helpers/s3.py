"""A real S3 server for tests: ``rclone serve s3`` over a folder. It knows no conditional writes."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cluster.processes import LAVISH
from helpers.machine import BIN

ACCESS_KEY = "testkey"
SECRET_KEY = "testsecret"
REGION = "us-east-1"


@dataclass
class S3:
    """endpoint: its URL. folder: where the server keeps ``<bucket>/<key>`` as plain files."""

    endpoint: str
    folder: Path
    _count: Iterator[int] = field(default_factory=itertools.count, repr=False)

    def bucket(self) -> str:
        """A fresh, empty bucket; its name."""
        name = f"bucket-{next(self._count)}"
        (self.folder / name).mkdir()
        return name

    def clear(self) -> None:
        """Forget all buckets: the server reads the list of them anew with each request."""
        for bucket in self.folder.iterdir():
            shutil.rmtree(bucket)

    @property
    def env(self) -> dict[str, str]:
        """What an S3 client needs to find the server, in AWS's own variables."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL": self.endpoint,
        }


def s3_command(folder: Path, address: str, cache: Path) -> list[str]:
    """The server as a command. folder: of the buckets. address: host:port."""
    command = [str(BIN / "rclone"), "serve", "s3", str(folder), "--config", "", "--addr", address]
    # With 0s it fights with itself: a write may take a minute.
    command += ["--auth-key", f"{ACCESS_KEY},{SECRET_KEY}", "--dir-cache-time", "1ms", "--cache-dir", str(cache)]
    return command


@contextmanager
def serve_s3(address: str = "127.0.0.1") -> Iterator[S3]:
    """Run the server on a port that the kernel chose, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="gitdata-s3-") as place:
        folder = Path(place, "buckets")
        folder.mkdir()
        env = {k: v for k, v in os.environ.items() if not k.startswith(("RCLONE_", "AWS_"))}
        server = subprocess.Popen(
            s3_command(folder, f"{address}:0", Path(place, "cache")),
            env={**env, **LAVISH, "HOME": place},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            yield S3(_endpoint(server), folder)
        finally:
            server.terminate()
            server.communicate(timeout=10)


def _endpoint(server: subprocess.Popen[bytes]) -> str:
    """The address from the server's first words; it says little more, so its pipe cannot fill."""
    assert server.stderr is not None
    said = b""
    for line in server.stderr:
        said += line
        if found := re.search(rb"http://[0-9.]+:\d+", line):
            return found.group().decode()
    raise AssertionError(f"rclone serve s3 did not start: {said.decode(errors='replace')}")
