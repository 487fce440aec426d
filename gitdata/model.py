"""The frozen records that pass between the steps. No behaviour beyond what follows from one record alone.

Everything here is plain data: a step may keep it, compare it, hash it or send it to another process.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

# ---------------------------------------------------------------------------------------------------------- content


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a listing.

    path: inside the listing, ``/``-separated, never absolute. oid: md5 hex of the bytes. size: bytes, None if unknown.
    exec: the executable bit (git mode 100755, or ``isexec`` of a single-file pointer). sha256: None if unknown.
    """

    path: str
    oid: str
    size: int | None = None
    exec: bool = False
    sha256: str | None = None


Listing: TypeAlias = tuple[Entry, ...]
"""All files of an input, ordered by the UTF-8 bytes of their path (the same as Python's order of ``str``)."""


@dataclass(frozen=True, slots=True)
class Output:
    """One ``outs`` item of a pointer. oid: md5 hex, ``.dir`` behind it for a directory. size: bytes."""

    path: str
    oid: str
    size: int | None = None
    nfiles: int | None = None
    exec: bool = False

    @property
    def is_dir(self) -> bool:
        return self.oid.endswith(".dir")


# ------------------------------------------------------------------------------------------------------------- spec


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret a stage names; its value is in no record of gitdata. One of env_var (with key) and mount_path."""

    name: str
    key: str = ""
    env_var: str = ""
    mount_path: str = ""


@dataclass(frozen=True, slots=True)
class Transform:
    """What runs. image: a reference, or a folder of the repository. env: sorted pairs."""

    image: str
    cmd: tuple[str, ...] = ()
    stdin: tuple[str, ...] | None = None
    err_cmd: tuple[str, ...] = ()
    err_stdin: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()
    secrets: tuple[Secret, ...] = ()
    accept_return_code: tuple[int, ...] = ()
    working_dir: str = ""
    user: str = ""


@dataclass(frozen=True, slots=True)
class PfsInput:
    """A glob over one repo (a stage, a pointer or a git path). branch: "" means *this commit*."""

    repo: str
    glob: str
    name: str
    branch: str = ""


@dataclass(frozen=True, slots=True)
class CrossInput:
    inputs: tuple[Input, ...]


@dataclass(frozen=True, slots=True)
class UnionInput:
    inputs: tuple[Input, ...]


Input: TypeAlias = PfsInput | CrossInput | UnionInput


def leaves(expression: Input) -> Iterator[PfsInput]:
    """The ``pfs`` inputs of an input expression, in the order they are written."""
    if isinstance(expression, PfsInput):
        yield expression
    else:
        for inner in expression.inputs:
            yield from leaves(inner)


@dataclass(frozen=True, slots=True)
class Notify:
    """Which files of a stage's output are messages, and how they are sent. glob: over the output."""

    glob: str
    via: str = "sendgrid"
    hold_over: int = 100


@dataclass(frozen=True, slots=True)
class Parallelism:
    """Workers of a run: a constant, or thousandths of the number of nodes (floor, at least 1)."""

    constant: int = 1
    coefficient_milli: int | None = None


@dataclass(frozen=True, slots=True)
class Toleration:
    """A taint of nodes that a stage's pods bear, in Kubernetes' words. seconds: None for as long as it lasts."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    seconds: int | None = None


@dataclass(frozen=True, slots=True)
class Scheduling:
    """Where and as whom a stage's pods run on a cluster; a machine of one's own has no use for it.

    node_selector: sorted pairs. network: "open" for a pod that may reach more than the object store.
    """

    node_selector: tuple[tuple[str, str], ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    priority_class: str = ""
    pull_secrets: tuple[str, ...] = ()
    service_account: str = ""
    network: str = "closed"


@dataclass(frozen=True, slots=True)
class Stage:
    """One normalised stage spec. Times are milliseconds, 0 = none. file: where it was read, for messages."""

    name: str
    transform: Transform
    input: Input
    parallelism: Parallelism = Parallelism()
    datum_tries: int = 3
    datum_timeout_ms: int = 0
    job_timeout_ms: int = 0
    salt: str = ""
    description: str = ""
    resources: tuple[tuple[str, str], ...] = ()
    notify: Notify | None = None
    file: str = ""
    warnings: tuple[str, ...] = ()
    scheduling: Scheduling = Scheduling()


# ----------------------------------------------------------------------------------------------------------- datums


@dataclass(frozen=True, slots=True)
class DatumInput:
    """What one input contributes to a datum. match: the path that the glob matched, ``/`` for the whole input.

    key: the join or group key. entries: the files below (or at) the match, ordered by path.
    """

    name: str
    match: str
    entries: Listing
    key: str = ""


@dataclass(frozen=True, slots=True)
class Datum:
    """The smallest unit that one execution sees. id: ``identity.datum_id`` of the rest and the stage key."""

    id: str
    inputs: tuple[DatumInput, ...]


FailureClass: TypeAlias = Literal["user", "timeout", "output", "infrastructure"]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a datum has no outputs. exit_code: of the last try, None where there was none."""

    kind: FailureClass
    message: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class DatumResult:
    """One line of the datum index.

    outputs: path, oid, size, exec and sha256 of each output file; empty when failed or recovered.
    fetched: (oid, sha256, size) of every input whose bytes the worker read.
    started, finished: milliseconds since the epoch. log: sha256 of the log object, "" for none.
    job: the name of the attempt that did it; a failure counts only for that attempt.
    """

    datum: str
    outputs: Listing = ()
    failure: Failure | None = None
    recovered: bool = False
    tries: int = 1
    started: int = 0
    finished: int = 0
    fetched: tuple[tuple[str, str, int], ...] = ()
    log: str = ""
    job: str = ""


# ------------------------------------------------------------------------------------------------------ runs and jobs


@dataclass(frozen=True, slots=True)
class Environment:
    """Where commands run. id: the environment id (``oci:…``, ``ctx:…``, ``venv:…``). image: as the spec wrote it."""

    id: str
    image: str


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What one job works through: the body of a ``plans/<sha256>`` object.

    datums are in order; shard i of n is ``datums[i::n]``. ``commits`` gives ``<input>_COMMIT`` for each input name.
    job: the attempt's name, which goes into every result.
    """

    stage: Stage
    stage_key: str
    run_key: str
    execution_key: str
    environment: Environment
    commit: str
    commits: tuple[tuple[str, str], ...]
    datums: tuple[Datum, ...]
    job: str = ""


JobState: TypeAlias = Literal["pending", "running", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class JobStatus:
    """What an executor says of a job: a doorbell, never the truth (that is the datum index).

    message: for a failed job, the cause. infrastructure: whether the cause is not the user's.
    """

    state: JobState
    message: str = ""
    infrastructure: bool = False
    restarts: int = 0
