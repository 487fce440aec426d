"""A sealed machine for one test: its own home, a real git repository, the real programs.

``conftest.py`` hands these out as fixtures. Nothing here imports gitdata: tests call it as a user does.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

BIN = Path(sys.executable).parent
DATE = "1700000000 +0000"

# The developer's own settings that come through the environment; the way to package registries stays.
FORGOTTEN = ("AWS_", "DVC_", "GIT_", "GITDATA_", "RCLONE_", "SENDGRID_", "XDG_", "KUBE")
KEPT = ("GIT_SSL_", "GIT_EXEC_PATH")
FORGOTTEN_NAMES = (
    "NO_COLOR",
    "FORCE_COLOR",
    "COLUMNS",
    "PAGER",
    "EDITOR",
    "VISUAL",
    "PYTHONPATH",
    "PYTHONDONTWRITEBYTECODE",  # every process would compile all it imports
    "VIRTUAL_ENV",
    "CDPATH",
)

GITCONFIG = """\
[user]
	name = Test
	email = test@example.com
[init]
	defaultBranch = main
[advice]
	detachedHead = false
[protocol "file"]
	allow = always
[gc]
	auto = 0
[maintenance]
	auto = false
"""

DVCCONFIG = """\
[core]
    analytics = false
    check_update = false
"""


def sealed_environment(root: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """The environment of a machine that lives in ``root``; writes its home and the settings in it."""
    home = root / "home"
    for folder in ("config", "cache", "data", "state", "dvc-site", "dvc-global", "dvc-system", "run"):
        (home / folder).mkdir(parents=True)
    (home / "run").chmod(0o700)
    (home / ".gitconfig").write_text(GITCONFIG)
    (home / "dvc-global" / "config").write_text(DVCCONFIG)
    env = {
        name: value
        for name, value in inherited.items()
        if name.startswith(KEPT) or not (name.startswith(FORGOTTEN) or name in FORGOTTEN_NAMES)
    }
    env.update(_registry_settings(inherited))
    env.update(
        PATH=f"{BIN}:{env.get('PATH', os.defpath)}",
        HOME=str(home),
        XDG_CONFIG_HOME=str(home / "config"),
        XDG_CACHE_HOME=str(home / "cache"),
        XDG_DATA_HOME=str(home / "data"),
        XDG_STATE_HOME=str(home / "state"),
        XDG_RUNTIME_DIR=str(home / "run"),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_AUTHOR_DATE=DATE,
        GIT_COMMITTER_DATE=DATE,
        GIT_EDITOR="true",
        GIT_TERMINAL_PROMPT="0",
        DVC_SITE_CACHE_DIR=str(home / "dvc-site"),
        DVC_GLOBAL_CONFIG_DIR=str(home / "dvc-global"),
        DVC_SYSTEM_CONFIG_DIR=str(home / "dvc-system"),
        DVC_NO_ANALYTICS="1",
        AWS_EC2_METADATA_DISABLED="true",
        AWS_CONFIG_FILE=str(home / "aws-config"),
        AWS_SHARED_CREDENTIALS_FILE=str(home / "aws-credentials"),
        NO_PROXY="127.0.0.1,localhost",
        no_proxy="127.0.0.1,localhost",
        LC_ALL="C.UTF-8",
        TZ="UTC",
        TERM="dumb",
    )
    return env


def _registry_settings(inherited: Mapping[str, str]) -> dict[str, str]:
    """Stage environments are installed for real: keep the way to the package registry, and uv's cache."""
    home = Path(inherited.get("HOME", "/"))
    config = Path(inherited.get("XDG_CONFIG_HOME") or home / ".config")
    cache = Path(inherited.get("XDG_CACHE_HOME") or home / ".cache")
    settings = {"UV_CACHE_DIR": inherited.get("UV_CACHE_DIR", str(cache / "uv"))}
    for name, path in (
        ("UV_CONFIG_FILE", config / "uv" / "uv.toml"),
        ("PIP_CONFIG_FILE", config / "pip" / "pip.conf"),
        ("NETRC", home / ".netrc"),
    ):
        if name not in inherited and path.is_file():
            settings[name] = str(path)
    return settings


def nobody() -> tuple[str, ...]:
    """The words before a command that run it as `docker run --user 54321` does: no file names the user, it has no home.

    Skips the test where this user may make no namespaces.
    """
    words = ("unshare", "--user", "--map-user=54321")
    tried = subprocess.run([*words, "true"], capture_output=True, text=True, check=False)
    if tried.returncode != 0:
        pytest.skip(f"namespaces: {tried.stderr.strip()}")
    return (*words, "env", *(f"--unset={name}" for name in ("HOME", "USER", "LOGNAME", "XDG_CONFIG_HOME")))


class Program:
    """A real program, run as a user runs it: ``gitdata("add", "x")``; an unexpected exit code fails the test."""

    def __init__(self, *command: str, cwd: Path, env: Mapping[str, str] | None = None) -> None:
        """``env``: on top of the sealed one, for every call."""
        self.command = command
        self.cwd = cwd
        self.env = env or {}

    def __call__(
        self,
        *args: str | Path,
        cwd: Path | str | None = None,
        check: bool = True,
        code: int = 0,
        input: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float = 300,
    ) -> subprocess.CompletedProcess[str]:
        """``code``: the exit code that must come (``check=False``: any). ``env``: on top of the sealed one."""
        words = [*self.command, *map(str, args)]
        done = subprocess.run(
            words,
            cwd=cwd or self.cwd,
            input=input,
            stdin=subprocess.DEVNULL if input is None else None,
            env={**os.environ, **self.env, **(env or {})},
            capture_output=True,
            text=True,
            errors="surrogateescape",
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != code:
            shown = " ".join([Path(words[0]).name, *words[1:]])
            raise AssertionError(
                f"`{shown}` exited {done.returncode}, expected {code}\n"
                f"--- stdout\n{done.stdout}\n--- stderr\n{done.stderr}"
            )
        return done

    def json(self, *args: str | Path, cwd: Path | str | None = None, code: int = 0) -> Any:
        """What the program prints with ``--json``: the whole of its stdout."""
        return json.loads(self(*args, "--json", cwd=cwd, code=code).stdout)


class Repo:
    """A git repository in a folder of the test's own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path, *, bare: bool = False) -> Repo:
        """A new repository; with a first commit unless it is bare."""
        path.mkdir(parents=True)
        repo = cls(path)
        repo.git("init", "--quiet", *(["--bare"] if bare else []))
        if not bare:
            repo.write("README.md", "a repository of a test\n")
            repo.commit("first")
        return repo

    def git(self, *args: str | Path, check: bool = True, env: Mapping[str, str] | None = None) -> str:
        """git's standard output without the last newline. One string with spaces is split into words."""
        words = args[0].split() if len(args) == 1 and isinstance(args[0], str) else [str(arg) for arg in args]
        return Program("git", cwd=self.path)(*words, check=check, env=env).stdout.rstrip("\n")

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file of the working tree, with the folders it needs."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target

    def commit(self, message: str) -> str:
        """Commit everything that git does not ignore; the new sha."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.head()

    def head(self, revision: str = "HEAD") -> str:
        return self.git("rev-parse", revision)

    def clone(self, path: Path, *options: str) -> Repo:
        self.git("clone", "--quiet", *options, str(self.path), str(path))
        return Repo(path)
