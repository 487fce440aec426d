from __future__ import annotations

import pytest

from gitdata.formats.lfs import LFS_BYTES, is_lfs_pointer

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n"


@pytest.mark.parametrize(
    ("data", "is_one"),
    [
        (POINTER, True),
        (POINTER.replace(b"\n", b"\r\n"), True),
        (POINTER.replace(b"git-lfs", b"hawser"), True),
        (b"", False),
        (b"see " + POINTER, False),
        (POINTER.ljust(LFS_BYTES), False),
    ],
)
def test_what_is_a_pointer(data: bytes, is_one: bool) -> None:
    assert is_lfs_pointer(data) == is_one
