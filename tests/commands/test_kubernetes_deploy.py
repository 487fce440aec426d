"""gitdata deploy and undeploy before a real API server: what is applied, who may do what, what is admitted."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pty
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from cluster.api import Api, ApiError
from cluster.processes import eventually
from cluster.testbed import Cluster
from executors.manifests import GOLDEN, SETTINGS
from gitdata.backends.builders import ImageSettings
from gitdata.cli import main
from gitdata.executors.kubernetes_build_manifest import BuildSettings, build_job
from gitdata.formats.yaml12 import load_yaml_documents
from helpers.machine import Repo
from helpers.s3 import S3

pytestmark = pytest.mark.cluster

Object = dict[str, Any]
DIGEST = "sha256:" + "1" * 64
ROOTS = {"Deployment": "/apis/apps/v1", "NetworkPolicy": "/apis/networking.k8s.io/v1"}
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PLURALS = {"NetworkPolicy": "networkpolicies", "ValidatingAdmissionPolicy": "validatingadmissionpolicies"}


def path_of(o: Object) -> str:
    kind, meta = o["kind"], o["metadata"]
    root = ROOTS.get(kind, RBAC if "Role" in kind else ADMISSION if "Admission" in kind else "/api/v1")
    space = f"/namespaces/{meta['namespace']}" if "namespace" in meta else ""
    return f"{root}{space}/{PLURALS.get(kind, kind.lower() + 's')}/{meta['name']}"


def is_part(part: Any, whole: Any) -> bool:
    """Whether the server has at least what was asked for (it adds defaults)."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and is_part(v, whole[k]) for k, v in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(part) == len(whole) and all(map(is_part, part, whole))
    return bool(part == whole)


