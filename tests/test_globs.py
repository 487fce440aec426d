"""Globs: the table of what matches, a naive matcher as referee, and patterns made to hang."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.globs import GlobError, canonical, check_glob, compile_glob

YES = [
    ("/", "/"), ("", "/"), ("/*", "/a"), ("*", "/a"), ("/*/", "/a"), ("/a", "/a"), ("a", "/a"), ("/a/b", "/a/b"),
    ("/*/*", "/a/b"), ("/user-*", "/user-7"), ("/user-*", "/user-"), ("**", "/a/b/c"), ("/**", "/a"),
    ("**.jpg", "/a/b.jpg"),
    ("/a/**", "/a/b/c"), ("/a**z", "/a/b/z"), ("/?", "/ä"), ("/[a-c]x", "/bx"), ("/[!a]x", "/bx"), ("/[^a]x", "/bx"),
    ("/[]]", "/]"), ("/[a-]", "/-"), ("/{a,b}", "/b"), ("/{a,b/c}", "/b/c"), ("/{a,{b,c}d}", "/cd"), ("/x{,y}", "/x"),
    ("/(*)-(*).jpg", "/dev-1.jpg"), ("/\\*", "/*"), ("/\\[a", "/[a"), ("/a b", "/a b"), ("/***", "/a/b"),
    ("/*a*a*", "/xaax"),
    ("/[\\]]", "/]"), ("/*.{jpg,png}", "/x.png"), ("/a,b", "/a,b"), ("/(a,b)", "/a,b"),
]  # fmt: skip
NO = [
    ("/", "/a"), ("/*", "/"), ("/**", "/"), ("/*", "/a/b"), ("/*/*", "/a"), ("/*/*", "/a/b/c"), ("/?", "/"),
    ("/a?b", "/a/b"),
    ("/[!a]", "/a"), ("/a[!x]b", "/a/b"), ("/a[/]b", "/a/b"), ("/user-*", "/users"), ("/user-*", "/user-/x"),
    ("/A", "/a"),
    ("/{a,b}", "/c"), ("/a", "/ab"), ("/a/**", "/a"), ("/**/x", "/x"), ("/\\*", "/a"), ("/.*", "/a")
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "path"), YES)
def test_matches(pattern: str, path: str) -> None:
    assert compile_glob(pattern).matches(path)


@pytest.mark.parametrize(("pattern", "path"), NO)
def test_does_not_match(pattern: str, path: str) -> None:
    assert not compile_glob(pattern).matches(path)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("/[a", "'[' is never closed"),
        ("/[", "'[' is never closed"),
        ("/[!]", "'[' is never closed"),
        ("/[a-", "'[' is never closed"),
        ("/[z-a]", "range z-a"),
        ("/{a,b", "'{' is never closed"),
        ("/{a", "'{' is never closed"),
        ("/a}", "'}' closes nothing"),
        ("/(a", "'(' is never closed"),
        ("/(a}", "'(' is never closed"),
        ("/a)", "')' closes nothing"),
        ("/a\\", "stands at the end"),
        ("/@(a|b)", "extended patterns"),
        ("/*(a)", "extended patterns"),
        ("/a//b", "'//' matches nothing"),
        ("/../b", "match nothing"),
        ("./b", "match nothing"),
        ("/a\x1b[0m", "control character"),
        ("/" + "a" * 600, "too many"),
        ("/" + "{" * 20 + "}" * 20, "nested"),
        ("/\ud800", "control character"),
    ],
)
def test_a_bad_glob_says_what_is_wrong(pattern: str, says: str) -> None:
    problem = check_glob(pattern)
    assert problem is not None
    assert says in problem
    with pytest.raises(GlobError):
        compile_glob(pattern)


@pytest.mark.parametrize("pattern", [pattern for pattern, _ in YES])
def test_a_good_glob_has_no_problem(pattern: str) -> None:
    assert check_glob(pattern) is None


# ------------------------------------------------------------------------------------------------- the naive referee

# An element: ("c", character) | ("?",) | ("*",) | ("**",) | ("[", characters, negated) | ("{", alternatives).
Element = tuple[object, ...]


def naive(elements: list[Element], path: str) -> bool:
    """Backtracking in the plainest words."""
    if not elements:
        return path == ""
    (kind, *rest), after = elements[0], elements[1:]
    if kind == "{":
        return any(naive([*branch, *after], path) for branch in rest[0])
    if kind in ("*", "**"):
        longest = len(path) if kind == "**" or "/" not in path else path.index("/")
        return any(naive(after, path[n:]) for n in range(longest + 1))
    if path == "":
        return False
    if kind == "c":
        return path[0] == rest[0] and naive(after, path[1:])
    if kind == "?":
        return path[0] != "/" and naive(after, path[1:])
    return path[0] != "/" and (path[0] in str(rest[0])) != rest[1] and naive(after, path[1:])


def written(elements: list[Element]) -> str:
    return "".join(map(_written, elements))


def _written(element: Element) -> str:
    kind, *rest = element
    if kind == "c":
        return str(rest[0])
    if kind == "[":
        return f"[{'!' if rest[1] else ''}{rest[0]}]"
    if kind == "{":
        return "{" + ",".join(written(branch) for branch in rest[0]) + "}"
    return str(kind)


single = st.one_of(
    st.tuples(st.just("c"), st.sampled_from("ab/.")),
    st.tuples(st.sampled_from(["?", "*", "**"])),
    st.tuples(st.just("["), st.sampled_from(["a", "ab", "b."]), st.booleans()),
)
element = st.recursive(
    single, lambda e: st.tuples(st.just("{"), st.lists(st.lists(e, max_size=3), min_size=1, max_size=3)), max_leaves=5
)
paths = st.text("ab./", min_size=1, max_size=8).map(canonical)


def collapsed(elements: list[Element]) -> list[Element]:
    """Written side by side, ``*`` and ``*`` are ``**``; the referee must see what the text says."""
    found: list[Element] = []
    for one in elements:
        if one[0] == "{":
            one = ("{", [collapsed(branch) for branch in one[1]])
        if one[0] in ("*", "**") and found and found[-1][0] in ("*", "**"):
            found[-1] = ("**",)
        else:
            found.append(one)
    return found


@given(st.lists(element, max_size=6).map(collapsed), paths)
def test_the_automaton_says_what_the_naive_matcher_says(elements: list[Element], path: str) -> None:
    pattern = written(elements)
    if check_glob(pattern) is not None or pattern.startswith("/") or pattern.endswith("/"):
        return
    expected = path == "/" if pattern == "" else path != "/" and naive([("c", "/"), *elements], path)
    assert compile_glob(pattern).matches(path) == expected


@given(st.text(max_size=20), st.text(max_size=20))
def test_any_text_is_a_glob_or_a_problem(pattern: str, path: str) -> None:
    if check_glob(pattern) is None:
        compile_glob(pattern).matches("/" + path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/" + "*a" * 200 + "b", "/" + "a" * 4000),
        ("/" + "**/" * 100 + "b", "/" + "a/" * 2000),
        ("/" + "{a,aa}" * 80 + "b", "/" + "a" * 4000),
        ("/" + "*{a,b,*}" * 60 + "c", "/" + "ab" * 2000),
        ("/" + "**[a-z]?" * 60, "/" + "ab/" * 1300 + "/"),
    ],
)
def test_a_pattern_made_to_hang_does_not(pattern: str, path: str) -> None:
    begin = time.process_time()
    assert not compile_glob(pattern).matches(path)
    assert time.process_time() - begin < 3


def test_the_states_kept_are_bounded() -> None:
    glob = compile_glob("/**a" + "?" * 30 + "[ab]")
    text = "".join("a" if (i * i // 7) % 3 else "b" for i in range(60_000))
    glob.matches("/" + text)
    assert len(glob._states) <= 4097
