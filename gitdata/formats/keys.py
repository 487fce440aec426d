"""Where everything lies under a remote: the table of ``docs/formats.md`` section 2, and its inverse for
listings.

Every step that reads or writes the object store builds its keys here. Parts come from plans, records and
other people's listings, so each is checked: a part that does not have its shape never becomes a key. Data
objects (``files/md5/…``) are ``gitdata.formats.dvc``'s.
"""

from __future__ import annotations

import re

from gitdata.errors import InvalidInputError

ROOT = "gitdata/v1"

_ID = re.compile(r"[0-9a-f]{64}")
_INDEX_NAME = re.compile(r"(?:seg|pack)-[0-9a-f]{64}")
_ZONE = re.compile(r"main|local/[A-Za-z0-9_][A-Za-z0-9._@-]{0,99}")
_JOB = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")


def datum_prefix(zone: str, stage_key: str) -> str:
    """The folder of a stage key's segments and packs, ending in ``/``."""
    return f"{_zone(zone)}/datums/{_id(stage_key)}/"


def index_key(zone: str, stage_key: str, name: str) -> str:
    """The key of one segment or pack. name: ``seg-<sha256>`` or ``pack-<sha256>``."""
    return datum_prefix(zone, stage_key) + _part(_INDEX_NAME, name, "the name of a datum index object")


def index_name(key: str) -> str | None:
    """The name of the segment or pack that a listed key is, None for anything else."""
    name = key.rpartition("/")[2]
    return name if _INDEX_NAME.fullmatch(name) else None


def plan_key(zone: str, sha: str) -> str:
    return f"{_zone(zone)}/plans/{_id(sha)}"


def runs_prefix(zone: str, run_key: str | None = None) -> str:
    """The folder of all run records of a zone, or of one run, ending in ``/``."""
    return f"{_zone(zone)}/runs/" if run_key is None else f"{_zone(zone)}/runs/{_id(run_key)}/"


def run_record_key(zone: str, run_key: str, sha: str) -> str:
    return runs_prefix(zone, run_key) + _id(sha)


def run_record_name(key: str) -> tuple[str, str] | None:
    """(run key, sha256) of the run record that a listed key is, None for anything else."""
    run, _, name = key.rpartition("/")
    run = run.rpartition("/")[2]
    return (run, name) if _ID.fullmatch(run) and _ID.fullmatch(name) else None


def log_key(zone: str, sha: str) -> str:
    return f"{_zone(zone)}/logs/{_id(sha)}"


def context_key(zone: str, sha: str) -> str:
    return f"{_zone(zone)}/contexts/{_id(sha)}"


def live_key(zone: str, job: str) -> str:
    return f"{_zone(zone)}/live/{_part(_JOB, job, 'a job name')}"


def live_shards_prefix(zone: str, job: str) -> str:
    """The folder of what a job's workers tell while they work, ending in ``/``."""
    return f"{live_key(zone, job)}.d/"


def live_shard_key(zone: str, job: str, shard: int) -> str:
    return f"{live_shards_prefix(zone, job)}{shard:d}"


def _zone(zone: str) -> str:
    return f"{ROOT}/{_part(_ZONE, zone, 'a trust zone (main or local/<user>)')}"


def _id(text: str) -> str:
    return _part(_ID, text, "a sha256 in hex")


def _part(shape: re.Pattern[str], text: str, what: str) -> str:
    if not shape.fullmatch(text):
        raise InvalidInputError(f"{text[:100]!r} is not {what}")
    return text
