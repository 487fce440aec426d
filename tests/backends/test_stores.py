"""Which store a URL means."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gitdata.backends.local import LocalStore
from gitdata.backends.stores import open_store
from gitdata.errors import InvalidInputError


def test_a_folder_by_path_and_by_url(tmp_path: Path) -> None:
    for url in (str(tmp_path / "r"), f"file://{tmp_path}/r"):
        store = open_store(url, {"verify": "true"})
        assert isinstance(store, LocalStore)
        assert store.root == tmp_path / "r"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("relative/path", "absolute"),
        ("gs://bucket/x", "'gs'"),
        ("ssh://host/x", "not supported yet"),
        ("azure://c/x", "dvc pull"),
        ("file://relative", "absolute"),
    ],
)
def test_others_are_refused(url: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        open_store(url)
    assert said in caught.value.message + caught.value.hint


def test_a_shared_remote_is_writable_for_the_group(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir(mode=0o700)
    open_store(str(old / "r"), {"shared": "group"}).write("files/md5/ab/cd", b"x")
    made = [old / "r", old / "r/files", old / "r/files/md5", old / "r/files/md5/ab"]
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in made} == {0o2775}
    assert stat.S_IMODE(old.stat().st_mode) == 0o700


def test_an_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="'endpointurl'"):
        open_store(str(tmp_path), {"endpointurl": "http://x"})


def test_a_folder_needs_no_s3_client() -> None:
    code = "import sys, gitdata.backends.stores as s; s.open_store('/x'); sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
