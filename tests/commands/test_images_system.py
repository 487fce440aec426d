"""``gitdata images build|push --system``: the system's own images, and that ``gitdata deploy`` finds them.

Minutes the first time on a machine; then their layers are there, for the tests with real pods too.
"""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.registry import Registry
from gitdata.formats.yaml12 import load_yaml_documents
from helpers.builds import build_options
from helpers.machine import Program
from helpers.system_images import kept_storage

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def test_the_systems_own_images_are_built_pushed_and_what_deploy_pins(
    gitdata: Program, image_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The three references that ``push`` prints are those that ``deploy`` finds by itself in that registry.

    Of an installation as a wheel makes it, which nobody edits meanwhile.
    """
    installed = tmp_path / "installed"
    shutil.copytree(ROOT / "gitdata", installed / "gitdata")
    for name in ("stage-images", "k8s-jobs"):
        shutil.copytree(ROOT / name, installed / "gitdata" / "_share" / name)
    monkeypatch.setenv("PYTHONPATH", str(installed))
    registry, config = f"{image_registry.host}/{uuid4().hex[:8]}", tmp_path / "controller.toml"
    options = json.dumps(build_options(tmp_path))
    config.write_text(f'[images]\nregistry = "{registry}"\nbuilder = "buildah"\noptions = {options}\n')
    deploy = ["deploy", "--dry-run", "--git", "https://git.example/team/project.git", "--remote", "s3://bucket/data"]
    deploy += ["--registry", registry]
    with kept_storage(image_registry, tmp_path) as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        built = gitdata("images", "build", "--system", "--config", config, timeout=1800).stdout.splitlines()
        refused = gitdata(*deploy, code=4).stderr
        assert "no such image" in refused, "build pushes nothing"
        assert "gitdata images push --system" in refused
        pushed = gitdata("images", "push", "--system", "--config", config, timeout=1800).stdout.splitlines()
    assert [line.partition("@")[0] for line in pushed] == built
    pinned = {}
    for reference in pushed:
        found = re.fullmatch(rf"({registry}/gitdata-(\w+)):[^@]+@(sha256:[0-9a-f]{{64}})", reference)
        assert found, reference
        pinned[found[2]] = f"{found[1]}@{found[3]}"
    assert set(pinned) == {"worker", "controller", "builder"}
    objects = load_yaml_documents(gitdata(*deploy).stdout.encode(), "dry run")
    (deployment,) = (o for o in objects if o["kind"] == "Deployment")
    (settings,) = (tomllib.loads(o["data"]["controller.toml"]) for o in objects if o["kind"] == "ConfigMap")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == pinned["controller"]
    assert settings["kubernetes"]["worker_image"] == pinned["worker"]
    assert settings["builds"]["image"] == pinned["builder"]
