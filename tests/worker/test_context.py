"""Build contexts: the same folder is the same bytes, and nothing but ordinary files comes out of one."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from gitdata.backends.local import LocalStore
from gitdata.errors import GitdataError, InvalidInputError, MissingDataError
from gitdata.formats.keys import context_key
from gitdata.worker.context import fetch, pack


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    (made / "code" / "ä").mkdir(parents=True)
    (made / "Dockerfile").write_text("FROM scratch\n")
    (made / "code" / "ä" / "main.py").write_bytes(b"\0" * 3_000_000)
    (made / "code" / "run").write_text("#!/bin/sh\n")
    (made / "code" / "run").chmod(0o700)
    return made


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store", str(tmp_path / "store"))


def stored(store: LocalStore, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    store.write(context_key("main", digest), data)
    return digest


def test_a_folder_comes_back_as_it_was(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    pack(folder, tmp_path / "tar")
    digest = stored(store, (tmp_path / "tar").read_bytes())
    command = [sys.executable, "-m", "gitdata.worker.context"]
    (tmp_path / "place").mkdir()
    told = {"STORE": store.url, "ZONE": "main", "CONTEXT": digest, "INTO": str(tmp_path / "place")}
    env = {**os.environ, **{f"GITDATA_{name}": value for name, value in told.items()}}
    subprocess.run(command, env=env, check=True)

    def tree(top: Path) -> dict[str, tuple[bytes, bool]]:
        files = [p for p in top.rglob("*") if p.is_file()]
        return {str(p.relative_to(top)): (p.read_bytes(), os.access(p, os.X_OK)) for p in files}

    assert tree(tmp_path / "place") == tree(folder)
    again = subprocess.run(command, env=env, capture_output=True, text=True)
    assert (again.returncode, "File exists" in again.stderr) == (1, True)


def test_time_owner_and_mode_are_no_part_of_a_context(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "one")
    os.utime(folder / "Dockerfile", (1, 1))
    (folder / "Dockerfile").chmod(0o600)
    (folder / "empty").mkdir()
    pack(folder, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    (folder / "Dockerfile").chmod(0o755)
    pack(folder, tmp_path / "three")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "three").read_bytes()


def member(name: str, kind: bytes = tarfile.REGTYPE, **fields: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type = kind
    for field, value in fields.items():
        setattr(info, field, value)
    return info


HOSTILE = {
    "absolute": [member("/tmp/x")],
    "upwards": [member("a/../../x")],
    "symlink": [member("a", tarfile.SYMTYPE, linkname="/etc/passwd")],
    "hard link": [member("b"), member("a", tarfile.LNKTYPE, linkname="b")],
    "pipe": [member("a", tarfile.FIFOTYPE)],
    "device": [member("a", tarfile.CHRTYPE)],
    "folder": [member("a", tarfile.DIRTYPE)],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_context_is_refused(name: str, store: LocalStore, tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for info in HOSTILE[name]:
            archive.addfile(info, io.BytesIO())
    digest = stored(store, file.getvalue())
    (tmp_path / "place").mkdir()
    with pytest.raises(GitdataError):
        fetch(store, context_key("main", digest), digest, tmp_path / "place")
    assert {p.name for p in (tmp_path / "place").iterdir()} <= {"b"}
    assert not (tmp_path / "x").exists()


def test_a_damaged_context_is_not_unpacked(folder: Path, store: LocalStore, tmp_path: Path) -> None:
    pack(folder, tmp_path / "tar")
    data = (tmp_path / "tar").read_bytes()
    (tmp_path / "place").mkdir()
    wrong = hashlib.sha256(b"other").hexdigest()
    store.write(context_key("main", wrong), data)
    with pytest.raises(InvalidInputError, match="another sha256"):
        fetch(store, context_key("main", wrong), wrong, tmp_path / "place")
    cut = stored(store, data[: len(data) // 2])
    with pytest.raises(InvalidInputError, match="no context"):
        fetch(store, context_key("main", cut), cut, tmp_path / "place")
    with pytest.raises(MissingDataError):
        fetch(store, context_key("main", "0" * 64), "0" * 64, tmp_path / "place")
