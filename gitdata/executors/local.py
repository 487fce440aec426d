"""Jobs as processes of this machine: the embedded default, no cluster and no container program needed.

Only a stage whose image is a reference goes through podman or docker.

Made by the commands ``controller`` and ``run``. Jobs live and die with this process: after a restart nothing is known
of them, and the controller plans what is left, which is all in the store. It is no security boundary: it runs stages
that its user trusts, and keeps them from what they have no business with.
"""

from __future__ import annotations

import grp
import os
import pwd
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from gitdata.backends.containers import PREFIX, Engine, check_reference, find_engine
from gitdata.backends.git import Git
from gitdata.backends.images import folder_environment_id, folder_tree, host_environment_id
from gitdata.backends.machine import core_count
from gitdata.backends.users import user_name
from gitdata.bounded import Bounded
from gitdata.errors import InvalidInputError
from gitdata.executors.base import Job, Progress, workers_on
from gitdata.executors.cores import Cores
from gitdata.executors.local_job import LocalJob, Person, Place
from gitdata.executors.local_references import References
from gitdata.executors.scratch import sweep
from gitdata.model import Environment, JobStatus, Stage
from gitdata.worker.private import places
from gitdata.worker.sandbox import ability

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MOST_FOLDERS = 4096
_NONE: Mapping[str, Mapping[str, str]] = MappingProxyType({})


