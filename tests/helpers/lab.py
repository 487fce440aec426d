"""A whole installation in a folder: a bare origin, a data remote, a work clone, and controllers on demand.

Stages are shell commands in a folder image without requirements, so that a run costs milliseconds; everything else is
the real thing: git, the local executor with its namespaces, the object store, DVC's formats.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gitdata.backends.git import Git
from gitdata.backends.mail import Mailer
from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.controller.clone import open_clone
from gitdata.controller.config import ControllerSettings
from gitdata.controller.loop import Controller
from gitdata.controller.published import generated_pointers, output_ref
from gitdata.controller.serve import serve
from gitdata.controller.site import Site
from gitdata.controller.visit import OutputCommit, describe
from gitdata.data.transfer import read_listing, read_object
from gitdata.executors.local import LocalExecutor
from helpers.machine import Repo

SETTINGS = ControllerSettings(poll_seconds=1.0, flush_seconds=0.2)


@dataclass
class Lab:
    root: Path
    work: Repo
    log: list[str] = field(default_factory=list)
    container_options: Sequence[str] = ()
    image: str = "image"  # of stages
    executor: type[LocalExecutor] = LocalExecutor  # of controllers

    @classmethod
    def create(cls, root: Path) -> Lab:
        """An origin with one commit on main that has no stages yet, and an empty data remote."""
        origin = Git(root)
        origin.run("init", "--quiet", "--bare", "--initial-branch=main", "origin.git")
        work = Repo.create(root / "work")
        work.git("remote", "add", "origin", str(root / "origin.git"))
        (root / "data").mkdir()
        work.write("image/Dockerfile", "FROM docker.io/library/debian:bookworm-slim\n")
        lab = cls(root, work)
        lab.push("image")
        return lab

    @property
    def origin(self) -> Git:
        return Git(self.root / "origin.git")

    @property
    def store(self) -> ObjectStore:
        return open_store(str(self.root / "data"))

    def stage(self, name: str, script: str, input: dict[str, Any] | None = None, **more: Any) -> None:
        """Write a stage that pipes ``script`` into a shell; its input is the git folder ``in``, a datum an entry."""
        spec = {
            "pipeline": {"name": name},
            "transform": {"image": self.image, "cmd": ["sh", "-e"], "stdin": script.strip().splitlines()},
            "input": input or {"pfs": {"repo": "in", "glob": "/*"}},
            **more,
        }
        self.work.write(f"stages/{name}.json", json.dumps(spec))

    def push(self, message: str, branch: str = "main", *, force: bool = False) -> str:
        sha = self.work.commit(message)
        self.work.git("push", "--quiet", *(["--force"] if force else []), "origin", f"HEAD:refs/heads/{branch}")
        return sha

    @contextmanager
    def controller(
        self, settings: ControllerSettings = SETTINGS, *, mailer: Mailer | None = None, cores: int = 2
    ) -> Iterator[Controller]:
        """A controller in this process, with a clone and an executor of its own."""
        cache = self.root / "cache"
        url = str(self.root / "data")
        git, lock = open_clone(cache, str(self.root / "origin.git"))
        executor = self.executor(
            url,
            {},
            cores=cores,
            cache_home=cache,
            flush_seconds=settings.flush_seconds,
            container_options=self.container_options,
        )
        site = Site(git=git, store=open_store(url), executor=executor, origin=str(self.root / "origin.git"))
        with lock:
            try:
                yield Controller(site, settings, mailer=mailer, say=self.log.append)
            finally:
                executor.close()

    def settle(self, settings: ControllerSettings = SETTINGS, *, mailer: Mailer | None = None) -> list[str]:
        """Run a controller until nothing is left to do; what it said."""
        before = len(self.log)
        with self.controller(settings, mailer=mailer) as controller:
            serve(controller, once=True, stop=threading.Event())
        return self.log[before:]

    def tip(self, branch: str = "main") -> str | None:
        return self.origin.refs(output_ref(branch)).get(output_ref(branch))

    def output(self, branch: str = "main") -> OutputCommit:
        """The tip of the output branch."""
        tip = self.tip(branch)
        assert tip is not None, f"nothing is published; the controller said: {self.log}"
        found = describe(self.origin, tip, branch)
        assert found is not None
        return found

    def states(self, branch: str = "main") -> dict[str, str]:
        return {name: state for name, (state, _, _) in self.output(branch).stages.items()}

    def files(self, stage: str, branch: str = "main") -> dict[str, str]:
        """The text of every file of a stage's output, read through its published pointer."""
        pointer = generated_pointers(self.origin, self.tip(branch))[stage]
        listing = read_listing(self.store, pointer.output.oid)
        return {entry.path: read_object(self.store, entry.oid).decode() for entry in listing}

    def started(self, said: Sequence[str]) -> list[str]:
        """The stages that started a job, in order, from what a controller said."""
        return [line.split(":")[0] for line in said if ": start " in line]


def faster(**more: Any) -> ControllerSettings:
    return replace(SETTINGS, **more)
