"""The environment variables of a command, built from nothing. Called by worker.datum.

Nothing of the controller's own environment (keys, proxies, a virtual environment) reaches a command by accident.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from gitdata.model import Datum, RunPlan
from gitdata.worker.job import WorkerJob
from gitdata.worker.root import SYSTEM_FOLDERS

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def base_prefix() -> str:
    """Where the interpreter of this process is installed, as it is named outside any virtual environment."""
    return str(Path(sys.base_prefix).resolve())


def binds(job: WorkerJob) -> tuple[tuple[str, str], ...]:
    """What a command needs beside the system folders: the stage's environment and the interpreter under it."""
    if job.engine:
        return ()
    prefix = base_prefix()
    covered = any(Path(prefix).is_relative_to(place) for place in job.hidden)
    wanted = [prefix] if covered or prefix.split("/")[1] not in SYSTEM_FOLDERS else []
    if job.venv:
        wanted.append(job.venv)
    return tuple((place, place) for place in wanted)


def variables(job: WorkerJob, plan: RunPlan, datum: Datum) -> tuple[tuple[str, str], ...]:
    """All variables of a datum's command. The stage's own win over the defaults, the datum's over both."""
    base = {"HOME": "/tmp"} if job.engine else _of_sandbox(job)  # an image has its own, PATH before all
    given = {**base, **dict(plan.stage.transform.env), **dict(job.secrets)}
    ours = {name: value for name, value in _of_datum(plan, datum) if name not in base}
    return tuple({**given, **ours}.items())


def _of_sandbox(job: WorkerJob) -> dict[str, str]:
    # The interpreter first: an environment id names its version, so `python3` must be that one in every image.
    places = [f"{job.venv}/bin"] if job.venv else []
    if base_prefix() not in ("/usr", "/usr/local"):
        places.append(f"{base_prefix()}/bin")
    base = {"PATH": ":".join([*places, _SYSTEM_PATH]), "HOME": "/tmp", "LANG": "C.UTF-8"}
    if job.venv:
        base["VIRTUAL_ENV"] = job.venv
    return base


def _of_datum(plan: RunPlan, datum: Datum) -> Iterator[tuple[str, str]]:
    yield from (("GITDATA_JOB_ID", plan.job), ("GITDATA_DATUM_ID", datum.id))
    yield from (("PACH_JOB_ID", plan.job), ("PACH_DATUM_ID", datum.id), ("PACH_OUTPUT_COMMIT_ID", plan.run_key))
    commits = dict(plan.commits)
    for part in datum.inputs:
        match = part.match.strip("/")
        place = f"/pfs/{part.name}/{match}" if match else f"/pfs/{part.name}"
        # A shell cannot expand a variable whose name has "-" in it.
        for name in {part.name, re.sub(r"[^A-Za-z0-9_]", "_", part.name)}:
            yield name, place
            yield f"{name}_COMMIT", commits.get(part.name, plan.commit)
