"""The wheel alone, installed in an empty environment, is the whole product: hooks, schemas, manifests and all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers.machine import BIN, Program, Repo

ROOT = Path(__file__).parent.parent

DATA_FILES = {
    "gitdata/py.typed",
    "gitdata/formats/stage.schema.json",
    "gitdata/_share/k8s-jobs/README.md",
    "gitdata/_share/k8s-jobs/base/accounts.yaml",
    "gitdata/_share/k8s-jobs/base/config.yaml",
    "gitdata/_share/k8s-jobs/base/controller.yaml",
    "gitdata/_share/k8s-jobs/base/kustomization.yaml",
    "gitdata/_share/k8s-jobs/base/namespaces.yaml",
    "gitdata/_share/k8s-jobs/base/network.yaml",
    "gitdata/_share/k8s-jobs/base/rbac.yaml",
    "gitdata/_share/k8s-jobs/builds/builds.yaml",
    "gitdata/_share/k8s-jobs/builds/kustomization.yaml",
    "gitdata/_share/k8s-jobs/job-template.yaml",
    "gitdata/_share/k8s-jobs/overlays/laptop/config.yaml",
    "gitdata/_share/k8s-jobs/overlays/laptop/controller.yaml",
    "gitdata/_share/k8s-jobs/overlays/laptop/kustomization.yaml",
    "gitdata/_share/hooks/forward.sh",
    "gitdata/_share/hooks/post-applypatch",
    "gitdata/_share/hooks/post-commit",
    "gitdata/_share/hooks/post-index-change",
    "gitdata/_share/hooks/prelude.sh",
    "gitdata/_share/hooks/pre-commit",
    "gitdata/_share/hooks/pre-merge-commit",
    "gitdata/_share/hooks/pre-push",
    "gitdata/_share/hooks/post-checkout",
    "gitdata/_share/hooks/post-merge",
    "gitdata/_share/hooks/post-rewrite",
    "gitdata/_share/hooks/post-receive",
    "gitdata/_share/stage-images/builder/Dockerfile",
    "gitdata/_share/stage-images/controller/Dockerfile",
    "gitdata/_share/stage-images/controller/gitdata",
    "gitdata/_share/stage-images/controller/requirements.in",
    "gitdata/_share/stage-images/controller/requirements.txt",
    "gitdata/_share/stage-images/worker/Dockerfile",
    "gitdata/_share/stage-images/worker/launcher.c",
    "gitdata/_share/stage-images/worker/requirements.in",
    "gitdata/_share/stage-images/worker/requirements.txt",
}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git knows, so that leftovers of the checkout cannot help."""
    copy = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in listed.stdout.decode().split("\0")[:-1]:
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=copy, capture_output=True, check=True
    )
    (built,) = (copy / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_the_package_and_exactly_these_data_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if ".dist-info/" not in name and ".data/" not in name}
    sources = {str(path.relative_to(ROOT)) for path in ROOT.glob("gitdata/**/*.py")}
    assert {name for name in inside if name.endswith(".py")} == sources
    assert {name for name in inside if not name.endswith(".py")} == DATA_FILES
    assert any(name.endswith("licenses/LICENSE") for name in names)
    beside = {name.partition(".data/data/")[2] for name in names if ".data/" in name}
    assert beside == {"share/man/man1/git-data.1", "share/man/man1/gitdata.1"}


def test_the_wheel_names_both_commands(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        text = archive.read(entry).decode()
    assert "gitdata = gitdata.cli:main" in text
    assert "git-data = gitdata.cli:main" in text


@pytest.mark.slow
def test_the_wheel_works_alone(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty environment, no checkout: a repository gets its hooks, and a commit goes through them."""
    place = tmp_path / "venv"
    uv = Program(str(BIN / "uv"), cwd=tmp_path)
    uv("venv", "--quiet", "--python", sys.executable, place)
    uv("pip", "install", "--quiet", "--python", place / "bin" / "python", "-c", ROOT / "constraints.txt", wheel)
    monkeypatch.setenv("PATH", os.pathsep.join([str(place / "bin"), "/usr/bin", "/bin"]))
    gitdata = Program(str(place / "bin" / "gitdata"), cwd=tmp_path)
    where = Program(str(place / "bin" / "python"), cwd=tmp_path)("-c", "import gitdata; print(gitdata.__file__)").stdout
    assert Path(where.strip()).is_relative_to(place)
    assert "gitdata init" not in gitdata("--help").stderr
    digest = "sha256:" + "1" * 64
    images = [f"--{name}-image=registry.example/{name}@{digest}" for name in ("controller", "worker")]
    shown = gitdata("deploy", "--dry-run", "--laptop", "--git=https://git.example/p", "--remote=s3://b/p", *images)
    assert "kind: Deployment" in shown.stdout, "the manifests came along"

    repo = Repo.create(tmp_path / "project")
    gitdata("init", "--remote", tmp_path / "remote", cwd=repo.path)
    repo.write("images/a.jpg", b"\xff\xd8 not quite a picture")
    gitdata("add", "images", cwd=repo.path)
    repo.write("stages/copy.json", '{"pipeline": {"name": "copy"}}')
    repo.git("add", "-A")
    refused = Program("git", cwd=repo.path)("commit", "-m", "a broken spec", check=False)
    assert refused.returncode != 0, "the hook checks specs with the schema that the wheel brings"
    assert "stages/copy.json" in refused.stderr
    repo.git("rm", "-rq", "--cached", "stages")
    repo.git("commit", "-q", "-m", "pictures")
    assert "images.dvc" in repo.git("ls-files")
