"""Virtual environments for folder images: uv, or the standard library's ``venv`` and pip where uv does not start.

Called by backends.images alone, under its lock. The settings a person has made for pip count for uv too: a company's
package index and its certificate are usually written there.
"""

from __future__ import annotations

import configparser
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gitdata.backends.git_records import hide_password
from gitdata.backends.processes import Processes
from gitdata.backends.variables import of_installer
from gitdata.errors import InvalidInputError, MachineError, RemoteError
from gitdata.identity import canonical, sha256

# pip's setting -> uv's variable for it.
_SETTINGS = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "no-index": "UV_NO_INDEX",
    "trusted-host": "UV_INSECURE_HOST",
    "constraint": "UV_CONSTRAINT",
    "cert": "SSL_CERT_FILE",
}
# Variables that may name files and folders, which what installs must see wherever they lie.
_FILES = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_CONSTRAINT",
    "UV_CACHE_DIR", "UV_CONFIG_FILE", "UV_OVERRIDE", "PIP_CACHE_DIR", "PIP_CONFIG_FILE", "NETRC", "SSL_CERT_FILE",
    "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "TMPDIR", "CARGO_HOME", "RUSTUP_HOME", "CUDA_HOME",
    "CUDA_PATH",
)  # fmt: skip
Enclosure = Callable[[Sequence[Path]], Sequence[str]]
_SECONDS = 3600.0  # for each of the programs
_OLDER_NAMES = {"UV_DEFAULT_INDEX": "UV_INDEX_URL", "UV_INDEX": "UV_EXTRA_INDEX_URL"}
# They name another environment than the one being built, or change what Python imports.
_MISLEADING = (
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "PYTHONPATH",
    "PYTHONHOME",
    "UV_SYSTEM_PYTHON",
    "UV_PYTHON",
    "UV_TARGET",
    "UV_PREFIX",
)
_NETWORK = re.compile(
    r"failed to fetch|error sending request|dns error|connection (?:refused|reset)|timed? ?out|network is unreachable"
    r"|NewConnectionError|name resolution|HTTP status (?:server error|.*\(5\d\d)",
    re.IGNORECASE,
)
_OTHER_FILES = re.compile(
    rb"^\s*(?:-[rce]\b|--requirement|--constraint|--editable|\.{0,2}/|[^#]*\bfile:)", re.MULTILINE
)


