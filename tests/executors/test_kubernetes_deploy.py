"""What deploy renders: names, images, configuration, keys where they are needed and nowhere else."""

from __future__ import annotations

import base64
import tomllib
from dataclasses import replace
from typing import Any

import pytest

from gitdata.data.share import share
from gitdata.executors.kubernetes_base import load
from gitdata.executors.kubernetes_deploy import Places, Wanted, render, store_rule, without_keys

DIGEST = "sha256:" + "1" * 64
WANTED = Wanted(
    git="https://git.example/team/project.git",
    remote="s3://bucket/data",
    controller_image=f"registry.example/controller@{DIGEST}",
    worker_image=f"registry.example/worker@{DIGEST}",
    secrets={
        "gitdata-store": {"AWS_ACCESS_KEY_ID": "the-id", "AWS_SECRET_ACCESS_KEY": "the-key"},
        "gitdata-git": {"gitconfig": "", "credential": "the-token"},
        "gitdata-mail": {"SENDGRID_API_KEY": "the-mail-key"},
        "gitdata-registry": {".dockerconfigjson": '{"auths": {}}'},
    },
)


def rendered(wanted: Wanted = WANTED, *, laptop: bool = False, builds: bool = False) -> list[dict[str, Any]]:
    return render(load(share("k8s-jobs"), laptop=laptop, builds=builds), wanted)


