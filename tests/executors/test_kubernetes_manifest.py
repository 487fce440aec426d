"""The Job's manifest, byte for byte, and what a stage may not ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from executors.manifests import GOLDEN, IMAGE, PLAIN, SETTINGS, job
from gitdata.errors import InvalidInputError
from gitdata.executors.kubernetes_manifest import manifest
from gitdata.executors.kubernetes_stage import quantity
from gitdata.model import Scheduling, Secret, Toleration

FOLDER = Path(__file__).parents[1] / "golden" / "kubernetes"


@pytest.mark.parametrize("name", GOLDEN)
def test_the_manifest_is_the_golden_one(name: str) -> None:
    made = json.dumps(GOLDEN[name](), indent=1, sort_keys=True) + "\n"
    assert made == (FOLDER / f"job-{name}.json").read_text()
    assert len(made) < 20_000


def test_only_the_agent_holds_credentials() -> None:
    pod = GOLDEN["rich"]()["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    text = {c["name"]: json.dumps(c) for c in [*pod["initContainers"], *pod["containers"]]}
    assert [name for name, said in text.items() if "AWS_" in said or "gitdata-store" in said] == ["agent"]
    assert "never in a manifest" not in json.dumps(pod)
    mounts = {m["mountPath"]: m.get("subPath") for m in pod["containers"][0]["volumeMounts"] if m["name"] == "work"}
    assert mounts == {"/pfs": "pfs", "/tmp": "tmp", "/gitdata": "ctl"}


def test_the_cluster_replaces_nothing_in_what_the_agent_is_told() -> None:
    settings = replace(SETTINGS, store_url="s3://bucket/$(HOME)", store_options={"region": "$x"})
    agent = manifest(job(), IMAGE, settings, ("echo", "$(HOME)"))["spec"]["template"]["spec"]["initContainers"][1]
    said = {one["name"]: one["value"] for one in agent["env"] if "value" in one}
    assert said["GITDATA_STORE"] == "s3://bucket/$$(HOME)"
    assert json.loads(said["GITDATA_STORE_OPTIONS"]) == {"region": "$$x"}
    assert json.loads(said["GITDATA_COMMAND"]) == ["echo", "$$(HOME)"]


def test_labels_fit_and_whole_digests_are_annotations() -> None:
    made = manifest(job(name="a" * 30 + "-0123456789-12"), IMAGE, SETTINGS)
    assert all(len(value) <= 63 for value in made["metadata"]["labels"].values())
    assert made["metadata"]["annotations"]["gitdata.dev/plan"] == "ab" * 32
    other = manifest(job(), IMAGE, replace(SETTINGS, zone="local/me"))
    label = "app.kubernetes.io/instance"
    assert other["metadata"]["labels"][label] != made["metadata"]["labels"][label]


@pytest.mark.parametrize(
    ("datums", "workers", "shards", "parallel"), [(1, 5, 1, 1), (10, 2, 8, 2), (9999, 900, 1000, 900)]
)
def test_shards(datums: int, workers: int, shards: int, parallel: int) -> None:
    spec = manifest(job(datums=datums, workers=workers), IMAGE, SETTINGS)["spec"]
    assert (spec["completions"], spec["parallelism"], spec["maxFailedIndexes"]) == (shards, parallel, shards)
    assert "ttlSecondsAfterFinished" not in spec


def test_memory_and_disk_are_guaranteed() -> None:
    def asked(**pairs: str) -> Any:
        stage = replace(PLAIN, resources=tuple((k.replace("_", "."), v) for k, v in pairs.items()))
        return manifest(job(stage), IMAGE, SETTINGS)["spec"]["template"]["spec"]["containers"][0]["resources"]

    found = asked(requests_memory="1G", limits_memory="2G", requests_disk="7Gi")
    assert found["requests"]["memory"] == found["limits"]["memory"] == "2G"
    assert found["requests"]["ephemeral-storage"] == found["limits"]["ephemeral-storage"] == "7Gi"
    assert "cpu" not in found["limits"]
    assert asked(requests_gpu="2")["limits"]["nvidia.com/gpu"] == "2"


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"user": "nobody"}, "must be a number"),
        ({"user": "1000:staff"}, "must be a number"),
        ({"user": "99999999999"}, "must be a number"),
        ({"user": "0"}, "root"),
        ({"secrets": (Secret("gitdata-store", "AWS_SECRET_ACCESS_KEY", "KEY"),)}, "may not use it"),
        ({"secrets": (Secret("mine", "", "KEY"),)}, "needs the key"),
        ({"secrets": (Secret("mine"),)}, "where it goes"),
        ({"secrets": (Secret("mine", mount_path="/gitdata"),)}, "cannot be had"),
        ({"secrets": (Secret("mine", mount_path="/pfs/in"),)}, "cannot be had"),
        ({"secrets": (Secret("mine", mount_path="/a/../pfs"),)}, "cannot be had"),
        ({"secrets": (Secret("mine", mount_path="relative"),)}, "cannot be had"),
        ({"secrets": (Secret("mine", mount_path="//pfs"),)}, "cannot be had"),
        ({"user": "1" * 5000}, "must be a number"),
    ],
)
def test_what_a_stage_may_not_ask_for(change: dict[str, Any], word: str) -> None:
    stage = replace(PLAIN, transform=replace(PLAIN.transform, **change))
    with pytest.raises(InvalidInputError, match=word):
        manifest(job(stage), IMAGE, replace(SETTINGS, secrets=("mine",)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("limits.memory", "lots"),
        ("requests.disk", "-1"),
        ("limits.cpu", "1;"),
        ("limits.gpu", '{"type":"gpu","number":1}'),
    ],
)
def test_a_resource_that_is_none(name: str, value: str) -> None:
    with pytest.raises(InvalidInputError):
        manifest(job(replace(PLAIN, resources=((name, value),))), IMAGE, SETTINGS)


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        (Scheduling(priority_class="system-node-critical"), "priority class system-node-critical"),
        (Scheduling(service_account="gitdata-controller"), "service account gitdata-controller"),
        (Scheduling(pull_secrets=("gitdata-store",)), "pull secret gitdata-store"),
        (Scheduling(node_selector=(("node-role.kubernetes.io/control-plane", ""),)), "may not choose nodes"),
        (Scheduling(tolerations=(Toleration(operator="Exists"),)), "every taint"),
        (Scheduling(network="open"), "network: open"),
    ],
)
def test_where_a_stage_may_not_run(asked: Scheduling, word: str) -> None:
    strict = replace(SETTINGS, node_labels=("pool",), open_network=False)
    with pytest.raises(InvalidInputError, match=word):
        manifest(job(replace(PLAIN, scheduling=asked)), IMAGE, strict)
    fine = Scheduling(node_selector=(("pool", "a"),), tolerations=(Toleration("pool", "Exists"),))
    pod = manifest(job(replace(PLAIN, scheduling=fine)), IMAGE, strict)["spec"]["template"]["spec"]
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"pool": "a"}, [{"key": "pool", "operator": "Exists"}])


def test_the_most_that_a_stage_may_ask_for() -> None:
    strict = replace(SETTINGS, max_cpu="2", max_memory="4Gi")
    for name, fine, much in (("cpu", "2000m", "2001m"), ("memory", "4096Mi", "4.3G"), ("memory", "4Gi", "5Gi")):
        for kind in ("limits", "requests"):
            manifest(job(replace(PLAIN, resources=((f"{kind}.{name}", fine),))), IMAGE, strict)
            with pytest.raises(InvalidInputError, match="more than the"):
                manifest(job(replace(PLAIN, resources=((f"{kind}.{name}", much),))), IMAGE, strict)


@pytest.mark.parametrize(
    ("text", "number"),
    [("500m", "0.5"), ("2", "2"), ("1.5Gi", "1610612736"), ("1k", "1000"), ("1Ki", "1024"), ("3E", "3e18")],
)
def test_quantities(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


def test_root_only_where_the_configuration_allows_it() -> None:
    stage = replace(PLAIN, transform=replace(PLAIN.transform, user="0"))
    pod = manifest(job(stage), IMAGE, replace(SETTINGS, allow_root=True))["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsUser"] == 0
    assert "runAsNonRoot" not in pod["securityContext"]
