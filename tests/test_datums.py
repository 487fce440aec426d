"""Datums: what each glob makes of a listing, crosses and unions, a naive reference, and a hundred thousand files."""

from __future__ import annotations

import time
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.datums import enumerate_datums, match
from gitdata.errors import InvalidInputError
from gitdata.globs import compile_glob
from gitdata.identity import datum_id
from gitdata.model import CrossInput, DatumInput, Entry, Input, Listing, PfsInput, UnionInput

KEY = "a" * 64


def listing(*paths: str) -> Listing:
    return tuple(Entry(path, f"{i:032x}", i) for i, path in enumerate(sorted(paths)))


IMAGES = listing("b.jpg", "a.jpg", "valid/x.jpg", "valid/y.jpg", "valid/deep/z.jpg", "valid-not")


def found(glob: str, files: Listing = IMAGES) -> dict[str, list[str]]:
    return {path: [e.path for e in entries] for path, entries in match(glob, files)}


def test_slash_is_one_datum_with_everything() -> None:
    assert found("/") == found("") == {"/": sorted(e.path for e in IMAGES)}


def test_slash_is_one_datum_even_of_nothing() -> None:
    assert match("/", ()) == [("/", ())]


def test_star_is_each_top_level_entry_with_its_subtree() -> None:
    assert found("/*") == {
        "/a.jpg": ["a.jpg"],
        "/b.jpg": ["b.jpg"],
        "/valid": ["valid/deep/z.jpg", "valid/x.jpg", "valid/y.jpg"],
        "/valid-not": ["valid-not"],
    }
    assert list(found("/*")) == sorted(found("/*"))


def test_star_star_is_entries_at_depth_two_exactly() -> None:
    assert found("/*/*") == {
        "/valid/deep": ["valid/deep/z.jpg"],
        "/valid/x.jpg": ["valid/x.jpg"],
        "/valid/y.jpg": ["valid/y.jpg"],
    }


def test_double_star_makes_overlapping_datums_of_files_and_folders() -> None:
    assert set(found("**")) == {
        "/a.jpg", "/b.jpg", "/valid", "/valid-not", "/valid/deep", "/valid/deep/z.jpg", "/valid/x.jpg", "/valid/y.jpg",
    }  # fmt: skip
    assert set(found("**.jpg")) == {"/a.jpg", "/b.jpg", "/valid/deep/z.jpg", "/valid/x.jpg", "/valid/y.jpg"}


def test_a_literal_path_is_one_datum_or_none() -> None:
    assert found("/valid") == {"/valid": ["valid/deep/z.jpg", "valid/x.jpg", "valid/y.jpg"]}
    assert found("valid/x.jpg") == {"/valid/x.jpg": ["valid/x.jpg"]}
    assert found("/absent") == found("/valid/absent/*") == {}


def test_braces_classes_and_groups() -> None:
    assert set(found("/{a,b}.jpg")) == {"/a.jpg", "/b.jpg"}
    assert set(found("/[!a].jpg")) == {"/b.jpg"}
    assert set(found("/valid/(*).jpg")) == {"/valid/x.jpg", "/valid/y.jpg"}


def test_a_bad_glob_is_an_input_error() -> None:
    with pytest.raises(InvalidInputError, match="never closed"):
        match("/[a", IMAGES)


def names(expression: Input, **listings: Listing) -> list[tuple[str, ...]]:
    return [tuple(f"{i.name}{i.match}" for i in d.inputs) for d in enumerate_datums(KEY, expression, listings)]


A, B, C = (PfsInput(r, "/*", r) for r in "abc")
TWO = {"a": listing("1", "2"), "b": listing("x", "y"), "c": listing("p", "q")}


def test_cross_varies_the_first_input_fastest() -> None:
    assert names(CrossInput((A, B)), **TWO) == [("a/1", "b/x"), ("a/2", "b/x"), ("a/1", "b/y"), ("a/2", "b/y")]
    assert names(CrossInput((A, CrossInput((B, C)))), **TWO) == names(CrossInput((A, B, C)), **TWO)


def test_cross_with_nothing_is_nothing() -> None:
    assert names(CrossInput((A, B)), a=TWO["a"], b=()) == []


def test_union_concatenates_in_order() -> None:
    assert names(UnionInput((B, A)), **TWO) == [("b/x",), ("b/y",), ("a/1",), ("a/2",)]


def test_union_drops_a_datum_that_is_there_already() -> None:
    one = PfsInput("a", "/1", "a")
    assert names(UnionInput((one, A, PfsInput("a", "/1", "other"))), **TWO) == [("a/1",), ("a/2",), ("other/1",)]


def test_union_inside_cross() -> None:
    mixed = CrossInput((UnionInput((PfsInput("a", "/1", "i"), PfsInput("b", "/x", "i"))), PfsInput("c", "/", "c")))
    assert names(mixed, **TWO) == [("i/1", "c/"), ("i/x", "c/")]


def test_the_id_is_of_all_inputs_in_order() -> None:
    (datum,) = enumerate_datums(KEY, CrossInput((PfsInput("a", "/", "n"), PfsInput("b", "/x", "b"))), TWO)
    assert datum.inputs == (DatumInput("n", "/", TWO["a"]), DatumInput("b", "/x", TWO["b"][:1]))
    assert datum.id == datum_id(KEY, datum.inputs)