class LocalExecutor:
    """Runs jobs here. cores: how many datums at once over all jobs, None for as many as the machine has.

    secrets: name -> key -> value, what stages may name. container_options: for every ``run`` of podman or docker.
    private: files and folders beside the user's own that commands must not see.
    moment: for how many seconds planning waits for what an image reference means, None: until it is known.
    """

    name = "local"

    def __init__(
        self,
        store_url: str,
        store_options: Mapping[str, str] = MappingProxyType({}),
        *,
        cores: int | None = None,
        cache_home: Path,
        moment: float | None = None,
        flush_seconds: float = 5,
        secrets: Mapping[str, Mapping[str, str]] = _NONE,
        container_options: Sequence[str] = (),
        private: Iterable[str | Path] = (),
    ) -> None:
        count = cores or core_count()
        cache_home = cache_home.resolve()
        self._place = Place(
            store=store_url,
            store_options=tuple(store_options.items()),
            cache_home=cache_home,
            hidden=places((cache_home, *_local_folder(store_url), *private)),
            cores=Cores(count),
            cores_count=count,
            flush_seconds=flush_seconds,
            engine_options=tuple(container_options),
        )
        self._secrets = secrets
        self._engine: Engine | None = None
        self._folders: Bounded[tuple[str, str], str | None] = Bounded(_MOST_FOLDERS)
        self._references = References(moment)
        self._jobs: dict[str, LocalJob] = {}
        self._lock = threading.Lock()
        self._lost = sweep(cache_home)

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        image = stage.transform.image
        if not image:
            self._person(stage)
            return Environment(host_environment_id(), "")
        folder = self._folder(git, commit, image)
        if folder is None:
            check_reference(image)
            self._container_person(stage)
            return Environment(known if known.startswith(PREFIX) else self._means(image, asked), image)
        if not stage.transform.cmd:
            raise InvalidInputError(f"stage {stage.name}: a folder image needs transform.cmd")
        self._person(stage)
        return Environment(folder, image)

    def _folder(self, git: Git, commit: str, image: str) -> str | None:
        """The environment of an image folder, None for a reference. Asked for every stage at each turn."""
        at = (commit, image)
        if at in self._folders:
            return self._folders[at]
        there = folder_tree(git, commit, image) is not None
        found = self._folders[at] = folder_environment_id(git, commit, image) if there else None
        return found

    def workers(self, stage: Stage) -> int:
        return workers_on(stage, 1)  # one machine is one node

    def start(self, job: Job, git: Git) -> None:
        is_reference = job.environment.id.startswith(PREFIX)
        person = self._container_person(job.stage) if is_reference else self._person(job.stage)
        with self._lock:
            if job.name not in self._jobs:
                started = LocalJob(job, git, self._place, person)
                started.start()
                self._jobs[job.name] = started

    def status(self, name: str) -> JobStatus | None:
        found = self._jobs.get(name)
        return found.status if found else None

    def progress(self, name: str) -> Progress:
        found = self._jobs.get(name)
        return found.progress if found else Progress()

    def jobs(self) -> dict[str, JobStatus]:
        with self._lock:
            return {name: job.status for name, job in self._jobs.items()}

    def lost(self) -> set[str]:
        return self._lost - self._jobs.keys()

    def commit(self, name: str) -> str:
        return ""  # nobody else starts jobs of this process

    def is_foreign(self, name: str) -> bool:
        return False

    def cancel(self, name: str) -> None:
        found = self._jobs.get(name)
        if found is not None:
            found.stop("cancelled")

    def forget(self, name: str) -> None:
        with self._lock:
            found = self._jobs.get(name)
            if found is not None and found.status.state in ("succeeded", "failed"):
                del self._jobs[name]

    def close(self) -> None:
        self._references.close()
        with self._lock:
            jobs = list(self._jobs.values())
        for job in jobs:
            job.stop("the controller ended")
        for job in jobs:
            job.join()

    def _person(self, stage: Stage) -> Person:
        user_namespace = ability()
        uid, gid = _user(stage)
        own = os.geteuid()
        if uid is not None and uid != own and (own != 0 or user_namespace):
            raise _another_user(stage)
        if user_namespace:
            uid = gid = None
        return Person(uid, gid, user_namespace, self._variables(stage))

    def _container_person(self, stage: Stage) -> Person:
        user = stage.transform.user
        own = os.geteuid()
        if own != 0 and user.partition(":")[0] not in ("", str(own), user_name()):
            raise _another_user(stage)
        secrets = self._variables(stage)
        for name, value in secrets:
            if "\n" in value or not _VARIABLE.fullmatch(name):
                raise InvalidInputError(
                    f"stage {stage.name}: the secret for {name} has more than one line, or {name} is no plain name; "
                    "a container on this machine cannot be given that",
                    hint="encode it as one line, or run on a cluster",
                )
        with self._lock:
            self._engine = self._engine or find_engine()
        return Person(None, None, False, secrets, self._engine)

    def _means(self, image: str, asked: str) -> str:
        """What a reference means, asked once in the life of this executor, and once for each request."""
        assert self._engine is not None
        return self._references.environment(self._engine, image, asked)

    def _variables(self, stage: Stage) -> tuple[tuple[str, str], ...]:
        found = []
        for secret in stage.transform.secrets:
            if not secret.env_var:
                raise InvalidInputError(
                    f"stage {stage.name}: the local executor cannot give secret {secret.name} as a file yet",
                    hint="give it env_var and key",
                )
            value = self._secrets.get(secret.name, {}).get(secret.key)
            if value is None:
                raise InvalidInputError(
                    f"stage {stage.name}: this controller has no secret {secret.name} with the key {secret.key}",
                    hint="name it in the controller's configuration",
                )
            found.append((secret.env_var, value))
        return tuple(found)


def _another_user(stage: Stage) -> InvalidInputError:
    return InvalidInputError(
        f"stage {stage.name}: transform.user {stage.transform.user} is another user than the one who runs this",
        hint="leave transform.user out, or run the controller as root or on a cluster",
    )


def _user(stage: Stage) -> tuple[int | None, int | None]:
    """uid and gid of ``user[:group]``, names or numbers; None where the stage does not say."""
    text = stage.transform.user
    if not text:
        return None, None
    name, _, group = text.partition(":")
    try:
        if name.isdecimal():
            uid, gid = int(name), _primary_group(int(name))
        else:
            found = pwd.getpwnam(name)
            uid, gid = found.pw_uid, found.pw_gid
        if group:
            gid = int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise InvalidInputError(
            f"stage {stage.name}: transform.user {text}: this machine has no such user or group",
            hint="a number works everywhere",
        ) from error
    return uid, gid


def _primary_group(uid: int) -> int:
    try:
        return pwd.getpwuid(uid).pw_gid
    except KeyError:
        return uid


def _local_folder(url: str) -> list[str]:
    """The folder of a store in a folder, which commands must not see."""
    path = url.removeprefix("file://")
    return [str(Path(path).resolve())] if path.startswith("/") else []
