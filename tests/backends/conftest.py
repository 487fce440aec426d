"""The stores that every test of ``test_objects.py`` runs over."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store


@pytest.fixture(params=["folder", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """An empty store of each kind."""
    if request.param == "folder":
        return open_store(str(tmp_path / "remote"))
    server = request.getfixturevalue("s3")
    return open_store(f"s3://{server.bucket()}/some/prefix")
