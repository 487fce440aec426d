"""Images on a cluster, from the push to the outputs, and what goes wrong: the real command, builder and registry."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pytest

from cluster.registry import Registry
from helpers.cluster_lab import REGION, WORKER, ClusterLab
from helpers.registries import base_image, running_registry

pytestmark = pytest.mark.cluster
COPY = "cp /pfs/in/* /pfs/out/"


@contextmanager
def controller(lab: ClusterLab, registry: str) -> Iterator[subprocess.Popen[bytes]]:
    """The real command, with builds; what it says is in ``said``."""
    config = lab.root / "images.toml"
    config.write_text(
        f'[controller]\npoll_seconds = 0.2\n[executor]\nkind = "kubernetes"\n'
        f'[kubernetes]\nnamespace = "{lab.namespace}"\nworker_image = "{WORKER}"\n'
        f"refresh_seconds = 0.2\nflush_seconds = 0.2\n"
        f'[images]\nregistry = "{registry}"\nbuilder = "buildah"\n'
        f'[remote]\nendpointurl = "{lab.endpoint}"\nregion = "{REGION}"\n'
    )
    process = lab.process("--config", str(config))
    try:
        yield process
        assert process.poll() in (None, -signal.SIGKILL), said(lab)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def said(lab: ClusterLab) -> str:
    return (lab.root / "controller.log").read_text()


def folder(lab: ClusterLab, name: str, dockerfile: str = "FROM scratch\nCOPY . /code\n") -> str:
    lab.work.write(f"images/{name}/Dockerfile", dockerfile)
    lab.work.write(f"images/{name}/unique", f"{uuid4()}\n")
    return f"images/{name}"


def test_a_push_builds_what_it_runs(lab: ClusterLab, image_registry: Registry) -> None:
    lab.work.write("in/a", "one")
    lab.image = folder(lab, "copy")
    lab.stage("first", COPY)
    lab.stage("second", COPY, {"pfs": {"repo": "first", "name": "in", "glob": "/"}})
    commit = lab.push("stages")
    with controller(lab, f"{image_registry.host}/{lab.namespace}"):
        lab.published(commit)
        assert lab.files("second") == {"a": "one"}
        assert said(lab).count("image images/copy: built in") == 1
        images = {job["metadata"]["annotations"]["gitdata.dev/image"] for job in lab.jobs()}
        assert len(images) == 1
        assert images.pop().startswith(f"{image_registry.host}/{lab.namespace}/copy@sha256:")
        lab.work.write("in/b", "two")
        later = lab.push("more data")
        lab.published(later)
        assert lab.files("second") == {"a": "one", "b": "two"}
        assert said(lab).count("built in") == 1
        lab.tidy()


def test_a_broken_dockerfile_fails_its_stage_and_no_other(lab: ClusterLab, image_registry: Registry) -> None:
    lab.work.write("in/a", "one")
    lab.image = folder(lab, "broken", f"FROM {base_image()}\nRUN echo the model is missing; sleep 1; exit 9\n")
    lab.stage("broken", COPY)
    lab.image = folder(lab, "copy")
    lab.stage("good", COPY)
    commit = lab.push("stages")
    with controller(lab, f"{image_registry.host}/{lab.namespace}"):
        lab.published(commit)
        assert lab.states() == {"broken": "failed", "good": "success"}
        [record] = lab.records("failed")
        assert record["cause"] == "user"
        assert "image images/broken: cannot be built" in record["message"]
        assert "the model is missing" in record["message"]
        lab.image = folder(lab, "broken")  # the next push mends it
        lab.published(lab.push("mended"))
        assert lab.states() == {"broken": "success", "good": "success"}
        lab.tidy()


def test_an_image_that_cannot_be_found_fails_its_stage_with_the_registrys_words(
    lab: ClusterLab, image_registry: Registry
) -> None:
    lab.work.write("in/a", "one")
    lab.image = f"{image_registry.host}/team/none:1"
    lab.stage("lost", COPY)
    commit = lab.push("stages")
    with controller(lab, f"{image_registry.host}/{lab.namespace}"):
        lab.published(commit)
        assert lab.states() == {"lost": "failed"}
        assert f"lost: failed: image {lab.image}: its registry has no such image: manifest unknown" in said(lab)
        assert lab.jobs() == []


def test_a_registry_that_is_down_delays_and_fails_nothing(lab: ClusterLab, image_registry: Registry) -> None:
    lab.work.write("in/a", "one")
    with running_registry(base=False) as registry:
        lab.image = folder(lab, "copy")
        lab.stage("folder", COPY)
        lab.image = f"{registry.host}/team/copy:1"
        lab.stage("reference", COPY)
        registry.push("team/copy", "1", [], {})
        registry.stop()
        commit = lab.push("stages")
        with controller(lab, f"{registry.host}/{lab.namespace}"):
            lab.wait("words of it", lambda: "cannot be reached" in said(lab))
            time.sleep(10)
            assert lab.tip() is None
            registry.start()
            lab.published(commit)
            assert lab.states() == {"folder": "success", "reference": "success"}
            assert lab.records("failed") == []
            lab.tidy()


def test_a_controller_that_is_killed_while_it_builds(lab: ClusterLab, image_registry: Registry) -> None:
    lab.work.write("in/a", "one")
    lab.image = folder(lab, "slow", f"FROM {base_image()}\nRUN sleep 5\n")
    lab.stage("slow", COPY)
    commit = lab.push("stages")
    registry = f"{image_registry.host}/{lab.namespace}"
    with controller(lab, registry) as first:
        lab.wait("the start", lambda: "slow: start" in said(lab))
        time.sleep(1)
        first.kill()
        first.wait()
    assert lab.jobs() == []
    with controller(lab, registry):
        lab.published(commit)
        assert lab.states() == {"slow": "success"}
        assert len(lab.jobs()) == 1
        lab.tidy()
