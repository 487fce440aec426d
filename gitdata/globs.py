"""Pachyderm's globs as automata: one pass over a path, whatever the pattern; nothing backtracks.

Pure. ``datums`` walks listings with them, the spec reader asks ``check_glob``. Patterns and paths are both
untrusted: the work is bounded by their lengths, and the states that are kept are bounded too.

A path here has a leading ``/`` and no trailing one; the whole input is ``/`` and only the globs ``/`` and ""
match it. ``*`` and ``?`` stop at ``/``, ``**`` does not; ``[a-z]``, ``[!a]``, ``{a,b}``, ``\\`` and capture
groups ``( )``, as Pachyderm has them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache

MAX_PATTERN = 512
MAX_NESTING = 10
MAX_STATES = 4096

_Test = Callable[[str], bool]
_SPECIAL = re.compile(r"[*?\[\]{}()\\]")


class GlobError(ValueError):
    """The pattern means nothing; the text says why."""


class Glob:
    """A compiled glob. ``start``: the state before the first ``/`` of a path; stepping is
    ``state[character]``.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = canonical(pattern)
        self.is_root = self.pattern == "/"
        self._tests: list[tuple[_Test, int] | None] = []  # of state i: what it reads, and where that leads
        self._jumps: list[list[int]] = []  # where state i leads without reading
        self._final = _Parser(self.pattern, self).run()
        self._states: dict[frozenset[int], State] = {}
        self.dead = self._state(())
        self.start = self._state((0,))

    def matches(self, path: str) -> bool:
        """Whether the glob matches ``path`` (with its leading ``/``)."""
        if path == "/" or self.is_root:
            return path == "/" and self.is_root
        state = self.start
        for character in path:
            state = state[character]
        return state.accepts

    def add_state(self) -> int:
        self._tests.append(None)
        self._jumps.append([])
        return len(self._jumps) - 1

    def add_test(self, state: int, test: _Test, target: int) -> None:
        self._tests[state] = (test, target)

    def add_jump(self, state: int, target: int) -> None:
        self._jumps[state].append(target)

    def _state(self, seeds: Iterable[int]) -> State:
        members: set[int] = set()
        todo = list(seeds)
        while todo:
            at = todo.pop()
            if at not in members:
                members.add(at)
                todo.extend(self._jumps[at])
        key = frozenset(members)
        known = self._states.get(key)
        if known is None:
            known = self._states[key] = State(self, key, self._final in key)
        return known

    def step(self, members: frozenset[int], character: str) -> State:
        """The state after ``character``, made when it is first needed."""
        if len(self._states) > MAX_STATES:  # a pattern made to explode: forget, rather than grow
            for state in self._states.values():
                state.clear()
            self._states.clear()
        edges = (self._tests[at] for at in members)
        return self._state(edge[1] for edge in edges if edge is not None and edge[0](character))


class State(dict[str, "State"]):
    """A state of the automaton: the states after each character. ``accepts``: what was read so far matches."""

    __slots__ = ("_glob", "_members", "accepts", "is_dead")

    def __init__(self, glob: Glob, members: frozenset[int], accepts: bool) -> None:
        super().__init__()
        self._glob = glob
        self._members = members
        self.accepts = accepts
        self.is_dead = not members

    def __missing__(self, character: str) -> State:
        if self.is_dead:
            return self
        found = self[character] = self._glob.step(self._members, character)
        return found


