"""podman or docker for tests (with the machine's own storage): a tiny image made without
a network, a registry on loopback."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gitdata.backends.containers import Engine, find_engine
from gitdata.errors import MachineError

IMAGE = "localhost/gitdata-test:1"
_PROGRAMS = """basename cat chmod cp date echo env false find head id ln ls mkdir mkfifo printf pwd rm rmdir
setsid sh sleep sort test touch true wc"""
# Some machines (a sandbox around the kernel, a container) have no crun and let nobody raise limits.
_OPTIONS: tuple[tuple[str, ...], ...] = (
    (),
    ("--runtime=runc", "--ulimit=nofile=1024:4096", "--ulimit=nproc=1000:1000"),
)


def _readable(info: tarfile.TarInfo) -> tarfile.TarInfo:
    """Whatever the umask here."""
    info.mode = 0o755
    return info


@dataclass(frozen=True)
class Containers:
    """engine: works here, with these options. folder: of the session. environment: its settings."""

    engine: Engine
    options: tuple[str, ...]
    folder: Path
    environment: dict[str, str]

    def call(self, *args: str) -> str:
        done = subprocess.run(
            [self.engine.program, *args], env={**os.environ, **self.environment}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def make_image(self, name: str, content: str = "", *changes: str) -> None:
        """An image of busybox alone. content: makes it another image than one with other content."""
        made = self.folder / "image.tar"
        with tarfile.open(made, "w") as tar:
            for name_ in ("bin", "etc"):
                place = tarfile.TarInfo(name_)
                place.type, place.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(place)
            tar.add("/bin/busybox", "bin/busybox", filter=_readable)
            for program in _PROGRAMS.split():
                link = tarfile.TarInfo(f"bin/{program}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
            for name_, text in (
                ("etc/passwd", "root:x:0:0::/:/bin/sh\nuser:x:4321:4321::/:/bin/sh\n"),
                ("content", content),
            ):
                file = self.folder / "file"
                file.write_text(text)
                tar.add(file, name_, filter=_readable)
        self.call(
            "import", *(f"--change={c}" for c in ("ENV LANG=C.UTF-8", "ENV PATH=/bin", *changes)), str(made), name
        )

    def existing(self, home: Path, *states: str) -> list[str]:
        """The containers of jobs below a cache home; states: only those whose status begins so (``Up``)."""
        lines = self.call("ps", "--all", "--format", "{{.Status}}|{{.Labels}}").splitlines()
        return [line for line in lines if f"{home}/" in line and line.startswith(states or "")]


def find_containers(folder: Path) -> Containers | str:
    """What works on this machine, or why nothing does."""
    if not Path("/bin/busybox").exists():
        return "there is no /bin/busybox; `apt-get install busybox-static podman` brings what is needed"
    if b"\0/lib" in Path("/bin/busybox").read_bytes()[:4096]:
        return "/bin/busybox is not static; `apt-get install busybox-static` replaces it"
    registries = folder / "registries.conf"
    registries.write_text('[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n')
    environment = {"CONTAINERS_REGISTRIES_CONF": str(registries)}
    if os.geteuid() != 0:  # an ordinary user's images are in the home folder, and each test has its own
        environment["XDG_DATA_HOME"] = str(folder / "data")
    try:
        engine = find_engine()
    except MachineError as error:
        return error.message
    found = Containers(engine, (), folder, environment)
    found.make_image(IMAGE)
    said = ""
    for options in _OPTIONS:
        command = [engine.program, "run", "--rm", "--network=host", *options, IMAGE, "true"]
        done = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
        if done.returncode == 0:
            return Containers(engine, options, folder, environment)
        said = done.stderr
    return f"{engine.program} cannot run a container: {said}"


@contextmanager
def registry(folder: Path) -> Iterator[str | None]:
    """A registry on loopback, its host and port; None where Debian's docker-registry is not installed."""
    program = shutil.which("docker-registry")
    if program is None:
        yield None
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = folder / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder}/registry}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    server = subprocess.Popen([program, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
