"""From an input expression and the listings of its repos to the ordered datums of a run.

Pure. The planner calls ``enumerate_datums``, ``notify`` uses ``match`` alone. The order is a promise (cross:
the first input varies fastest; union: concatenation; matches by path), and a listing gives the same datums in
whatever order its entries arrive. What a glob means is in ``gitdata.globs``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from operator import attrgetter, itemgetter

from gitdata.errors import InvalidInputError
from gitdata.globs import Glob, GlobError, State, check_glob, compile_glob
from gitdata.identity import datum_id_of, datum_input_bytes
from gitdata.model import CrossInput, Datum, DatumInput, Input, Listing, PfsInput

__all__ = ["MAX_DATUMS", "MAX_FILES", "check_glob", "enumerate_datums", "match"]

MAX_DATUMS = 1_000_000
MAX_FILES = 2_000_000  # of all datums together: each line of a plan lists its datum's files

_path = attrgetter("path")


def enumerate_datums(stage_key: str, expression: Input, listings: Mapping[str, Listing]) -> list[Datum]:
    """The datums of a stage, in order, no two with one id. listings: by ``PfsInput.repo``.

    Raises InvalidInputError for a bad glob, for a path that is not valid Unicode and for more than
    MAX_DATUMS or MAX_FILES.
    """
    combinations = _combinations(expression, listings)
    if isinstance(expression, PfsInput):
        bodies: Iterable[list[bytes]] = ([_bytes(one)] for (one,) in combinations)
    else:
        bodies = _shared(combinations)
    found: dict[str, Datum] = {}
    for inputs, body in zip(combinations, bodies, strict=True):
        name = datum_id_of(stage_key, body)
        if name not in found:
            found[name] = Datum(name, inputs)
    return list(found.values())


def _shared(combinations: Iterable[tuple[DatumInput, ...]]) -> Iterator[list[bytes]]:
    """The bytes of each combination's inputs; one that stands in many of a cross is put into bytes once."""
    pieces: dict[int, bytes] = {}
    for inputs in combinations:
        for one in inputs:
            if id(one) not in pieces:
                pieces[id(one)] = _bytes(one)
        yield [pieces[id(one)] for one in inputs]


def _bytes(one: DatumInput) -> bytes:
    try:
        return datum_input_bytes(one)
    except UnicodeEncodeError as error:
        raise InvalidInputError(
            f"input {one.name}: a path below {one.match!a} is not valid UTF-8", hint="rename the file"
        ) from error


def _combinations(expression: Input, listings: Mapping[str, Listing]) -> list[tuple[DatumInput, ...]]:
    if isinstance(expression, PfsInput):
        matches = match(expression.glob, listings[expression.repo])
        return [(DatumInput(expression.name, path, entries),) for path, entries in matches]
    parts = [_combinations(inner, listings) for inner in expression.inputs]
    crossed = isinstance(expression, CrossInput)
    count = prod(map(len, parts)) if crossed else sum(map(len, parts))
    if count > MAX_DATUMS:
        raise InvalidInputError(
            f"the inputs make {count:,} datums, more than {MAX_DATUMS:,}", hint="use a coarser glob"
        )
    files = sum(_files(part) * (count // len(part) if crossed else 1) for part in parts if part)
    if files > MAX_FILES:
        raise InvalidInputError(
            f"the {count:,} datums of the inputs have {files:,} files together, more than {MAX_FILES:,}",
            hint="let each datum have fewer: put what all of them read into an archive file, or use a coarser glob",
        )
    if not crossed:
        return [combination for part in parts for combination in part]
    # product() varies its last argument fastest, Pachyderm the first input.
    return [sum(reversed(row), ()) for row in product(*reversed(parts))]


def _files(combinations: Iterable[tuple[DatumInput, ...]]) -> int:
    return sum(len(one.entries) for inputs in combinations for one in inputs)


def match(glob: str, listing: Listing) -> list[tuple[str, Listing]]:
    """The files and folders that a glob matches, ordered by path: (``/path``, the files at or below it).

    Raises InvalidInputError for a bad glob.
    """
    try:
        compiled = compile_glob(glob)
    except GlobError as error:
        raise InvalidInputError(f"bad glob {glob[:100]!a}: {error}") from error
    entries = tuple(sorted(listing, key=_path))
    if compiled.is_root:
        return [("/", entries)]
    paths = [entry.path for entry in entries]
    return [(path, entries[low:high]) for path, low, high in sorted(_walk(compiled, paths), key=itemgetter(0))]


def _walk(glob: Glob, paths: list[str]) -> Iterator[tuple[str, int, int]]:
    """Matches as (path, first, end) over the sorted ``paths``.

    Each folder is entered once, with the state its name leads to; a folder in which nothing can match any more is
    passed over by bisection.
    """
    folders: list[tuple[str, State]] = [("", glob.start["/"])]  # those around the current path, outermost first
    at = 0
    while at < len(paths):
        path = paths[at]
        while not path.startswith(folders[-1][0]):
            folders.pop()
        prefix, state = folders[-1]
        head, slash, _ = path[len(prefix) :].partition("/")
        for character in head:
            state = state[character]
        name = prefix + head
        end = at + 1 if not slash else bisect_left(paths, name + "0", at)  # "0" follows "/"
        if state.accepts:
            yield "/" + name, at, end
        if slash and not (inside := state["/"]).is_dead:
            folders.append((name + "/", inside))
        else:
            at = end
