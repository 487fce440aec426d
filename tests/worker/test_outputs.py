"""What a command may leave in ``/pfs/out`` is what `gitdata add` would take, no more and no less."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gitdata.backends.stores import open_store
from gitdata.data.statindex import StatIndex
from gitdata.data.tree import hash_path
from gitdata.errors import InvalidInputError
from gitdata.model import Entry
from gitdata.worker.outputs import OutputError, OutputStore
from gitdata.worker.staging import Staged

SCRATCH = ".0123456789abcdef.gitdata-tmp"
NAMES = [
    "a", "b", ".dvcignore", ".git", ".GIT", ".hg", ".dvc", "dvc~1", ".gitignore", "x.dvc", "x\ny", "\u00fc", SCRATCH,
    "A", "n\udcff",
]  # fmt: skip
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)


def fill(folder: Path, names: set[str]) -> set[str]:
    """Write files; the names that could be."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = set()
    for name in sorted(names):
        place = folder / name
        if not place.exists() and all(not above.is_file() for above in place.parents):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(name.encode(errors="replace").decode())
            made.add(name)
    return made


@example(names={".dvcignore", "z"})
@example(names={".hg/store", "z"})
@example(names={f"a/{SCRATCH}", "z"})
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.sets(paths, min_size=1, max_size=4))
def test_an_output_is_stored_only_if_add_would_take_all_of_it(tmp_path: Path, names: set[str]) -> None:
    made = fill(tmp_path / "pfs/out", names)
    try:
        found = hash_path(StatIndex(tmp_path / "stat.json", tmp_path), "pfs/out")
        assert not isinstance(found, Entry)
        taken = {entry.path for entry in found} == made
    except InvalidInputError:
        taken = False
    store = OutputStore(open_store(str(tmp_path / "store")))
    if taken:
        assert {entry.path for entry in store.store(tmp_path / "pfs", Staged((), {}, {}))} == made
    else:
        with pytest.raises(OutputError, match=r"^/pfs/out"):
            store.store(tmp_path / "pfs", Staged((), {}, {}))


def test_a_link_cannot_bring_such_a_name_either(tmp_path: Path) -> None:
    fill(tmp_path / "pfs/out", {"z"})
    (tmp_path / "pfs/out/.dvcignore").symlink_to("z")
    with pytest.raises(OutputError, match=r"DVC refuses a \.dvcignore inside data"):
        OutputStore(open_store(str(tmp_path / "store"))).store(tmp_path / "pfs", Staged((), {}, {}))
