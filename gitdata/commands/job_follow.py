"""Reading along with a job: what its commands print, as it comes, until it has ended.

Used by ``job logs --follow``. What is told of a datum in hand is the end of its text alone, a few seconds old: of a
command that prints fast the beginning may be missing until the datum has ended.
"""

from __future__ import annotations

import time

from gitdata.backends.objects import ObjectStore
from gitdata.commands.terminal import print_text, say
from gitdata.controller.jobs import datum_log, find_job, job_plan, job_results, live_tails

_SECONDS = 2.0


def follow(store: ObjectStore, zone: str, job: str, begins: str, tail: int) -> None:
    """Print what each datum whose id begins so has printed and prints. tail: how many lines of what there is already,
    0 for all.
    """
    shown: dict[str, str] = {}  # datum -> the text of which the end is on the screen
    ended: set[str] = set()
    current, first = "", True
    while True:
        row = find_job(store, zone, (), job)  # before its results: nothing comes after those of one that has ended
        plan = job_plan(store, zone, row)
        results = job_results(store, zone, plan.stage_key, row.id) if plan else {}
        texts = {id: shard.tail for id, shard in live_tails(store, zone, row).items() if id not in results}
        new = {id: result for id, result in results.items() if id not in ended}
        texts |= {id: datum_log(store, zone, result).decode(errors="replace") for id, result in new.items()}
        for datum in plan.datums if plan else ():
            id = datum.id
            if id not in texts or not id.startswith(begins):
                continue
            more = after(shown.get(id, ""), texts[id])
            if first:
                more = last_lines(more, tail)
            if current != id and (more or id in new):
                current = id
                say(f"--- datum {id[:12]} ({', '.join(f'{part.name}:{part.match}' for part in datum.inputs)})")
            print_text(more)
            shown[id] = texts[id]
        ended |= new.keys()
        first = False
        if row.state != "running":
            say(f"{row.id}: {row.state}" + (f": {row.message}" if row.message else ""))
            return
        time.sleep(_SECONDS)


def after(old: str, new: str) -> str:
    """What of ``new`` comes after ``old``: both are ends of one text that grows, or ``new`` is all of it."""
    if new.startswith(old):
        return new[len(old) :]
    at = new.rfind(old)
    if at >= 0:
        return new[at + len(old) :]
    overlap = next((n for n in range(min(len(old), len(new)), 0, -1) if old.endswith(new[:n])), 0)
    return new[overlap:]


def last_lines(text: str, count: int) -> str:
    """The last lines of a text, 0 for all."""
    return "".join(text.splitlines(keepends=True)[-count:]) if count else text
