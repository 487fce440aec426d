"""Git LFS pointers: the three lines that stand in git, or in a working tree, for a file that lies on an LFS server.

Called wherever content becomes data or an input: ``add``, what a stage reads of git, folder images, the workers.
gitdata fetches nothing from LFS, so that such a text must never pass for the file. Pure.
"""

from __future__ import annotations

from gitdata.errors import InvalidInputError

LFS_BYTES = 1024  # every pointer is shorter
_BEGINNINGS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")


def is_lfs_pointer(data: bytes) -> bool:
    return len(data) < LFS_BYTES and data.startswith(_BEGINNINGS)


def refuse_lfs(data: bytes, path: str) -> None:
    """Raises InvalidInputError where the bytes of ``path`` are a pointer of Git LFS."""
    if is_lfs_pointer(data):
        raise InvalidInputError(
            f"{path}: a Git LFS pointer, not the file itself, which gitdata does not fetch from LFS",
            hint="`git lfs pull`, then keep the file as data: `git rm --cached` and `gitdata add`",
        )
