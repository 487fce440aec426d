"""Folder images, built and pushed through the command line of buildah, podman or docker. Nothing else speaks to them.

Called by executors.kubernetes_images and by the commands ``images``. The folder is a stranger's: it is exported as
ordinary files, and nothing in it chooses where the image goes or how the builder is called. Registry, builder and
options come from the controller's configuration alone, and no shell ever sees any of it. The builder gets no variable
of ours that it has no use for: what a Dockerfile runs may be able to read them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Protocol

from gitdata.backends.git import Git
from gitdata.backends.images import export_tree, folder_tree
from gitdata.backends.processes import Processes
from gitdata.backends.registry import Logins, Registries, api_of, parse_reference, resolve
from gitdata.backends.variables import of_builder
from gitdata.errors import GitdataError, InvalidInputError, MachineError, RemoteError
from gitdata.text import reason

BUILDERS = ("buildah", "podman", "docker")
DOCKERFILE = "Dockerfile"
_PROBE = {"buildah": ("info",), "podman": ("info",), "docker": ("version", "--format", "{{.Server.Version}}")}
_PROBE_SECONDS = 60.0
_KEPT_LOGS = 100
_SAID_LINES, _TOLD_LINES = 8, 20  # in the message; in the controller's log
_NETWORK = re.compile(
    r"connection (?:refused|reset|timed out)|no such host|i/o timeout|read timed out|timeout exceeded"
    r"|network is unreachable|temporary failure (?:in name resolution|resolving)|newconnectionerror|tls handshake"
    r"|x509:|certificate.verify.failed|server misbehaving|unexpected eof|status(?: code)?:? 5\d\d|bad gateway"
    r"|toomanyrequests",
    re.IGNORECASE,
)
_BROKEN = re.compile(
    r"cannot connect to the docker daemon|newuidmap|newgidmap|[ug]id_map|unshare.*not permitted"
    r"|mounting overlay|error mounting|\b(?:runc|crun)\b.*(?:create|not permitted)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """``[images]`` of the controller's configuration. registry: where folder images go, ``registry.example/team``.

    builder: ``auto``, one of BUILDERS, ``cluster`` (a Job) or ``none``. options: of every build, as that takes them.
    args: build arguments, part of the image's identity. allowed: where stages may take images from, () for anywhere.
    mirrors: host -> base URL of its API. logins: a Docker ``config.json``, "" for none.
    build_seconds: after which a build is ended. at_once: how many builds run at the same time.
    """

    registry: str = ""
    builder: str = "auto"
    options: tuple[str, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    mirrors: Mapping[str, str] = field(default_factory=dict)
    logins: str = ""
    platform: str = "linux/amd64"
    build_seconds: float = 3600.0
    at_once: int = 2


class Builder(Protocol):
    """Builds folders of commits; may be called from several threads."""

    def build(self, git: Git, commit: str, folder: str, reference: str) -> str:
        """Build the folder, push it as ``reference`` (registry/name:tag), return its digest ``sha256:…``.

        Raises InvalidInputError (the folder or its Dockerfile, with the builder's last words), RemoteError (a registry
        or the network), MachineError (no tool, no disk).
        """


def _quiet(text: str) -> None:
    """Nobody is told."""


class LocalBuilder:
    """The builder of this machine. logs: where the whole words of each build are kept, by tag; None for nowhere.

    say: is told the end of a build, and the last lines of one that failed. Whoever makes one closes it.
    """

    def __init__(
        self, settings: ImageSettings, *, logs: Path | None = None, say: Callable[[str], None] = _quiet
    ) -> None:
        self._settings, self._logs, self._say = settings, logs, say
        self._program = ""
        self._lock = threading.Lock()
        self._processes = Processes()

    def build(self, git: Git, commit: str, folder: str, reference: str) -> str:
        self.make(git, commit, folder, reference)
        return self.push(folder, reference)

    def make(self, git: Git, commit: str, folder: str, reference: str) -> None:
        """Build only; the image is this machine's under that name."""
        tree = folder_tree(git, commit, folder)
        if tree is None:
            raise InvalidInputError(f"image {folder}: the commit has no such folder")
        check_dockerfile(git, tree, folder)
        try:
            with tempfile.TemporaryDirectory(prefix="gitdata-build-") as scratch:
                context = export_tree(git, tree, folder, Path(scratch) / "context")
                self.make_from(context, folder, reference)
        except OSError as error:
            raise MachineError(f"image {folder}: cannot be built: {reason(error)}") from error

    def make_from(self, context: Path, what: str, reference: str, *, dockerfile: str = DOCKERFILE) -> None:
        """Build a folder of this machine. dockerfile: its path inside. Raises as ``build``, and OSError."""
        program = self._tool()
        words = ["build", *self._settings.options, "--platform", self._settings.platform, "--tag", reference]
        for name, value in sorted(self._settings.args.items()):
            words += ["--build-arg", f"{name}={value}"]
        if PurePath(program).name != "docker":
            words.append("--layers")  # those of an earlier image are used again
        words += ["--file", str(context / dockerfile), str(context)]
        began = time.monotonic()
        self._run(program, words, what, reference, self._settings.build_seconds)
        self._say(f"image {what}: built in {time.monotonic() - began:.1f} s as {reference}")

    def push(self, what: str, reference: str) -> str:
        """Push what was built; its digest. Raises as ``build``."""
        try:
            return self._push(self._tool(), what, reference)
        except OSError as error:
            raise MachineError(f"image {what}: cannot be pushed: {reason(error)}") from error

    def _push(self, program: str, what: str, reference: str) -> str:
        named = parse_reference(reference)
        if PurePath(program).name == "docker":
            self._run(program, ["push", reference], what, reference, self._settings.build_seconds)
            return resolve(reference, registries(self._settings)).digest
        with tempfile.TemporaryDirectory(prefix="gitdata-push-") as scratch:
            said = Path(scratch) / "digest"
            words = ["push", "--digestfile", str(said)]
            if api_of(named.host, self._settings.mirrors).startswith("http:"):
                words.append("--tls-verify=false")
            self._run(program, [*words, reference], what, reference, self._settings.build_seconds)
            digest = said.read_text().strip()
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest):
            raise MachineError(f"image {what}: {program} names no digest of what it pushed ({digest[:80]!r})")
        return digest

    def close(self) -> None:
        """End what is being built, and build nothing more."""
        self._processes.close()

    # ---------------------------------------------------------------------------------------------------- the tool

    def _tool(self) -> str:
        with self._lock:
            if not self._program:
                self._program = find_builder(self._settings.builder)
            return self._program

    def _run(self, program: str, words: Sequence[str], what: str, reference: str, seconds: float) -> None:
        """Run the builder to its end. Raises GitdataError with its last words."""
        verb, tag = words[0], parse_reference(reference).tag
        with tempfile.TemporaryDirectory(prefix="gitdata-builder-") as scratch:
            command = [program, *self._logged_in(program, words, Path(scratch))]
            if self._logs is None:
                log = Path(scratch) / "log"
            else:
                self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
                log = self._logs / f"{tag}.{verb}.log"
                _remove_oldest(self._logs)
            with log.open("wb") as file:
                code, said = self._processes.run(command, _environment(os.environ), file, seconds)
        if code == 0:
            return
        lines = ["".join(c for c in line if c.isprintable()) for line in said.splitlines() if line.strip()]
        for line in [f"image {what}: {verb} failed:", *(f"    {line[:500]}" for line in lines[-_TOLD_LINES:])]:
            self._say(line)
        whole = f"; all it said is in {log}" if self._logs is not None else ""
        if self._processes.closed:
            raise MachineError(f"image {what}: its {verb} was ended because the controller ends", transient=True)
        if code is None:
            problem = f"image {what}: its {verb} was ended after {seconds:g} s (build_seconds)"
            kind = InvalidInputError if verb == "build" else RemoteError
            raise kind(f"{problem}: {_last(lines)}", hint=f"make it quicker, or raise build_seconds{whole}")
        raise build_problem(what, verb, lines, whole)

    def _logged_in(self, program: str, words: Sequence[str], scratch: Path) -> list[str]:
        """The words with the way to the configured logins."""
        logins = self._settings.logins
        if not logins:
            return list(words)
        if PurePath(program).name == "docker":  # it wants a folder with a file of this name
            (scratch / "config.json").symlink_to(Path(logins).resolve())
            return ["--config", str(scratch), *words]
        return [words[0], "--authfile", str(Path(logins).resolve()), *words[1:]]


