"""k8s-jobs/ as deploy reads it is what Kustomize makes of it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cluster.programs import programs
from gitdata.data.share import share
from gitdata.errors import InvalidInputError
from gitdata.executors.kubernetes_base import kustomize, load
from gitdata.formats.yaml12 import load_yaml_documents

ROOT = Path(__file__).parents[2]


def by_name(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(objects, key=lambda o: (o["kind"], o["metadata"].get("namespace", ""), o["metadata"]["name"]))


@pytest.mark.parametrize("laptop", [False, True], ids=["base", "laptop"])
def test_kubectl_reads_the_same(laptop: bool) -> None:
    found = programs()
    if found is None:
        pytest.skip("Kubernetes: kubectl is not built here; `make test-cluster` builds it")
    folder = ROOT / "k8s-jobs" / ("overlays/laptop" if laptop else "base")
    made = subprocess.run([found / "kubectl", "kustomize", folder], capture_output=True, check=True).stdout
    assert by_name(load_yaml_documents(made, "kubectl")) == by_name(load(share("k8s-jobs"), laptop=laptop))


def test_builds_are_a_component_of_an_overlay(tmp_path: Path) -> None:
    found = programs()
    if found is None:
        pytest.skip("Kubernetes: kubectl is not built here; `make test-cluster` builds it")
    place = os.path.relpath(ROOT / "k8s-jobs", tmp_path.resolve())  # Kustomize takes no absolute ones
    (tmp_path / "kustomization.yaml").write_text(f"resources: [{place}/base]\ncomponents: [{place}/builds]\n")
    made = subprocess.run([found / "kubectl", "kustomize", tmp_path], capture_output=True, check=True).stdout
    assert by_name(load_yaml_documents(made, "kubectl")) == by_name(load(share("k8s-jobs"), builds=True))


def test_the_laptop_asks_for_less() -> None:
    def memory(*, laptop: bool) -> str:
        (one,) = [o for o in load(share("k8s-jobs"), laptop=laptop) if o["kind"] == "Deployment"]
        found: str = one["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["memory"]
        return found

    assert (memory(laptop=False), memory(laptop=True)) == ("512Mi", "128Mi")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("namePrefix: a-\nresources: [o.yaml]\n", "namePrefix is not understood"),
        ("resources: [o.yaml]\npatches: [{path: p.yaml, target: {kind: K, name: b}}]\n", "nothing is called K b"),
    ],
)
def test_what_is_not_understood_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "o.yaml").write_text("kind: K\nmetadata: {name: a}\n")
    (tmp_path / "p.yaml").write_text("[{op: replace, path: /a, value: 1}]")
    (tmp_path / "kustomization.yaml").write_text(text)
    with pytest.raises(InvalidInputError, match=said):
        kustomize(tmp_path)
