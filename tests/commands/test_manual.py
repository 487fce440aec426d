"""The man page that `git data --help` opens has every verb, and is the file that is shipped."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitdata.commands.manual import manual
from gitdata.commands.verbs import VERBS
from helpers.machine import BIN, Program, Repo

PAGE = Path(__file__).parent.parent.parent / "man" / "git-data.1"


def test_the_page_is_made_from_the_table_of_verbs() -> None:
    assert PAGE.read_text() == manual(), "python -m gitdata.commands.manual > man/git-data.1"
    shown = manual().replace("\\-", "-")
    assert [verb for verb, _, heading in VERBS if heading and f".B gitdata {verb}\n" not in shown] == []


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed")
def test_git_data_help_opens_it(repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As installed: the page lies beside the folder of the programs."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git-data").symlink_to(BIN / "git-data")
    pages = tmp_path / "share/man/man1"
    pages.mkdir(parents=True)
    shutil.copy(PAGE, pages)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/local/bin:/usr/bin:/bin")
    monkeypatch.setenv("MANPAGER", "cat")
    done = Program("git", cwd=repo.path)("data", "--help")
    assert "gitdata status" in done.stdout
