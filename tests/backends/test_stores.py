"""Which store a URL means."""

from __future__ import annotations

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


def test_an_unknown_option_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="'endpointurl'"):
        open_store(str(tmp_path), {"endpointurl": "http://x"})


def test_a_folder_needs_no_s3_client() -> None:
    code = "import sys, gitdata.backends.stores as s; s.open_store('/x'); sys.exit('obstore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