@dataclass
class Site:
    """One gitdata of its own in the shared cluster."""

    cluster: Cluster
    capsys: pytest.CaptureFixture[str]
    name: str

    @property
    def places(self) -> list[str]:
        return [word for p in ("system", "jobs", "builds") for word in (f"--namespace-{p}", f"{self.name}-{p}")]

    def gitdata(self, *words: str | Path, code: int = 0) -> str:
        """The verb in this process: starting the Kubernetes client anew each time would take most of the time."""
        self.capsys.readouterr()
        ended = main([*map(str, words), "--kubeconfig", str(self.cluster.kubeconfig), *self.places])
        said = self.capsys.readouterr()
        assert ended == code, said.out + said.err
        return said.err if code else said.out

    def deploy(self, *more: str | Path, code: int = 0) -> str:
        return self.gitdata(
            *("deploy", "--git", "https://git.example/team/project.git", "--remote", "s3://bucket/data"),
            *("--registry", "registry.example/team", "--no-wait"),
            *("--controller-image", f"registry.example/c@{DIGEST}", "--worker-image", f"registry.example/w@{DIGEST}"),
            *("--builder-image", f"registry.example/b@{DIGEST}"),
            *("--git-token-env", "THE_TOKEN", "--mail-key-env", "THE_MAIL_KEY", *more),
            code=code,
        )

    def undeploy(self, *more: str, code: int = 0) -> str:
        return self.gitdata("undeploy", *more, code=code)

    def objects(self) -> list[Object]:
        return load_yaml_documents(self.deploy("--dry-run", "--show-secrets").encode(), "dry run")

    def controller_kubeconfig(self) -> str:
        """Its service account's, as a kubeconfig."""
        plane = self.cluster.plane
        server = {"server": plane.url, "certificate-authority": str(plane.credentials.folder / "ca.crt")}
        return json.dumps(
            {
                "clusters": [{"name": "c", "cluster": server}],
                "users": [{"name": "u", "user": {"token": self.token()}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )

    def controller(self) -> Api:
        """The API as the controller's service account may use it."""
        return self.cluster.plane.api(token=self.token())

    def token(self) -> str:
        at = f"/api/v1/namespaces/{self.name}-system/serviceaccounts/gitdata-controller/token"
        token = self.cluster.api.create(at, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest"})
        return str(token["status"]["token"])


@pytest.fixture
def site(api_cluster: Cluster, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Site:
    keys = {"AWS_ACCESS_KEY_ID": "the-id", "AWS_SECRET_ACCESS_KEY": "the-key"}
    for name, value in {**keys, "THE_TOKEN": "the-token", "THE_MAIL_KEY": "the-mail-key"}.items():
        monkeypatch.setenv(name, value)
    return Site(api_cluster, capsys, f"gd-{uuid4().hex[:8]}")


@pytest.fixture
def deployed(site: Site) -> Site:
    site.deploy()
    return site


def test_what_a_dry_run_prints_is_what_is_applied_and_twice_changes_nothing(site: Site) -> None:
    wanted = site.objects()
    said = site.deploy()
    api = site.cluster.api
    first = [api.get(path_of(o)) for o in wanted]
    assert [o["kind"] for o, there in zip(wanted, first, strict=True) if not is_part(o, there)] == []
    assert said.count(" applied") == len(wanted) >= 20
    site.deploy()
    second = [api.get(path_of(o)) for o in wanted]
    assert [o["metadata"]["resourceVersion"] for o in first] == [o["metadata"]["resourceVersion"] for o in second]
    site.deploy("--env", "HTTPS_PROXY=http://proxy.example:3128", "--laptop")
    third = [api.get(path_of(o)) for o in wanted]
    changed = {b["kind"] for a, b in zip(second, third, strict=True) if version(a) != version(b)}
    assert changed == {"Deployment", "ConfigMap"}


def version(o: Object) -> object:
    return o["metadata"].get("generation", o["metadata"]["resourceVersion"])


def test_kubectl_takes_what_a_dry_run_prints(site: Site, tmp_path: Path) -> None:
    """Strictly: a field that the server does not know would be refused."""
    for options in ([], ["--laptop"]):
        file = tmp_path / "all.yaml"
        text = site.deploy("--dry-run", *options)
        file.write_text(text)
        assert "the-key" not in text
        assert base64.b64encode(b"the-key").decode() not in text
        site.cluster.kubectl("apply", "--validate=strict", "-f", file)
    again = site.cluster.kubectl("diff", "-f", file)
    assert again == ""


def test_the_controller_may_do_what_it_must_and_nothing_else(deployed: Site) -> None:
    expected = {
        ("batch", "jobs"): {"create", "get", "list", "watch", "patch", "delete"},
        ("", "pods"): {"list", "watch"},
        ("", "events"): {"list"},
    }
    builds = {("batch", "jobs"): {"create", "get", "delete"}, ("", "pods"): {"list"}, ("", "events"): {"list"}}
    for place, wanted in (("jobs", expected), ("builds", builds), ("system", {})):
        nodes: dict[tuple[str, str], set[str]] = {("", "nodes"): {"list"}}
        assert _rules(deployed, f"{deployed.name}-{place}") == wanted | nodes
    assert _rules(deployed, "kube-system") == {("", "nodes"): {"list"}}


def _rules(site: Site, namespace: str) -> dict[tuple[str, str], set[str]]:
    """All that the controller may do there, but what every account may ask about itself."""
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    review = site.controller().create("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", body)
    found: dict[tuple[str, str], set[str]] = {}
    for rule in review["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return {key: verbs for key, verbs in found.items() if not key[1].startswith("self")}


def test_the_controller_reads_no_secret_and_makes_no_pod(deployed: Site) -> None:
    api, admin = deployed.controller(), deployed.cluster.api
    jobs = f"/api/v1/namespaces/{deployed.name}-jobs"
    assert admin.get(f"{jobs}/secrets/gitdata-store")["data"]["AWS_ACCESS_KEY_ID"]
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    forbidden: list[Callable[[], object]] = [
        lambda: api.get(f"{jobs}/secrets/gitdata-store"),
        lambda: api.get(f"{jobs}/secrets"),
        lambda: api.get(f"/api/v1/namespaces/{deployed.name}-system/secrets/gitdata-mail"),
        lambda: api.create(f"{jobs}/pods", pod),
        lambda: api.create(f"{jobs}/serviceaccounts/gitdata-stage/token", {}),
        lambda: api.get("/api/v1/namespaces"),
        lambda: api.get("/apis/batch/v1/jobs"),
        lambda: api.patch(f"{RBAC}/namespaces/{deployed.name}-jobs/roles/gitdata-controller", {"rules": []}),
    ]
    assert [said.status if (said := refusal(act)) else None for act in forbidden] == [403] * len(forbidden)
    job = GOLDEN["plain"]()
    job["metadata"]["namespace"] = f"{deployed.name}-jobs"
    path = f"/apis/batch/v1/namespaces/{deployed.name}-jobs/jobs"
    assert api.create(path, job)["metadata"]["name"] == job["metadata"]["name"]
    assert len(api.list(path)) == 1
    api.delete(f"{path}/{job['metadata']['name']}")


def test_what_the_namespaces_admit(deployed: Site) -> None:
    def admitted(place: str, pod: Object, account: str) -> bool:
        pod = {**pod, "spec": {**pod["spec"], "serviceAccountName": account}}
        said = refusal(
            lambda: deployed.cluster.api.create(f"/api/v1/namespaces/{deployed.name}-{place}/pods", pod, dryRun="All")
        )
        assert said is None or "violates PodSecurity" in str(said)
        return said is None

    template = GOLDEN["plain"]()["spec"]["template"]
    stage = {"metadata": {**template["metadata"], "name": "p"}, "spec": template["spec"]}
    (deployment,) = [o for o in deployed.objects() if o["kind"] == "Deployment"]
    own = {"metadata": {"name": "c"}, "spec": deployment["spec"]["template"]["spec"]}
    caps = {"runAsUser": 0, "capabilities": {"add": ["SYS_ADMIN"]}}
    root = {"metadata": {"name": "r"}, "spec": {"containers": [{"name": "a", "image": "b", "securityContext": caps}]}}
    assert admitted("jobs", stage, "gitdata-stage")
    assert admitted("system", own, "gitdata-controller")
    assert not admitted("jobs", root, "gitdata-stage")
    assert not admitted("system", root, "gitdata-controller")
    build = {"metadata": {"name": "b"}, "spec": _build(deployed)["spec"]["template"]["spec"]}
    assert admitted("builds", build, "gitdata-build")


def test_undeploy_leaves_nothing_and_touches_nothing_else(deployed: Site) -> None:
    api, system, jobs = deployed.cluster.api, f"{deployed.name}-system", f"{deployed.name}-jobs"
    wanted = deployed.objects()
    (deployment,) = [o for o in wanted if o["kind"] == "Deployment"]
    owner = deployment["metadata"]["annotations"]["gitdata.dev/owner"]
    ours, theirs = GOLDEN["plain"](), GOLDEN["plain"]()
    ours["metadata"] |= {"namespace": jobs, "name": "ours"}
    ours["metadata"]["labels"]["app.kubernetes.io/instance"] = owner
    theirs["metadata"] |= {"namespace": jobs, "name": "theirs"}
    theirs["metadata"]["labels"]["app.kubernetes.io/instance"] = "another"
    for job in (ours, theirs):
        api.create(f"/apis/batch/v1/namespaces/{jobs}/jobs", job)
    builds, reference = f"{deployed.name}-builds", "registry.example/team/count:1"
    settings = BuildSettings(image=f"registry.example/b@{DIGEST}", namespace=builds)
    build = build_job(reference, "1" * 64, "images/count", settings, SETTINGS, ImageSettings())
    api.create(f"/apis/batch/v1/namespaces/{builds}/jobs", build)
    api.create(f"/api/v1/namespaces/{jobs}/secrets", {"metadata": {"name": "mine"}})
    assert "say --yes" in deployed.undeploy(code=2)
    said = deployed.undeploy("--yes", "--keep-namespaces")
    assert f"job {jobs}/ours deleted" in said
    assert f"job {builds}/{build['metadata']['name']} deleted" in said
    there = [path_of(o) for o in wanted if _is_there(api, path_of(o))]
    assert there == [f"/api/v1/namespaces/{deployed.name}-{place}" for place in ("system", "jobs", "builds")]
    assert [o["metadata"]["name"] for o in api.list(f"/api/v1/namespaces/{jobs}/secrets")] == ["mine"]
    assert [o["metadata"]["name"] for o in api.list(f"/apis/batch/v1/namespaces/{jobs}/jobs")] == ["theirs"]
    assert "still being deleted" in deployed.undeploy("--yes", "--timeout", "0.1", code=8)  # nobody ends them here
    assert api.get(f"/api/v1/namespaces/{system}")["metadata"]["deletionTimestamp"]


def refusal(act: Callable[[], object]) -> ApiError | None:
    try:
        act()
    except ApiError as error:
        return error
    return None


def _is_there(api: Api, path: str) -> bool:
    said = refusal(lambda: api.get(path))
    assert said is None or said.status == 404
    return said is None


def test_what_is_left_out_the_next_time_is_deleted_and_nothing_else(site: Site, tmp_path: Path) -> None:
    api, login = site.cluster.api, tmp_path / "config.json"
    auth = base64.b64encode(b"me:it").decode()
    login.write_text(json.dumps({"auths": {"registry.example": {"auth": auth}}}))
    site.deploy("--registry-login", login)
    before = load_yaml_documents(
        site.deploy("--dry-run", "--show-secrets", "--registry-login", login).encode(), "dry run"
    )
    jobs = f"{site.name}-jobs"
    api.create(f"/api/v1/namespaces/{jobs}/secrets", {"metadata": {"name": "mine"}})
    job = GOLDEN["plain"]()
    job["metadata"] |= {"namespace": jobs, "name": "running"}
    job["metadata"]["labels"]["gitdata.dev/system"] = f"{site.name}-system"
    api.create(f"/apis/batch/v1/namespaces/{jobs}/jobs", job)
    config = tmp_path / "controller.toml"
    config.write_text('[images]\nbuilder = "buildah"\n')
    now = [
        path_of(o)
        for o in load_yaml_documents(site.deploy("--dry-run", "--show-secrets", "--config", config).encode(), "dry run")
    ]
    said = site.deploy("--config", config)
    gone = [o for o in before if path_of(o) not in now]
    kinds = {"NetworkPolicy", "Role", "RoleBinding", "Secret", "ServiceAccount", "Namespace"}
    kinds |= {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    assert {o["kind"] for o in gone} == kinds
    assert [path_of(o) for o in before if not _is_there(api, path_of(o))] == [
        path_of(o) for o in gone if o["kind"] != "Namespace"
    ]
    assert said.count("it is not asked for any more") == len(gone) - 1
    assert f"secret {jobs}/gitdata-registry deleted: it is not asked for any more" in said
    assert f"namespace {site.name}-builds is not used any more: kubectl delete namespace" in said
    assert _is_there(api, f"/api/v1/namespaces/{jobs}/secrets/mine")
    assert _is_there(api, f"/apis/batch/v1/namespaces/{jobs}/jobs/running")
    assert "deleted" not in site.deploy("--config", config)


def test_stages_may_have_a_login_that_cannot_push(site: Site, tmp_path: Path) -> None:
    for name in ("push", "pull"):
        auth = base64.b64encode(f"{name}:it".encode()).decode()
        (tmp_path / name).write_text(json.dumps({"auths": {"registry.example": {"auth": auth}}}))
    logins = ("--registry-login", tmp_path / "push", "--registry-pull-login", tmp_path / "pull")
    site.deploy(*logins)
    users = {}
    for place in ("system", "jobs", "builds"):
        for found in site.cluster.api.list(f"/api/v1/namespaces/{site.name}-{place}/secrets"):
            if found["type"] == "kubernetes.io/dockerconfigjson":
                body = json.loads(base64.b64decode(found["data"][".dockerconfigjson"]))
                user = base64.b64decode(body["auths"]["registry.example"]["auth"]).decode()
                users[place, found["metadata"]["name"]] = user
    assert users == {
        ("system", "gitdata-registry"): "push:it",
        ("jobs", "gitdata-registry"): "pull:it",
        ("builds", "gitdata-registry"): "push:it",
        ("builds", "gitdata-registry-pull"): "pull:it",
    }
    config = site.cluster.api.get(f"/api/v1/namespaces/{site.name}-system/configmaps/gitdata-controller")
    builds = tomllib.loads(config["data"]["controller.toml"])["builds"]
    assert (builds["push_secret"], builds["pull_secret"]) == ("gitdata-registry", "gitdata-registry-pull")
    assert "give --registry-login too" in site.deploy(*logins[2:], code=2)


@pytest.mark.parametrize("answer", [b"n\n", b"\x04"], ids=["no", "end of input"])
def test_who_does_not_say_yes_keeps_everything(deployed: Site, answer: bytes) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    words = [sys.executable, "-m", "gitdata", "undeploy", "--kubeconfig", str(deployed.cluster.kubeconfig)]
    done = subprocess.run([*words, *deployed.places], stdin=theirs, capture_output=True, text=True, check=False)
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (2, "gitdata: nothing was deleted\n")
    assert f"deployment {deployed.name}-system/gitdata-controller" in done.stdout
    assert "Deployment" in {o["kind"] for o in deployed.objects() if deployed.cluster.api.get(path_of(o))}


def test_what_is_not_gitdatas_is_not_touched(site: Site) -> None:
    api, system = site.cluster.api, f"{site.name}-system"
    api.create("/api/v1/namespaces", {"metadata": {"name": system}})
    account = {"metadata": {"name": "gitdata-controller", "labels": {"whose": "mine"}}}
    api.create(f"/api/v1/namespaces/{system}/serviceaccounts", account)
    said = site.deploy(code=5)
    assert f"serviceaccount {system}/gitdata-controller" in said
    assert not _is_there(api, f"/api/v1/namespaces/{site.name}-jobs"), "nothing is changed before all is looked at"
    api.delete(f"/api/v1/namespaces/{system}/serviceaccounts/gitdata-controller")
    said = site.deploy()
    assert f"namespace {system} was there before" in said
    assert f"kubectl label namespace {system} pod-security.kubernetes.io/enforce=restricted" in said
    site.undeploy("--yes", "--timeout", "0.1", code=8)
    assert "deletionTimestamp" not in api.get(f"/api/v1/namespaces/{system}")["metadata"]
    assert not _is_there(api, f"/apis/apps/v1/namespaces/{system}/deployments/gitdata-controller")


def test_two_of_them_in_one_cluster_do_not_meet(deployed: Site) -> None:
    other = Site(deployed.cluster, deployed.capsys, f"{deployed.name}-b")
    other.deploy()
    other.undeploy("--yes", "--keep-namespaces")
    assert all(_is_there(deployed.cluster.api, path_of(o)) for o in deployed.objects())
    assert "nothing of gitdata" in other.undeploy("--yes", "--keep-namespaces")


def doctor(site: Site, *more: str | Path, code: int = 0) -> dict[str, tuple[str, str]]:
    """What the doctor finds: check -> (state, text)."""
    site.capsys.readouterr()
    words = ["doctor", "--kubernetes", "--json", "--kubeconfig", str(site.cluster.kubeconfig), *site.places]
    assert main([*words, *map(str, more)]) == code
    found = json.loads(site.capsys.readouterr().out)["checks"]
    return {one["name"]: (one["state"], f"{one['text']} {one['hint']}") for one in found}


def test_the_doctor_says_what_a_cluster_lacks(site: Site) -> None:
    found = doctor(site, code=7)
    assert found["API server"][0] == "ok"
    assert found["namespaces"] == ("missing", f"there is no Namespace {site.name}-system gitdata deploy makes it")
    assert found["rights"][0] == "ok", "the administrator may run a controller"
    assert found["secrets"][0] == "missing"
    site.deploy()
    found = doctor(site)
    assert {name for name, (state, _) in found.items() if state == "ok"} >= {"namespaces", "secrets", "network rules"}
    assert found["rights"] == ("ok", "the controller may do all 15 things that are needed ")
    assert "cannot be seen" in found["network rules"][1]
    assert found["controller"][0] == "hint", "nobody makes pods of Deployments here"
    assert found["worker image"][0] == "hint"
    assert f"registry.example/w@{DIGEST}" in found["worker image"][1]


def test_the_doctor_sees_rights_and_levels_that_were_changed(deployed: Site) -> None:
    api, jobs = deployed.cluster.api, f"{deployed.name}-jobs"
    role = f"{RBAC}/namespaces/{jobs}/roles/gitdata-controller"
    rules = api.get(role)["rules"]
    api.patch(role, {"rules": [rule for rule in rules if rule["resources"] != ["events"]]})
    assert f"the controller may not list events in {jobs}" in doctor(deployed, code=7)["rights"][1]
    api.patch(role, {"rules": [*rules, {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]})
    assert "may read Secrets" in doctor(deployed, code=4)["rights"][1]
    api.patch(role, {"rules": rules})
    labels = {"pod-security.kubernetes.io/enforce": "baseline"}
    api.patch(f"/api/v1/namespaces/{jobs}", {"metadata": {"labels": labels}})
    assert "baseline, not restricted" in doctor(deployed, code=4)["namespaces"][1]
    deployed.deploy()
    assert doctor(deployed)["namespaces"][0] == "ok", "deploying again puts it right"


def test_the_doctor_says_that_there_is_no_server(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--kubernetes", "--kubeconfig", str(tmp_path / "none")]) == 10
    assert "no Kubernetes cluster is configured" in capsys.readouterr().err


def test_the_doctor_asks_the_registry_as_the_controller_does(site: Site, tmp_path: Path) -> None:
    """By the mirror of the configuration that is in the cluster. A folder of files is registry enough."""

    def stored(kind: str, body: object) -> str:
        data = json.dumps(body).encode()
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        place = tmp_path / "files" / "v2" / "w" / kind
        place.mkdir(parents=True)
        (place / digest).write_bytes(data)
        return digest

    digest = stored("manifests", {"config": {"digest": stored("blobs", {"config": {"Cmd": ["agent"]}})}})
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "files"))) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        config = tmp_path / "controller.toml"
        config.write_text(f'[images]\nmirrors = {{ "registry.example" = "http://127.0.0.1:{server.server_port}" }}\n')
        site.deploy("--config", config, "--worker-image", f"registry.example/w@{digest}")
        assert doctor(site)["worker image"][0] == "ok"
        site.deploy("--config", config, "--worker-image", f"registry.example/w@{DIGEST}")
        found = doctor(site)["worker image"]
        server.shutdown()
    assert found[0] == "hint"
    assert "no such image" in found[1]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


def test_a_controller_with_these_rights_and_this_configuration_starts_jobs(
    site: Site, s3: S3, repo: Repo, tmp_path: Path
) -> None:
    """The real one, as its service account, with the ConfigMap's text: what is granted is enough."""
    spec = {
        "pipeline": {"name": "count"},
        "transform": {"image": f"registry.example/stage@{DIGEST}", "cmd": ["true"]},
        "input": {"pfs": {"repo": "in", "glob": "/*"}},
    }
    repo.write("in/a", "one")
    repo.write("stages/count.json", json.dumps(spec))
    source = repo.commit("a stage")
    remote = f"s3://{s3.bucket()}/data"
    site.deploy("--remote", remote)
    config, kubeconfig, beat = (tmp_path / name for name in ("controller.toml", "kubeconfig", "beat"))
    path = f"/api/v1/namespaces/{site.name}-system/configmaps/gitdata-controller"
    config.write_text(site.cluster.api.get(path)["data"]["controller.toml"])
    kubeconfig.write_text(site.controller_kubeconfig())
    words = ["--repo", str(repo.path), "--remote", remote, "--config", str(config)]
    words += ["--kubeconfig", str(kubeconfig), "--heartbeat", str(beat)]
    command = [sys.executable, "-m", "gitdata", "controller", *words]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            jobs = f"/apis/batch/v1/namespaces/{site.name}-jobs/jobs"
            (job,) = eventually("the Job", lambda: site.cluster.api.list(jobs), seconds=90)
            eventually("a turn that went well", lambda: beat.exists() and beat.read_text() == "ok\n", seconds=60)
        finally:
            process.terminate()
            said = process.communicate()[1]
    assert "forbidden" not in said
    assert "Traceback" not in said
    assert job["metadata"]["annotations"]["gitdata.dev/commit"] == source
    pod = job["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "gitdata-stage"
    assert pod["initContainers"][0]["image"] == f"registry.example/w@{DIGEST}"
    said = site.undeploy("--yes", "--keep-namespaces")
    ended = said.index(f"job {site.name}-jobs/{job['metadata']['name']} deleted")  # undeploy knows it as its own
    assert ended < said.index("deployment "), "who is interrupted in between must still know whose jobs they are"


def _build(deployed: Site) -> Object:
    settings = BuildSettings(
        image=f"registry.example/b@{DIGEST}",
        namespace=f"{deployed.name}-builds",
        push_secret="gitdata-registry",
        pull_secret="gitdata-registry",
    )
    images = ImageSettings(args={"HTTPS_PROXY": "http://proxy.example:3128"}, options=("--squash",))
    return build_job("registry.example/team/count:1", "1" * 64, "images/count", settings, SETTINGS, images)


def _hostile(build: Object, key: str, change: Callable[[Object, Object, Object, Object], object]) -> Object:
    """A build with something else in it. change: gets the pod's spec and its three containers."""
    made: Object = json.loads(json.dumps(build))
    made["metadata"]["name"] = f"build-{key}-{uuid4().hex[:8]}"
    pod = made["spec"]["template"]["spec"]
    change(pod, *pod["initContainers"], *pod["containers"])
    return made


NODE = {"name": "node", "hostPath": {"path": "/"}}
ALIEN = {"name": "alien", "image": f"registry.example/b@{DIGEST}", "command": ["sh"]}
HOSTILE: dict[str, Callable[[Object, Object, Object, Object], object]] = {
    "path": lambda pod, *_: pod["volumes"].append(NODE),
    "network": lambda pod, *_: pod.update(hostNetwork=True),
    "pid": lambda pod, *_: pod.update(hostPID=True),
    "ipc": lambda pod, *_: pod.update(hostIPC=True),
    "shared": lambda pod, *_: pod.update(shareProcessNamespace=True),
    "token": lambda pod, *_: pod.update(automountServiceAccountToken=True),
    "silent": lambda pod, *_: pod.pop("automountServiceAccountToken"),
    "projected": lambda pod, *_: pod["volumes"].append({"name": "t", "projected": {"sources": []}}),
    "csi": lambda pod, *_: pod["volumes"].append({"name": "t", "csi": {"driver": "x.example"}}),
    "alien": lambda pod, *_: pod["containers"].append(ALIEN),
    "before": lambda pod, *_: pod["initContainers"].insert(0, ALIEN),
    "privileged": lambda _, f, b, p: b["securityContext"].update(privileged=True, allowPrivilegeEscalation=True),
    "capability": lambda _, f, b, p: b["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]),
    "kept": lambda _, f, b, p: b["securityContext"]["capabilities"].update(drop=["NET_RAW"]),
    "escalation": lambda _, f, b, p: p["securityContext"].pop("allowPrivilegeEscalation"),
    "written": lambda _, f, b, p: p["securityContext"].update(readOnlyRootFilesystem=False),
    "tag": lambda _, f, b, p: b.update(image="registry.example/other:latest"),
    "other": lambda _, f, b, p: b.update(image=f"registry.example/other@{DIGEST}"),
    "shell": lambda _, f, b, p: b.update(command=["sh", "-c", "id", "x", "y"]),
    "args": lambda _, f, b, p: b.update(args=["--help"]),
    "run": lambda _, f, b, p: b["command"].__setitem__(3, "run"),
    "module": lambda _, f, b, p: f.update(command=["python3", "-c", "1"]),
    "keys": lambda _, f, b, p: b["env"].append(
        {"name": "K", "valueFrom": {"secretKeyRef": {"name": "gitdata-store", "key": "AWS_ACCESS_KEY_ID"}}}
    ),
    "all-keys": lambda _, f, b, p: b.update(envFrom=[{"secretRef": {"name": "gitdata-store"}}]),
    "login": lambda _, f, b, p: b["volumeMounts"].append({"name": "login-push", "mountPath": "/l"}),
    "hook": lambda _, f, b, p: p.update(lifecycle={"postStart": {"exec": {"command": ["sh"]}}}),
    "root": lambda _, f, b, p: f["securityContext"].update(runAsNonRoot=False),
    "seccomp": lambda _, f, b, p: f["securityContext"].update(seccompProfile={"type": "Unconfined"}),
}


def test_the_namespace_of_builds_admits_a_build_and_nothing_else_from_the_controller(deployed: Site) -> None:
    """As its own service account, whose token a stranger may have."""
    controller, builds = deployed.controller(), f"{deployed.name}-builds"
    path, good = f"/apis/batch/v1/namespaces/{builds}/jobs", _build(deployed)

    def refused(key: str) -> bool:
        said = refusal(lambda: controller.create(path, _hostile(good, key, HOSTILE[key])))
        return said is not None and "ValidatingAdmissionPolicy" in str(said)

    eventually("the policy is in force", lambda: refused("path"))  # the server learns of it a moment later
    assert [key for key in HOSTILE if not refused(key)] == []
    controller.create(path, good)


def test_nor_does_it_admit_a_pod_on_the_node_from_anybody(deployed: Site) -> None:
    builds = f"{deployed.name}-builds"
    pods, template = f"/api/v1/namespaces/{builds}/pods", _build(deployed)["spec"]["template"]
    good = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "good"}, "spec": template["spec"]}
    bad = json.loads(json.dumps(good))
    bad["spec"]["volumes"].append(NODE)

    def refused() -> bool:
        bad["metadata"]["name"] = f"bad-{uuid4().hex[:8]}"
        return refusal(lambda: deployed.cluster.api.create(pods, bad)) is not None

    eventually("the policy is in force", refused)
    deployed.cluster.api.create(pods, good)
    elsewhere = f"/api/v1/namespaces/{deployed.name}-system/pods"
    said = refusal(lambda: deployed.cluster.api.create(elsewhere, bad))
    assert said is not None
    assert "ValidatingAdmissionPolicy" not in str(said), "the policy is of one namespace"
