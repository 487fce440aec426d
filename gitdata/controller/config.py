"""The controller's own configuration: a TOML file that only its operator writes (docs/configuration.md).

Endpoint, data root and credentials come from here and the environment, never from a commit. Every key has a default,
so that no file at all is a valid configuration.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from gitdata.backends.builders import BUILDERS, ImageSettings
from gitdata.backends.registry import parse_reference
from gitdata.errors import InvalidInputError
from gitdata.executors.kubernetes_build_manifest import BuildSettings
from gitdata.executors.kubernetes_settings import NAMESPACE, KubernetesSettings
from gitdata.text import reason

_MOST = 1_000_000  # also keeps out infinity and what is no number
_MOST_ID = 2**31 - 1
_LEAST = {  # where 0 would not do
    ("controller", "poll_seconds"): 0.1,  # a poll asks the git server
    ("controller", "supersede_after"): 0,
    ("builds", "poll_seconds"): 0.1,
    ("builds", "keep_seconds"): 60,  # whoever waits for the Job looks at its end
    ("images", "at_once"): 1,
    ("images", "build_seconds"): 1,
}
_NOT_OF_THE_FILE = frozenset({"store_url", "store_options", "zone", "repository"})  # the command says them
_PLURAL = {str: "strings", int: "numbers", dict: "tables"}
_CHOICES = {
    ("controller", "on_supersede"): ("finish", "cancel"),
    ("executor", "kind"): ("local", "kubernetes"),
    ("images", "builder"): ("auto", *BUILDERS, "cluster", "none"),
}
_QUANTITY = (r"[0-9]{1,15}(\.[0-9]{1,9})?([KMGTPE]i|[mkMGTPE])?", "quantity", "500m, 2, 1Gi")
_PLACE = (NAMESPACE, "name of a namespace", "gitdata-jobs")
_PLATFORM = (r"[a-z0-9]+(/[a-z0-9]+){1,2}", "platform", "linux/amd64")
_REGISTRY = (r"[a-z0-9.-]+(:[0-9]+)?(/\S+)?", "registry", "registry.example/team")
_QUEUE = (r"[a-z0-9]([-a-z0-9.]{0,61}[a-z0-9])?", "name of a queue", "team-queue")
_SIZES = dict.fromkeys(("cpu", "memory", "disk", "agent_cpu", "agent_memory", "max_cpu", "max_memory"), _QUANTITY)
_FORMS: Mapping[str, Mapping[str, tuple[str, str, str]]] = {  # what else a text must be: form, its name, an example
    "builds": {**_SIZES, "namespace": _PLACE},
    "images": {"platform": _PLATFORM, "registry": _REGISTRY},
    "kubernetes": {**_SIZES, "namespace": _PLACE, "queue": _QUEUE},
}
_TOLERATION: Mapping[str, tuple[type, str]] = {  # of each key: its kind, its form
    "key": (str, r"([a-z0-9.-]+/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?|"),
    "operator": (str, "Equal|Exists"),
    "value": (str, r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"),
    "effect": (str, "NoSchedule|PreferNoSchedule|NoExecute|"),
    "tolerationSeconds": (int, r"-?[0-9]{1,10}"),
}


@dataclass(frozen=True, slots=True)
class ControllerSettings:
    """``[controller]``. branches: patterns, empty = the default branch. sends: branches whose messages are sent,
    empty = the default branch. poll_seconds: how often to look without a wake-up. cores: 0 = all of the machine.
    on_supersede: ``finish`` or ``cancel`` a commit in progress when a newer one comes. supersede_after: for how many
    seconds a run of it that the newer one does not want may make no progress.
    """

    branches: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    poll_seconds: float = 10.0
    flush_seconds: float = 5.0
    cores: int = 0
    on_supersede: str = "finish"
    supersede_after: float = 600.0


@dataclass(frozen=True, slots=True)
class MailSettings:
    """``[mail]``. host: of SendGrid's interface, "" = SendGrid's own. key_file: a file that holds the key."""

    host: str = ""
    key_file: str = ""


@dataclass(frozen=True, slots=True)
class ExecutorSettings:
    """``[executor]``. kind: ``local`` or ``kubernetes``.

    container_options: for every ``run`` of podman or docker, before the image.
    """

    kind: str = "local"
    container_options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """The whole file. remote: DVC's own keys of the data remote (endpointurl, region, profile, ...).

    secrets: name -> key -> value of what stages may name; the file says where each value is, never the value itself.
    secret_files: those that it names for that.
    """

    controller: ControllerSettings = ControllerSettings()
    mail: MailSettings = MailSettings()
    executor: ExecutorSettings = ExecutorSettings()
    builds: BuildSettings = field(default_factory=BuildSettings)
    images: ImageSettings = field(default_factory=ImageSettings)
    kubernetes: KubernetesSettings = field(default_factory=KubernetesSettings)
    remote: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secret_files: tuple[str, ...] = ()


def read_settings(path: Path | None) -> Settings:
    """The settings in a file, defaults where it is silent. Raises InvalidInputError naming file and key."""
    if path is None:
        return Settings()
    body = read_toml(path)
    unknown = set(body) - {"builds", "controller", "executor", "images", "kubernetes", "mail", "remote", "secrets"}
    if unknown:
        raise InvalidInputError(f"{path}: unknown section [{sorted(unknown)[0]}]", hint="see docs/configuration.md")
    for name, section in body.items():
        if not isinstance(section, dict):
            raise InvalidInputError(f"{path}: {name} must be a section: [{name}]", hint="see docs/configuration.md")
    return Settings(
        controller=_section(path, "controller", ControllerSettings, body.get("controller", {})),
        mail=_section(path, "mail", MailSettings, body.get("mail", {})),
        executor=_section(path, "executor", ExecutorSettings, body.get("executor", {})),
        builds=_section(path, "builds", BuildSettings, body.get("builds", {})),
        images=_section(path, "images", ImageSettings, body.get("images", {})),
        kubernetes=_section(path, "kubernetes", KubernetesSettings, body.get("kubernetes", {}), _NOT_OF_THE_FILE),
        remote={key: _option(path, key, value) for key, value in body.get("remote", {}).items()},
        secrets={name: _secret(path, name, keys) for name, keys in body.get("secrets", {}).items()},
        secret_files=tuple(
            place["file"] for keys in body.get("secrets", {}).values() for place in keys.values() if "file" in place
        ),
    )


def read_toml(path: Path) -> dict[str, Any]:
    """The file as it is. Raises InvalidInputError, OSError."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise InvalidInputError(f"{path}: not TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{path}: not UTF-8 (byte {error.start})", hint="save it as UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"{path}: not TOML: a number is too long, or a list is nested too deeply") from error