def test_too_many_datums_are_refused_before_they_are_made() -> None:
    many = {"a": listing(*map(str, range(2000)))}
    with pytest.raises(InvalidInputError, match="8,000,000,000 datums") as caught:
        enumerate_datums(KEY, CrossInput((A, A, A)), many)
    assert caught.value.hint


def test_too_many_files_of_all_datums_together_are_refused() -> None:
    many, model = listing(*map(str, range(2000))), listing(*map(str, range(1000)))
    cross = CrossInput((A, PfsInput("b", "/", "b")))
    assert len(enumerate_datums(KEY, cross, {"a": many, "b": model[:999]})) == 2000
    with pytest.raises(InvalidInputError, match="2,000 datums of the inputs have 2,002,000 files together") as caught:
        enumerate_datums(KEY, cross, {"a": many, "b": model})
    assert "archive" in caught.value.hint


def test_a_path_that_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="not valid UTF-8"):
        enumerate_datums(KEY, A, {"a": (Entry("\udcff", "0" * 32),)})


# ---------------------------------------------------------------------------------------------- against a reference

parts = st.sampled_from(["a", "b", "ab", "a-b", "a.", "é"])
trees = st.sets(st.lists(parts, min_size=1, max_size=4).map("/".join), max_size=12).map(
    lambda some: listing(*(p for p in some if not any(q.startswith(p + "/") for q in some)))
)
globs = st.sampled_from(
    [
        "/",
        "/*",
        "/*/*",
        "/a*",
        "**",
        "/**/a",
        "**a",
        "/a/b",
        "/{a,b}/*",
        "/[!a]*",
        "/a?b",
        "/*/*/*",
        "/a/**",
        "/b",
        "/é",
    ]
)
leaf = st.builds(PfsInput, st.sampled_from(["r", "s"]), globs, st.sampled_from(["m", "n"]))
expressions = st.recursive(
    leaf,
    lambda e: (
        st.lists(e, min_size=1, max_size=3).map(lambda i: CrossInput(tuple(i)))
        | st.lists(e, min_size=1, max_size=3).map(lambda i: UnionInput(tuple(i)))
    ),
    max_leaves=3,
)


def reference_match(glob: str, files: Listing) -> list[tuple[str, Listing]]:
    """Every path and every prefix of one, one by one."""
    everything = {"/"}
    for entry in files:
        pieces = entry.path.split("/")
        everything |= {"/" + "/".join(pieces[:n]) for n in range(1, len(pieces) + 1)}
    return [
        (path, tuple(e for e in files if path == "/" or f"/{e.path}" == path or f"/{e.path}".startswith(path + "/")))
        for path in sorted(everything)
        if compile_glob(glob).matches(path)
    ]


def reference(expression: Input, listings: dict[str, Listing]) -> list[tuple[DatumInput, ...]]:
    if isinstance(expression, PfsInput):
        found = reference_match(expression.glob, listings[expression.repo])
        return [(DatumInput(expression.name, path, entries),) for path, entries in found]
    inner = [reference(e, listings) for e in expression.inputs]
    if isinstance(expression, UnionInput):
        return [one for some in inner for one in some]
    return [tuple(i for part in reversed(row) for i in part) for row in product(*inner[::-1])]


@given(expressions, trees, trees)
def test_enumeration_is_the_naive_one(expression: Input, r: Listing, s: Listing) -> None:
    expected = dict.fromkeys(reference(expression, {"r": r, "s": s}))
    got = enumerate_datums(KEY, expression, {"r": r, "s": s})
    assert [d.inputs for d in got] == list(expected)
    assert len({d.id for d in got}) == len(got)


@given(leaf, trees, st.randoms(use_true_random=False))
def test_the_order_of_the_listing_does_not_matter(expression: PfsInput, files: Listing, random: Any) -> None:
    shuffled = list(files)
    random.shuffle(shuffled)
    one = enumerate_datums(KEY, expression, {"r": files, "s": files})
    other = enumerate_datums(KEY, expression, {"r": tuple(shuffled), "s": tuple(shuffled)})
    assert one == other


# --------------------------------------------------------------------------------------------------------- at scale


@pytest.mark.parametrize(("glob", "count"), [("/*", 100), ("/*/*", 100_000), ("/dev1/*", 1000), ("/dev7/5*", 111)])
def test_a_hundred_thousand_files_take_seconds(glob: str, count: int) -> None:
    files = tuple(Entry(f"dev{i // 1000}/{i % 1000}", f"{i:032x}", i) for i in range(100_000))
    begin = time.process_time()
    found = enumerate_datums(KEY, PfsInput("r", glob, "r"), {"r": files})
    assert len(found) == count
    assert time.process_time() - begin < 4  # 1 s where nothing else runs


def test_a_glob_that_cannot_match_does_not_look_at_every_file() -> None:
    class Counting(str):
        looked = 0

        def startswith(self, *args: Any) -> bool:
            Counting.looked += 1
            return super().startswith(*args)

    files = tuple(Entry(Counting(f"dev{i % 10}/{i}"), f"{i:032x}") for i in range(10_000))
    assert match("/dev3", files)[0][0] == "/dev3"
    assert Counting.looked < 100
