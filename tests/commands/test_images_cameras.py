"""``gitdata images build`` of the cameras' stages, really built: minutes the first time, then the layers are there."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from cluster.processes import run
from cluster.registry import Registry
from helpers.builds import build_options
from helpers.machine import Program, Repo
from helpers.system_images import kept_storage

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
POINTER = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e.dir\n  size: 0\n  nfiles: 0\n  hash: md5\n  path: {}\n"


def test_the_images_of_the_cameras_are_built(
    repo: Repo, gitdata: Program, image_registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All four, with TensorFlow and matplotlib; they do not run as root."""
    for folder in ("stages", "rules"):
        shutil.copytree(ROOT / "examples" / "cameras" / folder, repo.path / folder)
    shutil.copytree(ROOT / "stage-images", repo.path / "stage-images", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("images", "model"):
        repo.write(f"{name}.dvc", POINTER.format(name))
    repo.commit("the cameras")
    config = tmp_path / "controller.toml"
    registry, options = f"{image_registry.host}/cameras", json.dumps(build_options(tmp_path))
    config.write_text(f'[images]\nregistry = "{registry}"\nbuilder = "buildah"\noptions = {options}\n')
    with kept_storage(image_registry, tmp_path, "cameras") as env:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        built = gitdata("images", "build", "--config", config, timeout=1800).stdout.splitlines()
        assert len(built) == 4
        for reference in built:
            about = json.loads(run("buildah", "inspect", "--type", "image", reference))
            assert about["OCIv1"]["config"]["User"] == "65532:65532", reference
