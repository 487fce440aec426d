"""A document that fits the schema to a ``Stage``: the third step of reading a spec.

Called by ``spec`` alone. Here is everything about one spec that JSON Schema cannot say: globs, durations,
branches, names, secrets written out. What depends on other specs or on the repository's tree is
``spec_pipeline``'s.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal
from typing import Any

from gitdata.formats.spec_schema import Document, Path, show
from gitdata.formats.spec_secrets import RIGHT_WAY, is_secret_name, secret_in
from gitdata.globs import check_glob
from gitdata.model import (
    CrossInput,
    Input,
    Notify,
    Parallelism,
    PfsInput,
    Scheduling,
    Secret,
    Stage,
    Toleration,
    Transform,
    UnionInput,
    leaves,
)

MAX_MILLISECONDS = 366 * 24 * 3600 * 1000

_UNITS = {"ns": Decimal("1e-6"), "us": Decimal("1e-3"), "µs": Decimal("1e-3"), "ms": Decimal(1),
          "s": Decimal(1000), "m": Decimal(60_000), "h": Decimal(3_600_000)}  # fmt: skip
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")
_INPUT_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")
# A stage's output is a folder of this name beside the user's own: these mean something already, here or on Windows.
_RESERVED = frozenset(
    ["out", "pfs", "gitdata", "stages", "con", "prn", "aux", "nul"]
    + [f"{d}{n}" for d in ("com", "lpt") for n in range(10)]
)


@dataclass(frozen=True, slots=True)
class Spec:
    """One document of a spec file as it was understood. label: the file, with ``#n`` where it holds several
    documents.

    stage: None where there are problems. name: the stage's name even then, if it could be read. inputs: each
    ``pfs`` input with the JSON path of its ``repo``. problems: whole lines.
    """

    label: str
    name: str
    stage: Stage | None
    inputs: tuple[tuple[str, PfsInput], ...]
    problems: tuple[str, ...]


def build(raw: dict[str, Any], file: str, label: str, branches: frozenset[str]) -> Spec:
    """The spec in one document; ``branches`` are the names that mean this commit."""
    document = Document(raw)
    _refuse_secrets(document)
    stage = None
    inputs: list[tuple[str, PfsInput]] = []
    if not document.problems:
        stage = _Builder(document, branches, inputs).stage(file, label)
    pipeline = document.value.get("pipeline")
    name = pipeline.get("name") if isinstance(pipeline, dict) else None
    problems = tuple(f"{label}: {where}: {text}" for where, text in document.problems)
    return Spec(label, name if isinstance(name, str) else "", None if problems else stage, tuple(inputs), problems)


def _refuse_secrets(document: Document) -> None:
    transform = document.value.get("transform")
    env = transform.get("env") if isinstance(transform, dict) else None
    named = {k for k, v in env.items() if v and is_secret_name(k)} if isinstance(env, dict) else set()
    for name in sorted(named):
        document.problem(
            ("transform", "env", name),
            f"a variable of this name holds a secret; {RIGHT_WAY} (rename it if it is none)",
        )
    for path, text in _texts(document.value, ()):
        kind = secret_in(text)
        if kind and path[:2] + path[-1:] not in {("transform", "env", name) for name in named}:
            document.problem(path, f"{kind} is written here; {RIGHT_WAY}")


def _texts(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from _texts(inner, (*path, i))


class _Builder:
    def __init__(self, document: Document, branches: frozenset[str], inputs: list[tuple[str, PfsInput]]) -> None:
        self._document = document
        self._branches = branches
        self._inputs = inputs

    def stage(self, file: str, label: str) -> Stage:
        """The stage; what is wrong with it is added to the document's problems."""
        spec = self._document.value
        name = spec["pipeline"]["name"]
        if name.lower() in _RESERVED:
            self._problem(("pipeline", "name"), f"{show(name)} is reserved; choose another name")
        notify = spec.get("notify")
        if notify is not None:
            self._glob(notify["glob"], ("notify", "glob"))
        return Stage(
            name=name,
            transform=self._transform(spec["transform"]),
            input=self._input(spec["input"], ("input",)),
            parallelism=self._parallelism(spec.get("parallelism_spec", {})),
            datum_tries=spec.get("datum_tries") or 3,
            datum_timeout_ms=self._duration("datum_timeout"),
            job_timeout_ms=self._duration("job_timeout"),
            salt=spec.get("salt", ""),
            description=spec.get("description", ""),
            resources=_resources(spec),
            notify=Notify(**notify) if notify is not None else None,
            file=file,
            warnings=tuple(f"{label}: {where}: {text}" for where, text in self._document.warnings),
            scheduling=self._scheduling(spec),
        )

    def _scheduling(self, spec: dict[str, Any]) -> Scheduling:
        raw = spec.get("scheduling_spec", {})
        tolerations = tuple(
            self._toleration(item, ("tolerations", i)) for i, item in enumerate(spec.get("tolerations", []))
        )
        return Scheduling(
            node_selector=tuple(sorted(raw.get("node_selector", {}).items())),
            tolerations=tolerations,
            priority_class=raw.get("priority_class_name", ""),
            pull_secrets=tuple(sorted(set(spec["transform"].get("image_pull_secrets", ())))),
            service_account=spec.get("service_account", ""),
            network=spec.get("network", "closed"),
        )

    def _toleration(self, raw: dict[str, Any], here: Path) -> Toleration:
        made = Toleration(
            key=raw.get("key", ""),
            operator=raw.get("operator", "Equal"),
            value=raw.get("value", ""),
            effect=raw.get("effect", ""),
            seconds=raw.get("toleration_seconds"),
        )
        if made.operator == "Exists" and made.value:
            self._problem((*here, "value"), "means nothing with the operator Exists; remove it")
        if not made.key and made.operator != "Exists":
            self._problem(here, 'has no key; add one, or the operator "Exists" for every taint')
        if made.seconds is not None and made.effect != "NoExecute":
            self._problem((*here, "toleration_seconds"), 'needs the effect "NoExecute"; add it or remove the seconds')
        return made

    def _problem(self, path: Path, text: str) -> None:
        self._document.problem(path, text)

    def _transform(self, raw: dict[str, Any]) -> Transform:
        here: Path = ("transform",)
        env = raw.get("env", {})
        secrets = tuple(self._secret(item, (*here, "secrets", i), env) for i, item in enumerate(raw.get("secrets", [])))
        for field in ("cmd", "err_cmd"):
            if raw.get(field) and not raw[field][0]:
                self._problem((*here, field, 0), "the program's name is empty; name a program")
        if raw.get("stdin") is not None and not raw.get("cmd"):
            self._problem((*here, "stdin"), 'has no command to read it; add "cmd", for example ["sh"]')
        return Transform(
            image=raw.get("image", "").strip(),
            cmd=tuple(raw.get("cmd", ())),
            stdin=_lines(raw, "stdin"),
            err_cmd=tuple(raw.get("err_cmd", ())),
            err_stdin=_lines(raw, "err_stdin"),
            env=tuple(sorted(env.items())),
            secrets=secrets,
            accept_return_code=tuple(sorted(set(raw.get("accept_return_code", ())))),
            working_dir=raw.get("working_dir", ""),
            user=raw.get("user", ""),
        )

    def _secret(self, raw: dict[str, str], here: Path, env: dict[str, str]) -> Secret:
        secret = Secret(**raw)
        if bool(secret.env_var) == bool(secret.mount_path):
            self._problem(here, "needs either env_var (with key) or mount_path; give one of them")
        elif secret.env_var and not secret.key:
            self._problem((*here, "key"), "is missing; name the key of the secret whose value the variable gets")
        elif secret.env_var in env:
            self._problem((*here, "env_var"), f"{show(secret.env_var)} is set by env, too; remove one")
        return secret

    def _parallelism(self, raw: dict[str, Any]) -> Parallelism:
        constant, coefficient = raw.get("constant") or 0, raw.get("coefficient") or 0
        if constant and coefficient:
            self._problem(("parallelism_spec",), "has both constant and coefficient; remove one")
        if coefficient:
            return Parallelism(1, max(1, round(coefficient * 1000)))
        return Parallelism(constant or 1)

    def _duration(self, field: str) -> int:
        text = self._document.value.get(field, "0")
        parts = _DURATION.findall(text)
        milliseconds = sum((Decimal(number) * _UNITS[unit] for number, unit in parts), Decimal(0))
        if milliseconds > MAX_MILLISECONDS:
            self._problem((field,), f"{show(text)} is longer than a year; shorten it or remove it")
            return 0
        return int(milliseconds.to_integral_value(ROUND_CEILING))

    def _glob(self, pattern: str, path: Path) -> None:
        problem = check_glob(pattern)
        if problem:
            self._problem(path, f"{show(pattern)}: {problem}")

    def _input(self, raw: dict[str, Any], path: Path) -> Input:
        ((kind, value),) = raw.items()
        here = (*path, kind)
        if kind in ("pfs", "atom"):
            return self._pfs(value, here)
        inner = tuple(self._input(item, (*here, i)) for i, item in enumerate(value))
        if kind == "union":
            return UnionInput(inner)
        seen: set[str] = set()
        for i, expression in enumerate(inner):
            names = {leaf.name for leaf in leaves(expression)}
            for name in sorted(names & seen):
                text = f"the name {show(name)} is used more than once in a cross; give one input another name"
                self._problem((*here, i), text)
            seen |= names
        return CrossInput(inner)

    def _pfs(self, raw: dict[str, Any], here: Path) -> PfsInput:
        self._glob(raw["glob"], (*here, "glob"))
        repo = repo_path(raw["repo"])
        if repo is None:
            self._problem((*here, "repo"), f"{show(raw['repo'])} is no path inside the repository; name one")
            repo = raw["repo"]
        branch = raw.get("branch", "")
        if branch and branch not in self._branches:
            text = f"{show(branch)} is another branch, which is not supported yet; remove it: an input is this commit's"
            self._problem((*here, "branch"), text)
        name = raw.get("name") or repo.rpartition("/")[2]
        if not _INPUT_NAME.fullmatch(name):
            self._problem(here, f"{show(name)} cannot be a folder below /pfs; give the input a name")
        if name.lower() == "out":
            self._problem((*here, "name" if "name" in raw else "repo"), "/pfs/out is the output; choose another name")
        leaf = PfsInput(repo=repo, glob=raw["glob"], name=name)
        self._inputs.append((self._document.where((*here, "repo")), leaf))
        return leaf


def repo_path(text: str) -> str | None:
    """The path that a person wrote, relative to the repository's top without ``./`` and last ``/``; None if
    it leaves it.
    """
    path = text.removeprefix("./").rstrip("/")
    return None if not path or any(part in ("", ".", "..") for part in path.split("/")) else path


def _lines(raw: dict[str, Any], field: str) -> tuple[str, ...] | None:
    return tuple(raw[field]) if field in raw else None


def _resources(spec: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Requests and limits as sorted pairs such as ("limits.memory", "1G")."""
    found = {}
    for field, short in (("resource_requests", "requests"), ("resource_limits", "limits")):
        for key, value in spec.get(field, {}).items():
            text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, separators=(",", ":"))
            found[f"{short}.{key}"] = text
    return tuple(sorted(found.items()))
