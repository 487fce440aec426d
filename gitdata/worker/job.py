"""What a worker is told on its standard input, first line: which plan, and where everything lies.

Made by executors.local, read by worker.__main__. It may hold the store's credentials and the stage's secrets, which
is why it is not an argument and not a file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class WorkerJob:
    """store, store_options: as for ``open_store``. plan: sha256 of the plan object. shards: into how many it is cut.

    objects: the job's folder of shared objects. scratch: this worker's own folder. code, venv: of the image, or "".
    hidden: host paths that commands must not see. secrets: variable -> value. uid, gid: who runs the command.
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

    def dump(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @staticmethod
    def parse(data: bytes) -> WorkerJob:
        raw = json.loads(data)
        for name in ("hidden", "engine_options"):
            raw[name] = tuple(raw[name])
        for name in ("store_options", "secrets"):
            raw[name] = tuple((first, second) for first, second in raw[name])
        return WorkerJob(**raw)