def _option(path: Path, key: str, value: Any) -> str:
    if not isinstance(value, str | int | float):
        raise InvalidInputError(f"{path}: [remote] {key}: must be a string, not {value!r}")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _secret(path: Path, name: str, keys: Mapping[str, Any]) -> dict[str, str]:
    """``[secrets.NAME]``: each key is ``{ file = "…" }`` or ``{ env = "…" }``."""
    values = {}
    if not isinstance(keys, dict):
        raise InvalidInputError(f"{path}: [secrets] {name}: must be a section: [secrets.{name}]")
    for key, place in keys.items():
        where = f"{path}: [secrets.{name}] {key}"
        source = dict(place) if isinstance(place, dict) and all(isinstance(v, str) for v in place.values()) else {}
        try:
            if list(source) == ["file"]:
                values[key] = Path(source["file"]).read_text().rstrip("\n")
            elif list(source) == ["env"]:
                values[key] = os.environ[source["env"]]
            else:
                raise InvalidInputError(f"{where}: say where the value is", hint='{ file = "…" } or { env = "…" }')
        except KeyError as error:
            raise InvalidInputError(f"{where}: the variable {error.args[0]} is not set") from error
        except (OSError, ValueError) as error:
            raise InvalidInputError(f"{where}: it cannot be read: {reason(error)}") from error
    return values