def base_python() -> Path:
    """The interpreter that environments are made of: this process's own, outside any virtual environment."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def requirements_key(required: bytes, tree: str) -> str:
    """The name of the environment for these requirements; a file that names others counts with its whole folder."""
    where = tree if _OTHER_FILES.search(required) else ""
    return sha256(canonical(["venv", 1, sha256(required), where, sys.version, str(base_python()), sys.platform]))


def build_venv(
    place: Path, code: Path, what: str, programs: Processes, lock: int, enclose: Enclosure = lambda kept: ()
) -> None:
    """Make ``place`` and install ``code``'s requirements.

    lock: a descriptor that what installs keeps open. enclose: the words before a command that keep what requirements
    run from this machine's keys. Raises InvalidInputError, RemoteError or MachineError.
    """
    place.parent.mkdir(parents=True, exist_ok=True)
    env = _environment(os.environ)
    uv = _uv()
    apart = enclose((place, code, *_needed(uv, env)))

    def run(*command: str) -> str:
        return _run(apart, command, code, env, what, programs, lock)

    if uv:
        problem = run(uv, "venv", "--quiet", "--clear", "--python", str(base_python()), str(place))
        # Compiled now: while stages run, the environment is read-only and each datum would compile it again.
        installer = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(place / "bin" / "python")]
    else:
        problem = run(str(base_python()), "-m", "venv", "--clear", str(place))
        installer = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    if problem:  # nothing of the requirements was read yet
        raise MachineError(f"{what}: its environment cannot be made: {problem}", transient=True)
    if problem := run(*installer, "-r", "requirements.txt"):
        raise InvalidInputError(
            f"{what}: its requirements cannot be installed: {problem}", hint="correct requirements.txt"
        )


def _needed(uv: str, env: Mapping[str, str]) -> Iterator[Path]:
    """What an installer reads and writes of a person's files: its program, its cache, its settings and logins."""
    home, config, cache = (Path(env.get(name) or "/") for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"))
    yield from (base_python().parent.parent, *([Path(uv)] if uv else ()))
    yield from (home / ".netrc", home / ".pip", home / ".cargo", home / ".rustup", home / ".local/share/uv")
    for name in ("uv", "pip"):
        yield from (home / ".config" / name, config / name, home / ".cache" / name, cache / name)
    for name in _FILES:
        for word in re.split(r"[\s,]+", env.get(name, "")):
            path = word.partition("=")[2] if "=" in word and "://" in word else word
            path = path.removeprefix("file://")
            if path.startswith("/"):
                yield Path(path)


def _uv() -> str:
    """uv's program, "" where there is none that may be started."""
    try:
        # Deferred: a controller in a cluster builds no environments, and its image has no uv.
        from uv import find_uv_bin

        program = find_uv_bin()
    except (ImportError, FileNotFoundError):
        return ""
    return program if os.access(program, os.X_OK) else ""


def _run(
    apart: Sequence[str],
    command: Sequence[str],
    cwd: Path,
    env: Mapping[str, str],
    what: str,
    programs: Processes,
    lock: int,
) -> str:
    """Why a program failed in its own words, "" if it did not. Raises RemoteError and MachineError for what passes."""
    code, said = programs.run((*apart, *command), env, None, _SECONDS, cwd=cwd, umask=0o022, pass_fds=(lock,))
    if code == 0:
        return ""
    said = hide_password(said.strip()[-4000:])  # an index may be named with its login
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = "; ".join(lines[-6:])[-1500:] or f"exit {code}"
    if programs.closed:
        raise MachineError(f"{what}: its environment is not finished: the job ends", transient=True)
    if code is None:
        raise MachineError(f"{what}: its environment took longer than {_SECONDS:g} s: {text}", transient=True)
    if code < 0:  # by who needed its memory, say
        raise MachineError(f"{what}: {Path(command[0]).name} was killed by signal {-code}", transient=True)
    if "No space left" in said or "os error 28" in said:
        raise MachineError(f"{what}: no space left on the disk for its environment")
    if _NETWORK.search(said):
        raise RemoteError(f"{what}: the package index could not be reached: {text}", transient=True)
    return text


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """What an installer gets of this process's variables, with pip's settings as uv's, unless uv has its own."""
    env = {name: value for name, value in of_installer(given).items() if name not in _MISLEADING}
    for setting, value in _pip_settings(given).items():
        name = _SETTINGS[setting]
        if name in env or _OLDER_NAMES.get(name, name) in env:
            continue
        words = value.split()
        env[name] = ",".join(words) if setting == "find-links" else " ".join(words)
    env["UV_PYTHON_DOWNLOADS"] = "never"
    return env


def _pip_settings(given: Mapping[str, str]) -> dict[str, str]:
    """pip's settings: its files, the more personal ones last, then its variables."""
    home = Path(given.get("HOME") or "/")
    config = Path(given.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), home / ".pip/pip.conf", config / "pip/pip.conf", Path(sys.prefix, "pip.conf")]
    named = given.get("PIP_CONFIG_FILE")
    files = ([] if named == os.devnull else files) + ([Path(named)] if named else [])
    parser = configparser.RawConfigParser(strict=False)
    found: dict[str, str] = {}
    try:
        parser.read(files)
    except (configparser.Error, UnicodeDecodeError):
        parser.clear()  # pip itself will say what is wrong with it
    for section in ("global", "install"):
        if parser.has_section(section):
            found.update({key.replace("_", "-"): value for key, value in parser.items(section)})
    for setting in _SETTINGS:
        if value := given.get("PIP_" + setting.upper().replace("-", "_")):
            found[setting] = value
    return {setting: value for setting, value in found.items() if setting in _SETTINGS and value}