def one(objects: list[dict[str, Any]], kind: str, name: str, space: str = "") -> dict[str, Any]:
    found = [o for o in objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    (only,) = [o for o in found if not space or o["metadata"].get("namespace") == space]
    return only


def config(objects: list[dict[str, Any]]) -> dict[str, Any]:
    return tomllib.loads(one(objects, "ConfigMap", "gitdata-controller")["data"]["controller.toml"])


def test_each_namespace_has_the_keys_that_it_needs_and_no_others() -> None:
    found: dict[str, set[str]] = {}
    for o in rendered(builds=True):
        if o["kind"] == "Secret":
            found.setdefault(o["metadata"]["namespace"], set()).add(o["metadata"]["name"])
    assert found == {
        "gitdata-system": {"gitdata-store", "gitdata-git", "gitdata-mail", "gitdata-registry"},
        "gitdata-jobs": {"gitdata-store", "gitdata-registry"},
        "gitdata-builds": {"gitdata-store", "gitdata-registry"},
    }


def test_without_builds_nothing_is_privileged() -> None:
    spaces = [o["metadata"] for o in rendered() if o["kind"] == "Namespace"]
    assert {m["name"] for m in spaces} == {"gitdata-system", "gitdata-jobs"}
    assert {m["labels"]["pod-security.kubernetes.io/enforce"] for m in spaces} == {"restricted"}


def test_namespaces_come_first_and_the_controller_last() -> None:
    kinds = [o["kind"] for o in rendered(builds=True)]
    assert kinds[:3] == ["Namespace"] * 3
    assert kinds[-1] == "Deployment"
    assert kinds.index("ServiceAccount") < kinds.index("RoleBinding")


def test_other_namespaces_are_named_everywhere() -> None:
    objects = rendered(replace(WANTED, places=Places("sys", "jobs", "builds")), builds=True)
    text = str([o for o in objects if o["kind"] != "ConfigMap"])
    for name in ("gitdata-system", "gitdata-jobs", "gitdata-builds"):
        assert name not in text
    assert config(objects)["kubernetes"]["namespace"] == "jobs"
    assert one(objects, "ClusterRoleBinding", "sys-nodes")["roleRef"]["name"] == "sys-nodes"
    assert {o["metadata"]["labels"]["gitdata.dev/system"] for o in objects} == {"sys"}


def test_the_controller_is_told_its_repository_and_image() -> None:
    pod = one(rendered(), "Deployment", "gitdata-controller")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == WANTED.controller_image
    assert container["args"][:2] == ["--repo=https://git.example/team/project.git", "--remote=s3://bucket/data"]
    assert pod["imagePullSecrets"] == [{"name": "gitdata-registry"}]
    proxied = rendered(replace(WANTED, env={"HTTPS_PROXY": "http://proxy.example:3128"}))
    env = one(proxied, "Deployment", "gitdata-controller")["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "HTTPS_PROXY", "value": "http://proxy.example:3128"} in env


def test_the_configuration_is_the_users_with_what_deploy_knows() -> None:
    settings = {
        "controller": {"branches": ["main", "release-*"]},
        "kubernetes": {"namespace": "elsewhere", "worker_image": "another", "secrets": ["mine"], "cpu": "2"},
        "remote": {"secret_access_key": "never"},
    }
    options = {"endpointurl": "https://s3.example", "region": "eu-1"}
    found = config(rendered(replace(WANTED, settings=settings, remote_options=options), laptop=True))
    assert found["controller"] == {"branches": ["main", "release-*"]}
    assert found["executor"] == {"kind": "kubernetes"}
    assert found["remote"] == options
    assert found["images"] == {"logins": "/etc/gitdata/registry/config.json"}
    assert found["kubernetes"] == {
        "namespace": "gitdata-jobs",
        "worker_image": WANTED.worker_image,
        "service_account": "gitdata-stage",
        "store_secret": "gitdata-store",
        "pull_secrets": ["gitdata-registry"],
        "secrets": ["mine"],
        "cpu": "2",
        "memory": "256Mi",
        "disk": "1Gi",
        "agent_cpu": "20m",
        "agent_memory": "256Mi",
    }


def test_builds_on_the_cluster_have_their_image_namespace_and_login() -> None:
    wanted = replace(WANTED, builder_image=f"registry.example/b@{DIGEST}", places=Places("s", "j", "b"))
    assert config(rendered(wanted, builds=True))["builds"] == {
        "namespace": "b",
        "image": f"registry.example/b@{DIGEST}",
        "push_secret": "gitdata-registry",
        "pull_secret": "gitdata-registry",
    }
    assert "builds" not in config(rendered())


def test_without_keys_no_secret_is_asked_for() -> None:
    assert config(rendered(replace(WANTED, secrets={})))["kubernetes"]["store_secret"] == ""


def test_another_key_or_setting_makes_another_pod_and_nothing_else_does() -> None:
    def mark(wanted: Wanted) -> str:
        template = one(rendered(wanted), "Deployment", "gitdata-controller")["spec"]["template"]
        found: str = template["metadata"]["annotations"]["gitdata.dev/config"]
        return found

    assert mark(WANTED) == mark(replace(WANTED))
    assert mark(WANTED) != mark(replace(WANTED, secrets={**WANTED.secrets, "gitdata-mail": {"SENDGRID_API_KEY": "x"}}))
    assert mark(WANTED) != mark(replace(WANTED, settings={"controller": {"poll_seconds": 5.0}}))


def test_what_is_shown_has_no_keys() -> None:
    text = str(without_keys(rendered()))
    for secret in ("the-id", "the-key", "the-token", "the-mail-key"):
        assert secret not in text
        assert base64.b64encode(secret.encode()).decode() not in text
    assert base64.b64encode(b"the-key").decode() in str(rendered())


@pytest.mark.parametrize(
    ("endpoint", "to", "port"),
    [
        ("", "0.0.0.0/0", 443),
        ("https://s3.example:9443", "0.0.0.0/0", 9443),
        ("http://s3.example", "0.0.0.0/0", 80),
        ("http://10.88.0.1:9000", "10.88.0.1/32", 9000),
        ("https://[fd00::7]:9000", "fd00::7/128", 9000),
    ],
)
def test_closed_pods_reach_the_object_store_and_no_more_than_can_be_told(endpoint: str, to: str, port: int) -> None:
    rule = store_rule(endpoint)
    assert rule["to"][0]["ipBlock"]["cidr"] == to
    assert rule["ports"] == [{"protocol": "TCP", "port": port}]
    assert to != "0.0.0.0/0" or rule["to"][0]["ipBlock"]["except"] == ["169.254.0.0/16"]


def test_a_store_in_the_cluster_is_named_by_its_namespace() -> None:
    wanted = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "storage"}}}
    for host in ("minio.storage.svc", "minio.storage.svc.cluster.local"):
        assert store_rule(f"http://{host}:9000") == {"to": [wanted]}


def test_the_user_may_say_where_the_store_is() -> None:
    rule = store_rule("https://s3.example", ["10.0.0.0/8"])
    assert rule == {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    policy = one(rendered(replace(WANTED, store_cidrs=["10.0.0.0/8"])), "NetworkPolicy", "gitdata-closed")
    assert policy["spec"]["egress"][-1] == rule
    assert policy["spec"]["egress"][0]["ports"][0]["port"] == 53
