"""What a worker is told: which plan, and where everything lies.

Made by executors.local, read by worker.__main__ on its standard input, first line: it may hold the store's credentials
and the stage's secrets, which is why it is not an argument and not a file. The agent of a pod makes its own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from gitdata.backends.objects import ObjectStore
from gitdata.errors import InvalidInputError
from gitdata.formats.keys import plan_key
from gitdata.formats.mask import Mask, named_secrets, url_password
from gitdata.formats.plans import parse_plan
from gitdata.identity import sha256
from gitdata.model import RunPlan


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """store, store_options: as for ``open_store``. plan: sha256 of the plan object. shards: into how many it is cut.

    objects: the job's folder of shared objects. scratch: this worker's own folder. code, venv: of the image, or "".
    hidden: host paths that commands must not see. secrets: variable -> value. uid, gid: who runs the command.
    disk: bytes of the volume in which the folders lie, 0 if nobody limits it.
    environment: the worker's variables, which come this way so that nothing beside a command was started with them.
    engine: the program that runs containers, with the local id of the image and further options; "" for the sandbox.
    """

    store: str
    store_options: tuple[tuple[str, str], ...]
    zone: str
    plan: str
    shards: int
    objects: str
    scratch: str
    code: str
    venv: str
    hidden: tuple[str, ...]
    secrets: tuple[tuple[str, str], ...]
    uid: int | None
    gid: int | None
    user_namespace: bool
    flush_seconds: float
    parent: int
    engine: str = ""
    image: str = ""
    engine_options: tuple[str, ...] = ()
    disk: int = 0
    environment: tuple[tuple[str, str], ...] = ()

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    def mask(self) -> Mask:
        """What takes out of a text all secrets that this job knows: the stage's, the store's."""
        known = (*self.store_options, *self.environment)
        return Mask([*(value for _, value in self.secrets), *named_secrets(known), *url_password(self.store)])

    @staticmethod
    def parse(data: bytes) -> WorkerJob:
        raw = json.loads(data)
        for name in ("hidden", "engine_options"):
            raw[name] = tuple(raw[name])
        for name in ("store_options", "secrets", "environment"):
            raw[name] = tuple((first, second) for first, second in raw.get(name, ()))
        return WorkerJob(**raw)


def read_plan(store: ObjectStore, job: WorkerJob) -> RunPlan:
    """The plan that a job names. Raises MissingDataError, InvalidInputError (its bytes are others), RemoteError."""
    key = plan_key(job.zone, job.plan)
    data = store.read(key)
    if sha256(data) != job.plan:
        raise InvalidInputError(f"{key} is damaged: its bytes have another sha256")
    return parse_plan(data, key)
