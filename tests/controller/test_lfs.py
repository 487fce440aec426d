"""A pointer of Git LFS is never taken for the file that it stands for; stages without one run."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from gitdata.formats.dvc import object_key
from helpers.lab import Lab

POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345678\n"
OID = hashlib.md5(POINTER.encode(), usedforsecurity=False).hexdigest()


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    return Lab.create(tmp_path)


def test_stages_that_would_read_a_pointer_fail_by_name_and_the_others_run(lab: Lab) -> None:
    lab.work.write("rules/model.bin", POINTER)
    lab.work.write("in/a", "a")
    lab.work.write("images/heavy/Dockerfile", "FROM docker.io/library/debian:bookworm-slim\n")
    lab.work.write("images/heavy/weights/net.bin", POINTER)
    lab.work.write("old.dvc", f"outs:\n- md5: {OID}\n  size: {len(POINTER)}\n  hash: md5\n  path: old\n")
    lab.store.write(object_key(OID), POINTER.encode())
    lab.stage("good", "cp /pfs/in/* /pfs/out/")
    lab.stage("input", "cp /pfs/rules/* /pfs/out/", {"pfs": {"repo": "rules", "glob": "/"}})
    lab.stage("data", "cp /pfs/old/* /pfs/out/", {"pfs": {"repo": "old", "glob": "/"}})
    lab.image = "images/heavy"
    lab.stage("heavy", "cp /pfs/in/* /pfs/out/")
    lab.push("stages")
    said = "\n".join(lab.settle())
    assert lab.states() == {"good": "success", "input": "failed", "data": "failed", "heavy": "failed"}
    for name, path in (("input", "rules/model.bin"), ("heavy", "images/heavy/weights/net.bin"), ("data", "old")):
        line = next(line for line in said.splitlines() if line.startswith(f"{name}: failed: "))
        assert f"{path}: a Git LFS pointer, not the file itself" in line
    assert "git lfs pull" in said
