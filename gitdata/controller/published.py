"""Published: what an output commit says of itself and holds.

Called by whoever looks at a branch's outputs: the steps of the loop, and the commands of people. It reads git only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gitdata.backends.git import Git
from gitdata.errors import ConflictError, InvalidInputError
from gitdata.formats.dvc import parse_pointer
from gitdata.model import Output


def output_ref(branch: str) -> str:
    return f"refs/heads/gitdata/{branch}"


def in_the_way(refs: Iterable[str], wanted: str) -> str:
    """The ref beside which git can hold no ``wanted``, because one is a folder of the other; "" for none."""
    found = (ref for ref in refs if wanted.startswith(f"{ref}/") or ref.startswith(f"{wanted}/"))
    return next(found, "")


def check_side(git: Git, ref: str, tip: str | None) -> None:
    """Raises ConflictError where somebody put something else than a commit at a ref of ours."""
    if tip is not None and git.resolve(tip) != tip:
        kind = git.call("cat-file", "-t", tip).stdout.decode(errors="replace").strip() or "nothing"
        raise ConflictError(
            f"{ref} holds a {kind} ({tip[:12]}), which gitdata did not put there",
            hint=f"put the last commit back that it held: git push --force origin COMMIT:{ref}",
        )


@dataclass(frozen=True, slots=True)
class Generated:
    """A pointer that an output commit holds: the out and its ``meta.gitdata``."""

    output: Output
    meta: Mapping[str, object]


def published_source(git: Git, output_tip: str | None) -> str | None:
    """The source commit that an output commit is of."""
    if output_tip is None:
        return None
    return next(iter(git.commit(output_tip).trailers("Gitdata-Source")), None)


def generated_pointers(git: Git, output_tip: str | None) -> dict[str, Generated]:
    """Stage -> pointer of an output commit."""
    if output_tip is None:
        return {}
    names = [e for e in git.ls_tree(output_tip) if e.path.endswith(".dvc") and "/" not in e.path]
    texts = git.blobs(e.sha for e in names)
    found = {}
    for entry in names:
        try:
            pointer = parse_pointer(texts[entry.sha], entry.path)
        except InvalidInputError:
            continue  # somebody wrote to the output branch by hand: none of ours
        if pointer.generated and pointer.outs:
            found[entry.path.removesuffix(".dvc")] = Generated(pointer.outs[0], pointer.meta["gitdata"])
    return found
