"""A datum for the stage whose folder a test lies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.stages import Datum


@pytest.fixture
def datum(request: pytest.FixtureRequest, tmp_path: Path) -> Datum:
    return Datum(request.path.parent.name, tmp_path / "pfs")
