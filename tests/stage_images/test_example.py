"""The cameras example as a whole: its specs are a pipeline, its images are what the demo needs."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from gitdata.formats.spec import load_pipeline
from gitdata.formats.spec_pipeline import sources_of
from helpers.stages import CAMERAS, IMAGES

STAGES = ("validate", "object-detect", "threat-detect", "plot")


def test_the_specs_are_a_pipeline_without_a_remark() -> None:
    files = {f"stages/{name}.json": (CAMERAS / "stages" / f"{name}.json").read_bytes() for name in STAGES}
    folders = [f"stage-images/{name}/Dockerfile" for name in STAGES]
    sources = sources_of([*files, *folders, "images.dvc", "model.dvc", "rules/rule.json"])
    stages = load_pipeline(files, sources)
    assert [stage.name for stage in stages] == list(STAGES)
    assert [stage.warnings for stage in stages] == [()] * len(STAGES)


def test_the_demo_s_images() -> None:
    images, more = (list((CAMERAS / folder).iterdir()) for folder in ("images", "more"))
    assert (len(images), len(more)) == (8, 1)
    assert {path.name for path in images}.isdisjoint(path.name for path in more)
    contents = Counter(hashlib.md5(path.read_bytes()).hexdigest() for path in images)
    assert sorted(contents.values()) == [1, 1, 1, 1, 1, 1, 2]
    named = [path.name for path in images if re.fullmatch(r"dev[123]_[0-9]{10}\.jpg", path.name)]
    assert len(named) == 7
    assert sum(path.stat().st_size for path in images + more) < 300_000


@pytest.mark.parametrize("name", STAGES)
def test_an_image_is_pinned_and_does_not_run_as_root(name: str) -> None:
    lines = (IMAGES / name / "Dockerfile").read_text().splitlines()
    assert lines[0] == "FROM docker.io/library/python:3.11-slim-bookworm"
    assert {"WORKDIR /code", "COPY . /code"} <= set(lines)
    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users
    assert not re.match(r"(root|0)\b", users[-1])
    for line in (IMAGES / name / "requirements.txt").read_text().splitlines():
        assert line.startswith("#") or re.match(r"[a-z0-9-]+==[0-9.]+( ; .*)?$", line), line


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_knows_nothing_of_gitdata(name: str) -> None:
    code = "".join(path.read_text() for path in (IMAGES / name).glob("*.py"))
    assert "gitdata" not in code
