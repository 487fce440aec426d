"""Listings are hostile: nothing is written outside the folder of the datum."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import object_key
from gitdata.model import Datum, DatumInput, Entry
from gitdata.worker.staging import Stager

ONE = hashlib.md5(b"1", usedforsecurity=False).hexdigest()
TWO = hashlib.md5(b"2", usedforsecurity=False).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    made = open_store(str(tmp_path / "store"))
    for data, oid in ((b"1", ONE), (b"2", TWO)):
        made.write(object_key(oid), data)
    return made


def datum(*inputs: tuple[str, dict[str, str]]) -> Datum:
    return Datum(
        "d", tuple(DatumInput(name, "/", tuple(Entry(p, o) for p, o in files.items())) for name, files in inputs)
    )


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("in", "../x"),
        ("in", "/etc/x"),
        ("in", "a/../../x"),
        ("..", "x"),
        ("a/b", "x"),
        ("out", "x"),
        ("", "x"),
        ("in", ".git/x"),
    ],
)
def test_a_path_that_could_leave_its_folder_is_refused(
    store: ObjectStore, tmp_path: Path, name: str, path: str
) -> None:
    hostile = datum((name, {path: ONE}))
    pfs = tmp_path / "room" / "pfs"
    pfs.mkdir(parents=True)
    with pytest.raises(InvalidInputError):
        Stager(store, tmp_path, [hostile], None).stage(hostile, pfs)
    assert list(pfs.iterdir()) == []
    assert not (tmp_path / "room" / "x").exists()


def test_one_path_cannot_be_two_things(store: ObjectStore, tmp_path: Path) -> None:
    for clash in (datum(("in", {"x": ONE}), ("in", {"x": TWO})), datum(("in", {"x": ONE, "x/y": TWO}))):
        with pytest.raises(InvalidInputError):
            Stager(store, tmp_path, [clash], None).stage(clash, tmp_path)


def test_two_inputs_of_one_name_share_a_folder(store: ObjectStore, tmp_path: Path) -> None:
    both = datum(("in", {"x": ONE, "d/y": ONE}), ("in", {"x": ONE, "z": TWO}))
    (tmp_path / "pfs").mkdir()
    staged = Stager(store, tmp_path, [both], None).stage(both, tmp_path / "pfs")
    found = {
        p.relative_to(tmp_path / "pfs").as_posix(): p.read_bytes() for p in (tmp_path / "pfs").rglob("*") if p.is_file()
    }
    assert found == {"in/x": b"1", "in/d/y": b"1", "in/z": b"2"}
    assert {oid: d.sha256 for oid, d in staged.digests.items()} == {
        ONE: hashlib.sha256(b"1").hexdigest(),
        TWO: hashlib.sha256(b"2").hexdigest(),
    }


def test_shared_inputs_that_nothing_in_hand_reads_make_room(store: ObjectStore, tmp_path: Path) -> None:
    data = [str(n).encode() * 100 for n in range(1, 10)]
    model, *films = (hashlib.md5(d, usedforsecurity=False).hexdigest() for d in data)
    for oid, body in zip((model, *films), data, strict=True):
        store.write(object_key(oid), body)
    objects = tmp_path / "objects"
    objects.mkdir()

    def there() -> set[str]:
        return {path.stem for path in objects.glob("*.644")}

    def stage(stager: Stager, film: str) -> set[str]:
        pfs = tmp_path / f"pfs{len(list(tmp_path.glob('pfs*')))}"
        pfs.mkdir()
        stager.stage(datum(("film", {"f": film}), ("model", {"m": model})), pfs)
        return there()

    twice = [datum(("film", {"f": film}), ("model", {"m": model})) for film in films for _ in range(2)]
    one, other = (Stager(store, objects, twice, None, disk=1000) for _ in range(2))
    stage(other, films[0])
    for at, film in enumerate(films[1:], 1):
        # What the other worker reads, what this one reads, and of the rest the last two: a quarter of the disk.
        assert stage(one, film) == {films[0], model, film, *films[max(1, at - 2) : at]}
    assert one.bytes_down == 700  # the model and what there was room for came once
    stage(other, films[7])
    assert films[0] not in stage(one, films[1])