def find_builder(wanted: str) -> str:
    """The program that builds, found by asking each that may. Raises MachineError with what each said."""
    if wanted != "auto" and wanted not in BUILDERS:
        raise InvalidInputError(
            f"builder {wanted!r} is no builder of this machine", hint=f"auto, {', '.join(BUILDERS)}"
        )
    problems = []
    for name in BUILDERS if wanted == "auto" else (wanted,):
        program = shutil.which(name)
        if program is None:
            problems.append(f"{name} is not installed")
            continue
        try:
            done = subprocess.run(
                [program, *_PROBE[name]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd="/",
                env=_environment(os.environ),
                timeout=_PROBE_SECONDS,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            problems.append(f"{name}: {reason(error)}")
            continue
        if done.returncode == 0:
            return program
        said = done.stderr.decode(errors="replace").strip() or f"exit {done.returncode}"
        problems.append(f"{name} does not work: {said.splitlines()[-1][:300]}")
    raise MachineError(
        f"folder images need a builder on this machine ({'; '.join(problems)})",
        hint="install or start buildah, podman or docker, or build with `gitdata images push` where there is one",
    )


def registries(settings: ImageSettings, *, allowed: tuple[str, ...] = ()) -> Registries:
    """How registries are asked, as the settings say."""
    logins = Logins(Path(settings.logins)) if settings.logins else None
    return Registries(allowed, settings.mirrors, logins, settings.platform)


def check_dockerfile(git: Git, tree: str, folder: str) -> None:
    """Raise InvalidInputError unless the folder can be an image."""
    if not git.sizes([f"{tree}:{DOCKERFILE}"]):
        raise InvalidInputError(
            f"image {folder}: the folder has no {DOCKERFILE}",
            hint=f"add {folder}/{DOCKERFILE}, or name an image with its registry",
        )


def build_problem(what: str, verb: str, lines: Sequence[str], whole: str = "") -> GitdataError:
    """Whose fault the end of a builder is, by its last words."""
    words, text = _last(lines), "\n".join(lines[-_TOLD_LINES:])
    if "no space left" in text.lower():
        return MachineError(f"image {what}: no space left on the disk for it", hint=f"free some{whole}")
    if _BROKEN.search(text):
        return MachineError(f"image {what}: the builder does not work here: {words}", hint=f"see its options{whole}")
    if _NETWORK.search(text):
        hint = "a network with a proxy or its own authority: see options and args in docs/configuration.md"
        return RemoteError(f"image {what}: {verb}: the network: {words}", hint=f"{hint}{whole}", transient=True)
    if verb == "push":
        return RemoteError(f"image {what}: cannot be pushed: {words}", hint=f"check registry and logins{whole}")
    return InvalidInputError(f"image {what}: cannot be built: {words}", hint=f"correct its {DOCKERFILE}{whole}")


def _remove_oldest(logs: Path) -> None:
    """Keep some logs: another builder may be removing the same ones."""
    with suppress(OSError):
        for old in sorted(logs.glob("*.log"), key=lambda log: log.stat().st_mtime)[:-_KEPT_LOGS]:
            old.unlink(missing_ok=True)


def _last(lines: Sequence[str]) -> str:
    return " | ".join(line.strip() for line in lines[-_SAID_LINES:])[-1500:] or "it said nothing"


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    return {**of_builder(given), "BUILDKIT_PROGRESS": "plain", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1"}
