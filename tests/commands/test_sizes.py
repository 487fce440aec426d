"""Sizes of data that was never fetched are asked of the remote; no content moves for them."""

from __future__ import annotations

import shutil
from pathlib import Path

from helpers.machine import Program, Repo


def test_sizes_are_known_without_the_bytes(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    shared.write("images/deep/b.jpg", "b" * 4321)
    gitdata("commit", "-qm", "bigger")
    gitdata("push", "-q")
    cache = shared.path / ".dvc/cache/files/md5"
    for path in cache.glob("*/*"):
        if not path.name.endswith(".dir"):
            path.unlink()
    before = sorted(cache.rglob("*"))
    assert {e["path"]: e["size"] for e in gitdata.json("ls", "-r", "HEAD:images")["entries"]} == {
        "images/a.jpg": 1,
        "images/deep/b.jpg": 4321,
    }
    assert [e["size"] for e in gitdata.json("ls", "HEAD:images/deep")["entries"]] == [4321]
    assert gitdata.json("diff", "HEAD~1", "HEAD")["files"] == [
        {"path": "images/deep/b.jpg", "change": "modified", "old_size": 2, "new_size": 4321}
    ]
    assert sorted(cache.rglob("*")) == before
    shutil.move(tmp_path / "store", tmp_path / "away")
    listed = gitdata("ls", "-r", "HEAD:images")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["-", "-"]
    assert listed.stderr.count("sizes that are not in this clone are not shown") <= 1
