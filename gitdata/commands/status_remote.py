"""`gitdata status --remote`: which data of the current commit is not on its data remote.

Called by ``status``, which itself never asks a server.
"""

from __future__ import annotations

from collections.abc import Container

from gitdata.commands.terminal import print_json, print_text
from gitdata.controller.published import generated_pointers
from gitdata.data.lacking import Lacking, lacking
from gitdata.data.outgoing import outputs_at
from gitdata.data.repository import Repository

_MOST = 10


def remote_status(*, as_json: bool) -> bool:
    """Print it; whether anything is missing, or could not be told."""
    repo = Repository.open()
    head = repo.git.resolve("HEAD")
    found = outputs_at(repo.git, head) if head else None
    rows = lacking(repo, found.outputs) if found else []
    problems = found.problems if found else ()
    if as_json:
        print_json(
            {"complete": not rows and not problems, "lacking": [_json(row) for row in rows], "problems": problems}
        )
        return bool(rows or problems)
    made = generated_pointers(repo.git, head)
    lines = [line for row in rows for line in _lines(row, made)] + [
        f"{problem}: not looked for" for problem in problems
    ]
    count = len(found.outputs) if found else 0
    whole = f"{count} output{'s' * (count != 1)} of the commit, all on the data remote" if count else "no data yet"
    print_text("\n".join(lines or [whole]) + "\n")
    return bool(lines)


def _lines(row: Lacking, made: Container[str]) -> list[str]:
    """made: the outputs of stages, by the stage's name."""
    if row.problem:
        return [f"{row.path}: not told: {row.problem}"]
    here = sum(here for _, _, here in row.objects)
    count = len(row.objects)
    cure = "gitdata push sends it" if here == count else "gitdata push in a clone that has it sends it"
    if row.path in made and here < count:
        cure = f"gitdata job retry {row.path} makes it again"
    lines = [f"{row.path}: {count} object{'s' * (count != 1)} not on {row.place} ({cure})"]
    lines += [f"    {path} ({oid}){'' if here else ', not here either'}" for path, oid, here in row.objects[:_MOST]]
    return lines + ([f"    … and {count - _MOST} more"] if count > _MOST else [])


def _json(row: Lacking) -> dict[str, object]:
    objects = [{"path": path, "oid": oid, "in_cache": here} for path, oid, here in row.objects]
    return {"path": row.path, "remote": row.place, "objects": objects, "problem": row.problem or None}
