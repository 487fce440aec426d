"""``gitdata controller``: what its arguments mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.commands.controller import origin_of


@pytest.mark.parametrize("url", ["https://example.com/a.git", "git@example.com:a/b.git", "file:///srv/a.git"])
def test_a_url_is_left_as_it_is(url: str) -> None:
    assert origin_of(url) == url


def test_a_folder_that_is_not_there_now_is_still_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert origin_of("../origin.git") == str(tmp_path.parent / "origin.git")
    assert origin_of("./a:b") == str(tmp_path / "a:b")
