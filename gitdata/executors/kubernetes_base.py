"""The manifests of ``k8s-jobs/``, read as ``kubectl kustomize`` reads them: resources, components, patches.

Called by the command ``deploy`` with the folder that ships beside the package. It knows of Kustomize only what those
files use: a patch is a list of operations (RFC 6902) on the objects of one kind and name. Nothing is changed on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from gitdata.errors import InvalidInputError
from gitdata.formats.yaml12 import load_yaml, load_yaml_documents

Object: TypeAlias = dict[str, Any]

_KNOWN = {"apiVersion", "kind", "resources", "components", "patches"}


def load(folder: Path, *, laptop: bool = False, builds: bool = False) -> list[Object]:
    """All objects, in the order of the files. builds: with what builds on the cluster need."""
    found = kustomize(folder / ("overlays/laptop" if laptop else "base"))
    return found + kustomize(folder / "builds") if builds else found


def kustomize(folder: Path) -> list[Object]:
    """What a folder's ``kustomization.yaml`` says. Raises InvalidInputError for what is not understood."""
    file = folder / "kustomization.yaml"
    wanted = load_yaml(file.read_bytes(), str(file))
    if unknown := set(wanted) - _KNOWN:
        raise InvalidInputError(f"{file}: {min(unknown)} is not understood", hint="use `kubectl kustomize`")
    found: list[Object] = []
    for name in (*wanted.get("resources", ()), *wanted.get("components", ())):
        place = folder / name
        found += kustomize(place) if place.is_dir() else load_yaml_documents(place.read_bytes(), str(place))
    for patch in wanted.get("patches", ()):
        place = folder / patch["path"]
        operations = load_yaml(place.read_bytes(), str(place))
        targets = [o for o in found if (o["kind"], o["metadata"]["name"]) == tuple(patch["target"].values())]
        if not targets:
            raise InvalidInputError(f"{file}: nothing is called {' '.join(patch['target'].values())}")
        for target in targets:
            for operation in operations:
                _change(target, operation, str(place))
    return found


def _change(target: Object, operation: Object, name: str) -> None:
    if operation["op"] not in ("add", "replace"):
        raise InvalidInputError(f"{name}: the operation {operation['op']} is not understood")
    *parents, last = operation["path"].lstrip("/").split("/")
    at: Any = target
    for step in parents:
        at = at[_step(at, step)]
    step = _step(at, last)
    if isinstance(at, list) and operation["op"] == "add":
        at.insert(len(at) if step == "-" else step, operation["value"])
    else:
        at[step] = operation["value"]


def _step(at: Any, text: str) -> Any:
    """One part of a JSON pointer: an index of a list, a key of an object."""
    if isinstance(at, Sequence) and not isinstance(at, str):
        return text if text == "-" else int(text)
    return text.replace("~1", "/").replace("~0", "~")