class _Parser:
    """Recursive descent over the pattern, adding states to a Glob as it goes."""

    def __init__(self, pattern: str, glob: Glob) -> None:
        self._text = pattern
        self._at = 0
        self._glob = glob

    def run(self) -> int:
        end = self._sequence(self._glob.add_state(), "", 0)
        if self._at < len(self._text):
            raise GlobError(
                f"{self._text[self._at]!r} closes nothing; write \\{self._text[self._at]} for the character"
            )
        return end

    def _sequence(self, state: int, stop: str, depth: int) -> int:
        """Reads up to one of ``stop`` (or a stray closing bracket); returns the state after it."""
        if depth > MAX_NESTING:
            raise GlobError(f"brackets are nested more than {MAX_NESTING} deep")
        while self._at < len(self._text):
            c = self._text[self._at]
            if c in stop or c in "})":
                break
            self._at += 1
            if c in "*?[\\" or c not in "{(":
                state = self._one(c, state)
            elif c == "(":
                if self._at > 1 and self._text[self._at - 2] in "@+*?!":
                    raise GlobError("extended patterns such as @(a|b) are not supported yet; write {a,b}")
                state = self._sequence(state, "", depth + 1)
                self._close(")", "(")
            else:
                state = self._alternatives(state, depth)
        return state

    def _alternatives(self, state: int, depth: int) -> int:
        end = self._glob.add_state()
        while True:
            branch = self._glob.add_state()
            self._glob.add_jump(state, branch)
            self._glob.add_jump(self._sequence(branch, ",", depth + 1), end)
            if self._text[self._at : self._at + 1] != ",":
                break
            self._at += 1
        self._close("}", "{")
        return end

    def _close(self, bracket: str, opened: str) -> None:
        if self._text[self._at : self._at + 1] != bracket:
            raise GlobError(f"{opened!r} is never closed; write \\{opened} for the character itself")
        self._at += 1

    def _one(self, c: str, state: int) -> int:
        """One element that is no bracket pair; ``c`` has been read."""
        after = self._glob.add_state()
        if c == "*":
            crosses = False
            while self._text[self._at : self._at + 1] == "*":
                crosses = True
                self._at += 1
            loop = self._glob.add_state()
            self._glob.add_jump(state, loop)
            self._glob.add_test(loop, _anything if crosses else "/".__ne__, loop)
            self._glob.add_jump(loop, after)
            return after
        if c == "?":
            test: _Test = "/".__ne__
        elif c == "[":
            test = self._class()
        elif c == "\\":
            if self._at == len(self._text):
                raise GlobError("a \\ stands at the end")
            test = self._text[self._at].__eq__
            self._at += 1
        else:
            test = c.__eq__
        # A state reads in one way only, so what came before jumps to a fresh one.
        reading = self._glob.add_state()
        self._glob.add_jump(state, reading)
        self._glob.add_test(reading, test, after)
        return after

    def _class(self) -> _Test:
        negated = self._text[self._at : self._at + 1] in ("!", "^")
        self._at += negated
        ranges: list[tuple[str, str]] = []
        while self._text[self._at : self._at + 1] != "]" or not ranges:
            low = self._class_character()
            high = low
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] not in (
                "]",
                "",
            ):
                self._at += 1
                high = self._class_character()
            if high < low:
                raise GlobError(f"the range {low}-{high} in [ ] is empty")
            ranges.append((low, high))
        self._at += 1
        return _Class(tuple(ranges), negated).contains

    def _class_character(self) -> str:
        if self._text[self._at : self._at + 1] == "\\":
            self._at += 1
        if self._at >= len(self._text):
            raise GlobError("'[' is never closed; write \\[ for the character itself")
        self._at += 1
        return self._text[self._at - 1]


class _Class:
    __slots__ = ("_negated", "_ranges")

    def __init__(self, ranges: tuple[tuple[str, str], ...], negated: bool) -> None:
        self._ranges = ranges
        self._negated = negated

    def contains(self, character: str) -> bool:
        inside = any(low <= character <= high for low, high in self._ranges)
        return inside != self._negated and character != "/"


def _anything(_: str) -> bool:
    return True


def canonical(pattern: str) -> str:
    """The pattern with a leading ``/`` and no trailing one: what paths look like."""
    return "/" + pattern.strip("/") if pattern.strip("/") else "/"


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> Glob:
    """The automaton of a pattern. Raises GlobError."""
    if len(pattern) > MAX_PATTERN:
        raise GlobError(f"{len(pattern)} characters are too many (limit: {MAX_PATTERN})")
    if any(ord(c) < 32 or "\ud800" <= c <= "\udfff" for c in pattern):
        raise GlobError("a control character stands in it")
    parts = canonical(pattern)[1:].split("/")
    if len(parts) > 1 and "" in parts:
        raise GlobError("'//' matches nothing; write one /")
    if "." in parts or ".." in parts:
        raise GlobError("'.' and '..' match nothing; globs begin at the top of the repo")
    return Glob(pattern)


def check_glob(pattern: str) -> str | None:
    """What is wrong with a pattern, with the way out, or None."""
    try:
        compile_glob(pattern)
    except GlobError as error:
        return str(error)
    return None
