"""Digests of files: md5 and sha256 at once, never of bytes that did not exist together."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pytest

from gitdata.data.hashing import Digest, hash_bytes, hash_file
from gitdata.errors import ConflictError, InvalidInputError


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 10_000], ids=["empty", "one", "chunks"])
def test_both_digests(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "f").write_bytes(data)
    wanted = Digest(hashlib.md5(data).hexdigest(), hashlib.sha256(data).hexdigest(), len(data))
    assert hash_file(tmp_path / "f") == hash_bytes(data) == wanted


def test_a_symlink_is_followed(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x")
    (tmp_path / "link").symlink_to("f")
    assert hash_file(tmp_path / "link") == hash_bytes(b"x")


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(InvalidInputError, match="not a regular file"):
            hash_file(path)


def test_a_file_that_grows_meanwhile_is_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x" * 8_000_000)
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.is_set():
                file.write(b"y")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with pytest.raises(ConflictError, match="changed while it was read"):
            hash_file(path)
    finally:
        stop.set()
        writer.join()
