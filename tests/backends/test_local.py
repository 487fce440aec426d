"""The store in a folder: what DVC and a crash see of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from gitdata.backends.local import LocalStore, sync_filesystem, sync_names, verified
from gitdata.errors import MissingDataError, RemoteError


def test_objects_have_the_mode_that_dvc_trusts(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "remote")
    store.write("files/md5/ab/cd", b"x")
    assert stat.S_IMODE((tmp_path / "remote/files/md5/ab/cd").stat().st_mode) == 0o444


def test_unfinished_files_are_no_objects(tmp_path: Path) -> None:
    folder = tmp_path / "files/md5/ab"
    folder.mkdir(parents=True)
    (folder / ".Ab3-_x.tmp").write_bytes(b"half")
    assert list(LocalStore(tmp_path).list("files/")) == []


def test_an_upload_that_fails_leaves_no_litter(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "remote")
    store.write("files/md5/ab/cd", b"x")
    with pytest.raises(MissingDataError):
        store.upload("files/md5/ab/ef", tmp_path / "nothing here", "0" * 32)
    assert [path.name for path in (tmp_path / "remote/files/md5/ab").iterdir()] == ["cd"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "remote").write_text("a file")
    with pytest.raises((RemoteError, MissingDataError), match="remote"):
        LocalStore(tmp_path / "remote").write("files/md5/ab/cd", b"x")


@pytest.mark.skipif(os.geteuid() == 0, reason="an ordinary user: root may write everywhere")
def test_a_folder_that_may_not_be_written_is_a_remote_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(RemoteError, match="cannot write"):
            LocalStore(tmp_path / "remote").write("a/b", b"x")
    finally:
        tmp_path.chmod(0o755)


def test_the_last_piece_waits_for_the_check(tmp_path: Path) -> None:
    """Whoever sends pieces on must not have sent all of a damaged file when the damage is found."""
    path = tmp_path / "file"
    path.write_bytes(b"x" * (2 * 1024 * 1024 + 1))
    got = []
    with pytest.raises(Exception, match="md5"):
        got.extend(verified(path, "0" * 32))
    assert sum(map(len, got)) < 2 * 1024 * 1024 + 1


@pytest.mark.skipif(os.geteuid() == 0, reason="an ordinary user: root may write everywhere")
def test_a_folder_of_somebody_else_is_named_with_the_cure(tmp_path: Path) -> None:
    """As on a shared remote whose new folders are one user's own."""
    folder = tmp_path / "remote/files/md5/ab"
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    try:
        with pytest.raises(RemoteError, match=str(folder)) as caught:
            LocalStore(tmp_path / "remote").write("files/md5/ab/cd", b"x")
        assert "shared group" in caught.value.hint
    finally:
        folder.chmod(0o755)


def test_a_folder_whose_names_cannot_be_made_durable_is_no_error() -> None:
    """A pipe stands for it: the kernel answers fsync alike."""
    reading, writing = os.pipe()
    try:
        with pytest.raises(OSError, match="Invalid argument"):
            os.fsync(writing)
        sync_names(writing)
    finally:
        os.close(reading)
        os.close(writing)


def test_many_files_are_made_durable_also_without_syncfs(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    sync_filesystem(tmp_path)
    sync_filesystem(tmp_path, function="no_such_function")
