"""Everything that a cluster gets to run gitdata: the manifests of ``k8s-jobs/`` with what only the user has. Pure.

Called by the command ``deploy``, which applies or prints what ``render`` returns. Names of namespaces are put in
everywhere, the controller gets its repository, remote, image and configuration, stages get a way to the object store,
and each namespace the Secrets that it needs and no others. Nothing here is of a commit.
"""

from __future__ import annotations

import base64
import copy
import ipaddress
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from gitdata.formats.toml_text import dump_toml
from gitdata.identity import canonical, sha256

Object: TypeAlias = dict[str, Any]

SYSTEM, JOBS, BUILDS = "gitdata-system", "gitdata-jobs", "gitdata-builds"  # as the files name them
LABEL = "gitdata.dev/system"  # on all that deploy makes: the name of its system's namespace
CONFIG, NAMESPACES, OWNER = "gitdata.dev/config", "gitdata.dev/namespaces", "gitdata.dev/owner"
CONTROLLER = "gitdata-controller"
STORE, GIT, MAIL, REGISTRY = "gitdata-store", "gitdata-git", "gitdata-mail", "gitdata-registry"
PULL = "gitdata-registry-pull"  # beside the login that pushes, for what a Dockerfile's commands may be able to read

_NEEDS = {STORE: (SYSTEM, JOBS, BUILDS), GIT: (SYSTEM,), MAIL: (SYSTEM,), REGISTRY: (SYSTEM, JOBS, BUILDS)}
_ORDER = (
    *("Namespace", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ServiceAccount"),
    *("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "NetworkPolicy"),
    *("Secret", "ConfigMap", "Deployment"),
)
_MACHINE = (
    {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]},
    {"cidr": "::/0", "except": ["fd00:ec2::/32", "fe80::/10"]},
)


@dataclass(frozen=True, slots=True)
class Places:
    """The names of the namespaces."""

    system: str = SYSTEM
    jobs: str = JOBS
    builds: str = BUILDS

    def name(self, text: str) -> str:
        """What a name in the files is called here."""
        nodes = f"{SYSTEM}-nodes"
        return {SYSTEM: self.system, JOBS: self.jobs, BUILDS: self.builds, nodes: f"{self.system}-nodes"}.get(
            text, text
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """controller_image, worker_image, builder_image: by digest; without the last nothing is built on the cluster.
    settings: the user's file, section by section, as TOML has it.

    remote_options: DVC's keys that pods may see. endpoint: of the object store, "" for AWS. store_cidrs: where it is,
    () for what the endpoint tells. secrets: name -> key -> value. pull_login: the body of the Secret for those who only
    pull (stages, and FROM in builds), {} for the login that all have. env: of the controller. owner: of the jobs.
    """

    git: str
    remote: str
    controller_image: str
    worker_image: str
    builder_image: str = ""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remote_options: Mapping[str, str] = field(default_factory=dict)
    endpoint: str = ""
    store_cidrs: Sequence[str] = ()
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    pull_login: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    owner: str = ""
    places: Places = Places()


def render(base: Iterable[Object], wanted: Wanted) -> list[Object]:
    """All objects, in the order in which a cluster can take them."""
    found = [_renamed(copy.deepcopy(o), wanted.places) for o in base]
    spaces = {o["metadata"]["name"] for o in found if o["kind"] == "Namespace"}
    found += _secrets(wanted, spaces)
    for o in found:
        if o["kind"] == "ConfigMap":
            o["data"]["controller.toml"] = configuration(o["data"]["controller.toml"], wanted)
        if (o["kind"], o["metadata"]["name"]) == ("NetworkPolicy", "gitdata-closed"):
            o["spec"]["egress"][-1] = store_rule(wanted.endpoint, wanted.store_cidrs)
    read = [o.get("data") for o in found if o["metadata"].get("namespace") == wanted.places.system and "data" in o]
    for o in found:
        if o["kind"] == "Deployment":
            _controller(o, wanted, sha256(canonical(read)), sorted(spaces))
    return sorted(found, key=lambda o: _ORDER.index(o["kind"]))


def _renamed(value: Any, places: Places) -> Any:
    if isinstance(value, dict):
        return {k: _renamed(v, places) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(v, places) for v in value]
    return places.name(value) if isinstance(value, str) else value


def _secrets(wanted: Wanted, spaces: set[str]) -> list[Object]:
    labels = {"app.kubernetes.io/part-of": "gitdata", LABEL: wanted.places.system}
    placed = {
        (name, place): values
        for name, values in wanted.secrets.items()
        for place in map(wanted.places.name, _NEEDS[name])
    }
    if wanted.pull_login:
        placed |= dict.fromkeys([(REGISTRY, wanted.places.jobs), (PULL, wanted.places.builds)], wanted.pull_login)
    return [
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": name, "namespace": place, "labels": dict(labels)},
            "type": "kubernetes.io/dockerconfigjson" if name in (REGISTRY, PULL) else "Opaque",
            "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(values.items())},
        }
        for (name, place), values in placed.items()
        if place in spaces
    ]


def configuration(base: str, wanted: Wanted) -> str:
    """The controller's TOML: the files' defaults, then the user's file, then what deploy itself knows."""
    sections: dict[str, dict[str, Any]] = {name: dict(body) for name, body in tomllib.loads(base).items()}
    for name, body in wanted.settings.items():
        sections.setdefault(name, {}).update(body)
    sections["executor"]["kind"] = "kubernetes"
    cluster = sections["kubernetes"]
    cluster |= {"namespace": wanted.places.jobs, "worker_image": wanted.worker_image}
    cluster["store_secret"] = (
        STORE if STORE in wanted.secrets else wanted.settings.get("kubernetes", {}).get("store_secret", "")
    )
    if REGISTRY in wanted.secrets:
        cluster["pull_secrets"] = list(dict.fromkeys([*cluster.get("pull_secrets", ()), REGISTRY]))
        sections.setdefault("images", {})["logins"] = "/etc/gitdata/registry/config.json"
    if wanted.builder_image:
        builds = sections.setdefault("builds", {})
        builds |= {"namespace": wanted.places.builds, "image": wanted.builder_image}
        if REGISTRY in wanted.secrets:
            builds |= {"push_secret": REGISTRY, "pull_secret": PULL if wanted.pull_login else REGISTRY}
    if wanted.remote_options:
        sections["remote"] = dict(sorted(wanted.remote_options.items()))
    else:
        sections.pop("remote", None)
    return dump_toml(sections)


def _controller(deployment: Object, wanted: Wanted, config: str, spaces: Sequence[str]) -> None:
    notes = {NAMESPACES: ",".join(spaces)} | ({OWNER: wanted.owner} if wanted.owner else {})
    deployment["metadata"].setdefault("annotations", {}).update(notes)
    template = deployment["spec"]["template"]
    template["metadata"].setdefault("annotations", {})[CONFIG] = config  # another one: a new pod, which reads it
    pod = template["spec"]
    if REGISTRY in wanted.secrets:
        pod["imagePullSecrets"] = [{"name": REGISTRY}]
    (container,) = pod["containers"]
    container["image"] = wanted.controller_image
    told = {"--repo": wanted.git, "--remote": wanted.remote}
    container["args"] = [f"{(k := a.partition('=')[0])}={told.get(k, a.partition('=')[2])}" for a in container["args"]]
    container["env"] += [{"name": name, "value": value} for name, value in sorted(wanted.env.items())]


def store_rule(endpoint: str, cidrs: Sequence[str] = ()) -> Object:
    """The egress rule of closed pods to the object store, as narrow as its endpoint can tell.

    A policy knows addresses, not names: of a name outside of the cluster only the port can be told.
    """
    parts = urlsplit(endpoint)
    port = parts.port or (80 if parts.scheme == "http" else 443)
    ports = [{"protocol": "TCP", "port": port}]
    if cidrs:
        return {"to": [{"ipBlock": {"cidr": cidr}} for cidr in cidrs], "ports": ports}
    host = parts.hostname or ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        _, _, rest = host.partition(".")
        space, _, service = rest.partition(".")
        if service == "svc" or service.startswith("svc."):  # its pods may listen on another port than the service
            return {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}}}]}
        return {"to": [{"ipBlock": dict(block)} for block in _MACHINE], "ports": ports}
    return {"to": [{"ipBlock": {"cidr": f"{address}/{address.max_prefixlen}"}}], "ports": ports}


def without_keys(objects: Iterable[Object]) -> list[Object]:
    """What anybody may read, and apply: Secrets that are there stay as they are."""
    return [o for o in objects if o["kind"] != "Secret"]
