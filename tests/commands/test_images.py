"""``gitdata images …`` as a person or CI runs it: a real builder, a real registry."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest

from cluster.registry import Registry
from helpers.builds import wait_for
from helpers.machine import BIN, Program, Repo
from helpers.proxy import Fault, Request, misbehaving
from helpers.registries import base_image
from helpers.specs import spec

DOCKERFILE = "FROM scratch\nARG FLAVOUR\nCOPY . /code\n"
POINTER = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e.dir\n  size: 0\n  nfiles: 0\n  hash: md5\n  path: images\n"


@pytest.fixture
def staged(repo: Repo) -> Repo:
    """Two stages of one folder, one of another, one of an image reference."""
    repo.write("images.dvc", POINTER)
    for name, image in (("first", "a"), ("second", "a"), ("third", "b")):
        change = {"pipeline__name": name, "transform__image": f"stage-images/{image}"}
        repo.write(f"stages/{name}.json", json.dumps(spec(**change)))
        repo.write(f"stage-images/{image}/Dockerfile", DOCKERFILE)
        repo.write(f"stage-images/{image}/code", f"{uuid4()}\n")
    named = spec(pipeline__name="fourth", transform__image="registry.example/x:1")
    repo.write("stages/fourth.json", json.dumps(named))
    repo.commit("stages")
    return repo


@pytest.fixture
def config(image_registry: Registry, tmp_path: Path) -> Path:
    file = tmp_path / "controller.toml"
    registry = f"{image_registry.host}/{uuid4().hex[:8]}"
    file.write_text(f'[images]\nregistry = "{registry}"\nbuilder = "buildah"\nargs = {{ FLAVOUR = "x" }}\n')
    return file


def images(gitdata: Program, config: Path, *more: str) -> dict[str, tuple[str, str | None]]:
    """Stage -> reference and digest, as ``list`` says."""
    found = gitdata.json("images", "list", "--config", config, *more)
    return {one["stage"]: (one["reference"], one["digest"]) for one in found["images"]}


def test_push_builds_what_is_not_there_and_says_by_which_digest(staged: Repo, gitdata: Program, config: Path) -> None:
    before = images(gitdata, config)
    assert set(before) == {"first", "second", "third"}
    assert before["first"] == before["second"] != before["third"]
    assert {digest for _, digest in before.values()} == {None}
    done = gitdata("images", "push", "--config", config)
    lines = done.stdout.splitlines()
    assert [line.partition("@")[0] for line in lines] == [before["first"][0], before["third"][0]]
    assert "fourth: runs registry.example/x:1, which is no folder of this commit" in done.stderr
    after = images(gitdata, config)
    assert {f"{reference}@{digest}" for reference, digest in after.values()} == set(lines)
    again = gitdata("images", "push", "--config", config)
    assert again.stdout == done.stdout
    assert "built in" not in again.stderr
    assert again.stderr.count("is there already") == 2


def test_only_the_stages_that_are_named_at_any_commit(staged: Repo, gitdata: Program, config: Path) -> None:
    old = staged.head()
    staged.write("stage-images/b/code", "newer\n")
    staged.commit("newer")
    [line] = gitdata("images", "push", "third", "--rev", old, "--config", config).stdout.splitlines()
    assert images(gitdata, config, "--rev", old)["third"][1] == line.partition("@")[2]
    now = images(gitdata, config)
    assert now["third"][1] is None
    assert now["first"][1] is None
    table = gitdata("images", "list", "--config", config).stdout.splitlines()
    assert re.split(r"\s{2,}", table[0].strip()) == ["STAGE", "FOLDER", "REFERENCE", "DIGEST"]
    assert table[1].endswith("not built")


def test_a_registry_that_hides_what_it_does_not_have(staged: Repo, gitdata: Program) -> None:
    def refuses(request: Request) -> Fault:
        return Fault(status=404 if "/a/" in request.path else 403, headers={"Content-Type": "application/json"})

    with misbehaving("http://127.0.0.1:1") as registry:
        registry.rule = refuses
        done = gitdata("images", "list", "--registry", registry.url.removeprefix("http://") + "/team")
    rows = {line.split()[0]: re.split(r"\s{2,}", line)[-1] for line in done.stdout.splitlines()[1:]}
    assert rows == {"first": "not built", "second": "not built", "third": "not built, or not visible"}
    assert "its registry refuses it" in done.stderr


def test_build_pushes_nothing_and_needs_no_registry(staged: Repo, gitdata: Program, config: Path) -> None:
    done = gitdata("images", "build", "first", "--config", config)
    assert done.stdout == f"{images(gitdata, config)['first'][0]}\n"
    assert "built in" in done.stderr
    assert images(gitdata, config)["first"][1] is None
    assert gitdata("images", "build", "third").stdout.startswith("localhost/b:")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_who_cancels_a_build_leaves_nothing_of_it(
    staged: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    """Of a builder that takes its time to clean up."""
    begun, cleaned, temporary = tmp_path / "begun", tmp_path / "cleaned", tmp_path / "tmp"
    program = tmp_path / "bin/buildah"
    for folder in (program.parent, temporary):
        folder.mkdir()
    program.write_text(
        f'#!/bin/sh\n[ "$1" = info ] && exit\ntrap "sleep 0.3; touch {cleaned}; exit 1" TERM\n'
        f"touch {begun}\nwhile :; do sleep 0.1; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    monkeypatch.setenv("TMPDIR", str(temporary))
    heard = ["env", "--default-signal=INT"]  # a shell's background ignores it
    gitdata = subprocess.Popen([*heard, BIN / "gitdata", "images", "build", "first"], cwd=staged.path)
    wait_for(begun.exists)
    assert list(temporary.glob("gitdata-build-*"))
    gitdata.send_signal(number)
    assert gitdata.wait(60) == code
    assert cleaned.exists()
    assert not list(temporary.iterdir())


def test_what_goes_wrong_is_told(staged: Repo, gitdata: Program, config: Path, tmp_path: Path) -> None:
    assert "no stage is named nobody" in gitdata("images", "build", "nobody", code=6).stderr
    assert "no registry is named" in gitdata("images", "list", code=2).stderr
    assert "takes no stages" in gitdata("images", "push", "first", "--system", "--config", config, code=2).stderr
    gone = gitdata("images", "list", "--registry", "127.0.0.1:1/team", code=7)
    assert "cannot be reached" in gone.stderr
    staged.write("stage-images/a/Dockerfile", f"FROM {base_image()}\nRUN echo the model is missing; sleep 1; exit 4\n")
    assert "stage-images/a: what is not committed is not in its image" in gitdata("images", "build").stderr
    staged.commit("broken")
    broken = gitdata("images", "push", "first", "--config", config, code=4)
    assert "the model is missing" in broken.stderr
    [log] = re.findall(r"all it said is in (\S+)", broken.stderr)
    assert "the model is missing" in Path(log).read_text()
    staged.git("rm", "-q", "stage-images/a/Dockerfile")
    staged.commit("gone")
    assert "has no Dockerfile" in gitdata("images", "list", "--config", config, code=4).stderr
    assert "no git working tree" in gitdata("images", "list", "--config", config, cwd=tmp_path, code=3).stderr
