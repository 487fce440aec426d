"""Image references on this machine, through the command line of podman or docker. Nothing else speaks to either.

Called by executors.local (``find_engine``, ``resolve`` while planning, ``bring`` before a job's first datum), by
worker.container for what runs a command, and by whoever must end what was left behind. An image is named by the digest
of its manifest for this platform: a tag says only where to look for one. Nothing of an image is run here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from gitdata.backends.processes import Processes
from gitdata.errors import GitdataError, InvalidInputError, MachineError, RemoteError
from gitdata.text import reason

ENGINES = ("podman", "docker")
PREFIX = "oci:"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HERE_ONLY = "localhost/"  # podman's name for what was built here; a registry there has a port
_PROBE = {"podman": ("info", "--format", "ok"), "docker": ("version", "--format", "{{.Server.Version}}")}
_PROBE_SECONDS = 30
_NETWORK = re.compile(
    r"connection (?:refused|reset)|no such host|timed? ?out|timeout|network is unreachable|temporary failure|EOF$"
    r"|server misbehaving|unexpected http.*5\d\d|received unexpected HTTP status: 5\d\d|toomanyrequests",
    re.IGNORECASE | re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Engine:
    """A program that runs containers. program: its full path.

    pull_seconds: within which an image must be here. call_seconds: within which it must answer all else.
    """

    program: str
    pull_seconds: float = 3600.0
    call_seconds: float = 60.0

    @property
    def is_podman(self) -> bool:
        return PurePath(self.program).name == "podman"

    def resolve(self, image: str, programs: Processes | None = None) -> str:
        """The environment id of a reference: asks the registry what it means now. programs: closing it ends a pull.

        Raises InvalidInputError (no such image), RemoteError (transient), MachineError (transient: no answer in time).
        """
        digest = self._podman_digest(image, programs) if self.is_podman else self._docker_digest(image)
        return PREFIX + digest

    def bring(self, image: str, environment: str, programs: Processes | None = None) -> str:
        """The local id of the image with this environment id, fetched if it is not here. As ``resolve``."""
        digest = environment.removeprefix(PREFIX)
        exact = f"{_repository(image)}@{digest}"
        found = self._inspect(exact, "{{.Id}}") or self._inspect(digest, "{{.Id}}")
        if not found:
            self._pull(image, exact, programs)
            found = self._inspect(exact, "{{.Id}}")
        if not found:
            raise MachineError(f"image {image}: {self.program} does not find {exact} after fetching it")
        return found

    def kill(self, container: str) -> None:
        """End a container at once; one that is not there is no error. Raises MachineError, as all of these do."""
        self._call("kill", container)

    def remove(self, label: str) -> None:
        """End and remove every container with a label ``name=value``."""
        found = self._call("ps", "--all", "--quiet", "--filter", f"label={label}").stdout.split()
        for container in found:
            self._call("kill", container)  # podman's rm --force would ask it to end and wait
            self._call("rm", "--force", container)

    def _podman_digest(self, image: str, programs: Processes | None) -> str:
        here = self._inspect(image, "{{.Digest}}") if image.startswith(_HERE_ONLY) else ""
        if not here:
            self._pull(image, image, programs)  # it has no other way to ask for one platform's manifest
            here = self._inspect(image, "{{.Digest}}")
        return _checked(image, here)

    def _docker_digest(self, image: str) -> str:
        here = self._inspect(image, "{{if not .RepoDigests}}{{.Id}}{{end}}")
        if here:  # built here and in no registry: docker knows no manifest, the id names its content as well
            return _checked(image, here)
        found = json.loads(self._ask(image, "manifest", "inspect", "--verbose", image))
        if isinstance(found, dict):
            return _checked(image, found["Descriptor"]["digest"])
        platform = self._call("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}").stdout.strip()
        fitting = [f["Descriptor"] for f in found if _platform(f["Descriptor"]) == platform]
        if not fitting:
            raise InvalidInputError(f"image {image}: there is none for {platform}")
        return _checked(image, fitting[0]["digest"])

    def _inspect(self, image: str, template: str) -> str:
        """What is known of a local image, "" if it is not here."""
        done = self._call("image", "inspect", "--format", template, image)
        return done.stdout.strip() if done.returncode == 0 else ""

    def _ask(self, image: str, *args: str) -> str:
        done = self._call(*args)
        if done.returncode != 0:
            raise _problem(image, done.stderr)
        return done.stdout

    def _pull(self, image: str, reference: str, programs: Processes | None) -> None:
        programs = programs or Processes()
        code, said = programs.run([self.program, "pull", "--quiet", reference], os.environ, None, self.pull_seconds)
        if code == 0:
            return
        if programs.closed:
            raise MachineError(f"image {image}: it is not fetched: what wanted it ends", transient=True)
        if code is None or code < 0:
            how = f"had not fetched it after {self.pull_seconds:g} s" if code is None else f"got signal {-code}"
            raise MachineError(f"image {image}: {self.program} {how}", transient=True)
        raise _problem(image, said)

    def _call(self, *args: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(
                [self.program, *args],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                text=True,
                errors="replace",
                timeout=self.call_seconds,
                check=False,
            )
        except OSError as error:
            raise MachineError(f"{self.program}: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            words = f"{self.program} {args[0]} did not answer within {self.call_seconds:g} s"
            raise MachineError(words, transient=True) from error


def find_engine() -> Engine:
    """The first engine that is installed and works, found out by asking it. Raises MachineError with what each said."""
    problems = []
    for name in ENGINES:
        program = shutil.which(name)
        if program is None:
            problems.append(f"{name} is not installed")
            continue
        command = [program, *_PROBE[name]]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            problems.append(f"{name}: {reason(error)}")
            continue
        if done.returncode == 0:
            return Engine(program)
        said = done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}"
        problems.append(f"{name} does not work: {said.splitlines()[-1][:300]}")
    raise MachineError(
        f"image references need podman or docker on this machine ({'; '.join(problems)})",
        hint="install or start one of them, name a folder of the repository (stage-images/…), or run on a cluster",
    )


def check_reference(image: str) -> None:
    """Raise InvalidInputError for what cannot be a reference, before a program takes it for an option or a file."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:@/-]*", image) or ".." in image:
        raise InvalidInputError(
            f"image {image} is no folder of this commit and no image reference",
            hint="name a folder of the repository (stage-images/…) or an image of a registry",
        )


def _problem(image: str, said: str) -> GitdataError:
    """What the last words of an engine mean."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = " ".join(lines[-2:])[-800:]
    if "no space left" in said:
        return MachineError(f"image {image}: no space left on the disk for it")
    if _NETWORK.search(said):
        return RemoteError(f"image {image}: the registry could not be reached: {text}", transient=True)
    return InvalidInputError(
        f"image {image}: cannot be had: {text}",
        hint="correct transform.image (the commit has no folder of this name), or log in to the registry",
    )


def _repository(image: str) -> str:
    """A reference without its tag and digest."""
    name = image.partition("@")[0]
    folder, slash, last = name.rpartition("/")
    return folder + slash + last.partition(":")[0]


def _checked(image: str, digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise MachineError(f"image {image}: its digest cannot be found ({digest or 'none'})")
    return digest


def _platform(descriptor: Any) -> str:
    platform = descriptor.get("platform") or {}
    return f"{platform.get('os')}/{platform.get('architecture')}"