def _section(path: Path, name: str, kind: Any, values: Mapping[str, Any], hidden: frozenset[str] = frozenset()) -> Any:
    defaults = {
        f.name: f.default if f.default_factory is MISSING else f.default_factory()
        for f in fields(kind)
        if f.name not in hidden
    }
    made: dict[str, Any] = {}
    for key, value in values.items():
        where = f"{path}: [{name}] {key}"
        if key not in defaults:
            raise InvalidInputError(f"{where}: no such setting", hint=f"known: {', '.join(defaults)}")
        made[key] = _value(where, value, defaults[key])
    _check(path, name, made)
    try:
        return kind(**made)
    except InvalidInputError as error:
        raise InvalidInputError(f"{path}: {error.message}", hint=error.hint) from error


def _value(where: str, value: Any, default: Any) -> Any:
    """A value of the kind that its default has. Raises InvalidInputError."""
    if isinstance(default, tuple):
        items: type = type(default[0]) if default else str
        if where.endswith(" tolerations"):
            items = dict
        if not isinstance(value, list) or not all(type(item) is items for item in value):
            raise InvalidInputError(f"{where}: must be a list of {_PLURAL[items]}")
        if default and len(value) != len(default):
            raise InvalidInputError(f"{where}: must have {len(default)} items")
        return tuple(value)
    if isinstance(default, dict):
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise InvalidInputError(f"{where}: must be a table of strings")
        return value
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not type(default):
        raise InvalidInputError(f"{where}: must be a {type(default).__name__}, not {value!r}")
    if isinstance(value, int | float) and not 0 <= value < _MOST:
        raise InvalidInputError(f"{where}: must be 0 or more, not {value}")
    return value


def _check(path: Path, name: str, made: Mapping[str, Any]) -> None:
    """What a single value cannot say."""
    for (section, key), least in _LEAST.items():
        if section == name and made.get(key, least) < least:
            raise InvalidInputError(f"{path}: [{name}] {key}: must be at least {least}")
    for (section, key), words in _CHOICES.items():
        if section == name and made.get(key, words[0]) not in words:
            raise InvalidInputError(f"{path}: [{name}] {key}: must be {' or '.join(words)}")
    for key, (form, what, example) in _FORMS.get(name, {}).items():
        text = made.get(key)
        if text and not re.fullmatch(form, text):
            raise InvalidInputError(f"{path}: [{name}] {key}: {text!r} is no {what}", hint=f"such as {example}")
    if not all(0 <= number <= _MOST_ID for number in made.get("user", ())):
        raise InvalidInputError(f"{path}: [{name}] user: must be numbers of a user and a group, not {made['user']}")
    for key in ("worker_image", "image"):
        try:
            parse_reference(made.get(key) or "registry.example/none")
        except InvalidInputError as error:
            raise InvalidInputError(f"{path}: [{name}] {key}: {error.message}", hint=error.hint) from error
    for one in made.get("tolerations", ()):
        _check_toleration(f"{path}: [{name}] tolerations", one)
    for host, url in made.get("mirrors", {}).items():
        if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
            raise InvalidInputError(f"{path}: [{name}] mirrors: {host}: {url!r} is no http:// or https:// URL")


def _check_toleration(where: str, one: Mapping[str, Any]) -> None:
    """An item is given to the API server as it is, with each Job."""
    hint = 'as in a pod: { key = "nvidia.com/gpu", operator = "Exists", effect = "NoSchedule" }'
    for key, value in one.items():
        kind, form = _TOLERATION.get(key, (None, ""))
        if type(value) is not kind or not re.fullmatch(form, str(value)):
            raise InvalidInputError(f"{where}: {key} = {value!r} is no part of a toleration", hint=hint)
    exists = one.get("operator") == "Exists"
    if exists and one.get("value"):
        raise InvalidInputError(f"{where}: value means nothing with the operator Exists", hint=hint)
    if not exists and not one.get("key"):
        raise InvalidInputError(f"{where}: {dict(one)} has no key", hint=hint)
    if "tolerationSeconds" in one and one.get("effect") != "NoExecute":
        raise InvalidInputError(f"{where}: tolerationSeconds needs the effect NoExecute", hint=hint)
