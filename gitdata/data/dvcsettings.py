"""DVC's configuration as it counts in one repository: four files, in DVC's order, relative paths resolved.

Called by ``repository``. Reads only.
"""

from __future__ import annotations

import os
from pathlib import Path

from gitdata.backends.machine import in_home
from gitdata.errors import InvalidInputError
from gitdata.formats.dvcconfig import Config, merge, parse_config

MAX_BYTES = 1024 * 1024


def config_files(root: Path) -> tuple[Path, ...]:
    """The files that count, the weakest first: system, global, the repository's, the repository's private one."""
    home = Path(os.environ.get("XDG_CONFIG_HOME") or in_home(".config"))
    system = (os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)[0]
    return (
        Path(os.environ.get("DVC_SYSTEM_CONFIG_DIR") or Path(system, "dvc"), "config"),
        Path(os.environ.get("DVC_GLOBAL_CONFIG_DIR") or home / "dvc", "config"),
        root / ".dvc/config",
        root / ".dvc/config.local",
    )


def load_config(root: Path) -> Config:
    """All files merged, key by key. Raises InvalidInputError naming file and line."""
    config = merge(*(read_config(file) for file in config_files(root)))
    for section, options in config.items():
        if section.startswith("remote.") and options.get("url", "").startswith("remote://"):
            _follow(config, section)
    return config


def read_config(file: Path) -> Config:
    """One file; {} if there is none. Relative paths in it are relative to its own folder."""
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return {}
    try:
        if len(data) > MAX_BYTES:
            raise InvalidInputError(f"{file}: too big for a configuration file")
        config = parse_config(data.decode(), str(file))
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file}: not valid UTF-8") from error
    return resolve_paths(config, file.parent)


def resolve_paths(config: Config, folder: Path) -> Config:
    """``config`` with the paths in it made absolute, as seen from ``folder``."""
    for section, options in config.items():
        key = "dir" if section == "cache" else "url" if section.startswith("remote.") else ""
        value = options.get(key, "")
        if key and value and "://" not in value:
            options[key] = os.path.normpath(folder.absolute() / Path(value).expanduser())
    return config


def _follow(config: Config, section: str) -> None:
    """``remote://<name>/<path>``: below another remote, with that one's options."""
    name, _, path = config[section]["url"].removeprefix("remote://").partition("/")
    base = config.get(f"remote.{name.lower()}", {})
    url = base.get("url", "")
    if not url or url.startswith("remote://"):
        raise InvalidInputError(f"{section}: {config[section]['url']} names no remote that has a url of its own")
    config[section] = {**base, **config[section], "url": url.rstrip("/") + "/" + path}
