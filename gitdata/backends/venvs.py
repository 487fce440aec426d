"""Virtual environments for folder images: uv, or the standard library's ``venv`` and pip where uv does not start.

Called by backends.images alone, under its lock. The settings a person has made for pip count for uv too: a company's
package index and its certificate are usually written there.
"""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

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
    rb"failed to fetch|error sending request|dns error|connection (?:refused|reset)|timed? ?out|network is unreachable"
    rb"|NewConnectionError|name resolution|HTTP status (?:server error|.*\(5\d\d)",
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


def build_venv(place: Path, code: Path, what: str) -> None:
    """Make ``place`` and install ``code``'s requirements. Raises InvalidInputError, RemoteError or MachineError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    env = _environment(os.environ)
    try:
        # Deferred: a controller in a cluster builds no environments, and its image has no uv.
        from uv import find_uv_bin

        program = find_uv_bin()
        _run([program, "venv", "--quiet", "--python", str(base_python()), str(place)], code, env, what)
    except (ImportError, FileNotFoundError, PermissionError):
        _run([str(base_python()), "-m", "venv", str(place)], code, env, what)
        installer = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    else:
        # Compiled now: while stages run, the environment is read-only and each datum would compile it again.
        installer = [
            program,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            str(place / "bin" / "python"),
        ]
    _run([*installer, "-r", "requirements.txt"], code, env, what)


def _run(command: Sequence[str], cwd: Path, env: Mapping[str, str], what: str) -> None:
    done = subprocess.run(
        command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, umask=0o022, check=False
    )
    if done.returncode == 0:
        return
    said = (done.stderr.strip() or done.stdout.strip())[-4000:]
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    text = "; ".join(lines[-6:])[-1500:] or f"exit {done.returncode}"
    if b"No space left" in said or b"os error 28" in said:
        raise MachineError(f"{what}: no space left on the disk for its environment")
    if _NETWORK.search(said):
        raise RemoteError(f"{what}: the package index could not be reached: {text}", transient=True)
    raise InvalidInputError(f"{what}: its requirements cannot be installed: {text}", hint="correct requirements.txt")


def _environment(given: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with pip's settings as uv's, unless uv has its own."""
    env = {name: value for name, value in given.items() if name not in _MISLEADING}
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
