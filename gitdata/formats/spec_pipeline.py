"""All stages of a commit together: the last step of reading specs.

Called by ``spec`` alone. Here is what only the whole can tell: names that clash, inputs that exist nowhere,
folders that are no image, cycles. Pure: what the tree holds comes in as ``sources``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches

from gitdata.formats.dvc import is_pointer
from gitdata.formats.spec_build import Spec, repo_path
from gitdata.formats.spec_schema import show
from gitdata.model import Stage, leaves

_SETTINGS = (".gitignore", ".dvcignore", ".gitattributes")
_MOST_CANDIDATES = 2000


def is_content(path: str) -> bool:
    """Whether a tracked file is somebody's content: not a pointer, and nothing that git or DVC reads for itself."""
    name = path.rpartition("/")[2]
    return not path.startswith(".dvc/") and not path.endswith(".dvc") and name not in _SETTINGS


def sources_of(paths: Iterable[str]) -> dict[str, str]:
    """What an input's ``repo`` can name beside stages, from the paths of all files that git tracks.

    ``a/b.dvc`` gives ``a/b`` as "pointer" (for a caller that does not read pointers); other files and their folders
    are "git"; a name that is both is "both". Whoever reads pointers adds "broken": one that cannot be read.
    """
    found: dict[str, str] = {}
    for path in paths:
        if is_pointer(path):
            name = path.removesuffix(".dvc")
            found[name] = "pointer" if found.get(name, "pointer") == "pointer" else "both"
            continue
        if not is_content(path):
            continue
        while path and found.get(path) not in ("git", "both"):
            found[path] = "both" if path in found else "git"
            path = path.rpartition("/")[0]
    return found


def check(
    specs: Sequence[Spec], sources: Mapping[str, str], complete: bool, pointer_names: Mapping[str, str]
) -> list[str]:
    """The problems of specs that are each in order. complete: every spec file could be read, so a stage that
    is not here is nowhere. pointer_names: what pointers are called -> the path of their data, where that is another.
    """
    good = [(spec, spec.stage) for spec in specs if spec.stage is not None]
    problems = [*_names(specs, sources, pointer_names), *_images([s for s, _ in good], sources)]
    names = {spec.name for spec in specs}
    for spec, _ in good:
        for where, leaf in spec.inputs:
            problem = _input_problem(leaf.repo, names, sources, complete, pointer_names)
            if problem:
                problems.append(f"{spec.label}: {where}: {problem}")
    cycle = find_cycle([stage for _, stage in good])
    if cycle:
        first = next(spec for spec, stage in good if stage.name == cycle[0])
        chain = " -> ".join((*cycle, cycle[0]))
        problems.append(f"{first.label}: $.input: the stages {chain} read each other; remove one of these inputs")
    return problems


def _names(specs: Sequence[Spec], sources: Mapping[str, str], pointer_names: Mapping[str, str]) -> Iterator[str]:
    taken: dict[str, Spec] = {}
    # A broken pointer may be a stage's own output, from an output branch.
    held = [name for name, kind in sources.items() if kind != "broken"]
    top = {name.casefold(): name for name in [*pointer_names, *held] if "/" not in name}
    for spec in specs:
        folded = spec.name.casefold().replace("_", "-")
        where = f"{spec.label}: $.pipeline.name:"
        other = taken.setdefault(folded, spec)
        if not spec.name:
            continue
        if other is not spec:
            like = "this" if other.name == spec.name else f"{show(other.name)}, the same on some systems,"
            yield f"{where} {show(spec.name)}: {like} is a stage of {other.label}; rename one"
        path = top.get(spec.name.casefold())
        if path is not None:
            what = f"{path}.dvc" if sources.get(path, "pointer") == "pointer" else path
            yield f"{where} {show(spec.name)}: the repository has {what}, and the output needs that name; rename one"


def _images(specs: Sequence[Spec], sources: Mapping[str, str]) -> Iterator[str]:
    for spec in specs:
        if spec.stage is None:
            continue
        image = spec.stage.transform.image
        where = f"{spec.label}: $.transform"
        folder = repo_path(image)
        if not image:
            if not spec.stage.transform.cmd:
                yield f'{where}.cmd: is missing; without an image it is needed, for example ["sh", "-c", "…"]'
        elif folder is not None and folder in sources:
            if f"{folder}/Dockerfile" not in sources:
                yield f"{where}.image: the folder {show(folder)} has no Dockerfile; add one"
            if not spec.stage.transform.cmd:
                yield f'{where}.cmd: is missing; a folder image needs it, for example ["python", "main.py"]'
        elif folder is None or image.startswith("./") or _looks_like_folder(image, sources):
            yield f"{where}.image: there is no folder {show(image)} in the repository;{_near(image, sources)}"


def _looks_like_folder(image: str, sources: Mapping[str, str]) -> bool:
    top, slash, _ = image.partition("/")
    return bool(slash) and top in sources and not any(c in image for c in ":@")


def _input_problem(
    repo: str, names: set[str], sources: Mapping[str, str], complete: bool, pointer_names: Mapping[str, str]
) -> str | None:
    kind = sources.get(repo)
    if repo in names:
        return None  # a stage; that nothing else has its name is checked there
    if kind == "both":
        return f"{show(repo)} is a pointer and also a path in git; remove one of them from the repository"
    if kind is not None or not complete:
        return None
    if repo in pointer_names:
        return f"{show(repo)} is the name of a pointer; name the data that it is of: {show(pointer_names[repo])}"
    parent = repo.rpartition("/")[0]
    while parent:
        if parent in names or sources.get(parent) == "pointer":
            rest = repo[len(parent) :]
            return f"{show(repo)} is inside {show(parent)}; name that as the repo and use a glob such as {show(rest)}"
        parent = parent.rpartition("/")[0]
    return f"no stage, pointer or path is named {show(repo)};{_near(repo, [*names, *sources])}"


def _near(name: str, candidates: Iterable[str]) -> str:
    similar = [c for c in candidates if abs(len(c) - len(name)) <= 4][:_MOST_CANDIDATES]
    near = get_close_matches(name[:200], similar, n=1, cutoff=0.6)
    return f" did you mean {show(near[0])}?" if near else " add it, or name another"


def in_order(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages, each after those it reads, else by name. There is no cycle among them."""
    waiting = {stage.name: _reads(stage, {s.name for s in stages}) for stage in stages}
    by_name = {stage.name: stage for stage in stages}
    ordered: list[Stage] = []
    while waiting:
        ready = sorted(name for name, reads in waiting.items() if not reads & waiting.keys())
        ordered += [by_name[name] for name in ready]
        for name in ready:
            del waiting[name]
    return tuple(ordered)


def find_cycle(stages: Sequence[Stage]) -> tuple[str, ...]:
    """The names of one cycle, each stage before the one that reads it, or ()."""
    names = {stage.name for stage in stages}
    waiting = {stage.name: _reads(stage, names) for stage in stages}
    while ready := [name for name, reads in waiting.items() if not reads & waiting.keys()]:
        for name in ready:
            del waiting[name]
    if not waiting:
        return ()
    # Each stage left reads one that is left: going up from any of them ends in a cycle.
    trail: list[str] = []
    at = min(waiting)
    while at not in trail:
        trail.append(at)
        at = min(waiting[at] & waiting.keys())
    cycle = trail[trail.index(at) :][::-1]
    first = cycle.index(min(cycle))
    return tuple(cycle[first:] + cycle[:first])


def _reads(stage: Stage, names: set[str]) -> set[str]:
    return {leaf.repo for leaf in leaves(stage.input)} & names
