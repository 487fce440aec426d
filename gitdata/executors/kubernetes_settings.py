"""What the controller's configuration says about the cluster. Made by the commands, read by executors.kubernetes*."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gitdata.errors import InvalidInputError
from gitdata.identity import canonical, sha256

NAMESPACE = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"  # the form of its name
_OWN = "gitdata-"  # what names of the system's Secrets begin with


@dataclass(frozen=True, slots=True)
class KubernetesSettings:
    """Nothing of a commit is in here; every default is safe.

    repository: for which git repository jobs are started, its URL without credentials, "" where nobody says.
    worker_image: by digest. store_secret: the Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps
    AWS_SESSION_TOKEN. secrets: those that stages may name. user: who runs pods (uid, gid). allow_root: whether a stage
    may ask to be root, if the namespace allows it too.
    cpu, memory, disk: of stages that do not say; agent_*: of the sidecar. queue: of Kueue.
    service_accounts, priority_classes, stage_pull_secrets: those that stages may name. node_labels: keys of labels and
    taints that stages may name, () for any. open_network: whether a stage may ask for it. max_cpu, max_memory: the most
    that a stage may ask for, "" for no limit.
    pod_annotations: such as those that keep a cloud's identity out of the user's container.
    flush_seconds: how often a pod stores its results; live_seconds: how often it tells people how far it is.
    default_image: of stages that name none, "" to refuse them.
    stuck_seconds: how long a pod that has a node may fail to start, unschedulable_seconds: how long all of a job may
    wait for one.
    max_evictions: of a pod, until the job is given up: the cluster itself would go on for ever.
    refresh_seconds: how old may be what is known of jobs; relist_seconds: while every change is heard by a watch,
    which lasts for watch_seconds.
    """

    namespace: str = "gitdata-jobs"
    worker_image: str = ""
    store_url: str = ""
    store_options: Mapping[str, str] = field(default_factory=dict)
    default_image: str = ""
    store_secret: str = "gitdata-store"
    zone: str = "main"
    repository: str = ""
    service_account: str = ""
    pull_secrets: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    user: tuple[int, int] = (65532, 65532)
    allow_root: bool = False
    cpu: str = "250m"
    memory: str = "1Gi"
    disk: str = "4Gi"
    agent_cpu: str = "100m"
    agent_memory: str = "512Mi"
    gpu: str = "nvidia.com/gpu"
    queue: str = ""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Mapping[str, Any], ...] = ()
    service_accounts: tuple[str, ...] = ()
    priority_classes: tuple[str, ...] = ()
    stage_pull_secrets: tuple[str, ...] = ()
    node_labels: tuple[str, ...] = ()
    open_network: bool = True
    max_cpu: str = ""
    max_memory: str = ""
    pod_annotations: Mapping[str, str] = field(default_factory=dict)
    flush_seconds: float = 60.0
    live_seconds: float = 5.0
    stuck_seconds: float = 300.0
    unschedulable_seconds: float = 3600.0
    max_evictions: int = 20
    refresh_seconds: float = 2.0
    relist_seconds: float = 30.0
    watch_seconds: float = 50.0

    def __post_init__(self) -> None:
        """What a stage may name is mounted into its pod: never the keys of the system, whoever lists them."""
        own = {self.store_secret, *self.pull_secrets}
        for name in self.secrets:
            if name in own or name.startswith(_OWN):
                raise InvalidInputError(
                    f"[kubernetes] secrets: {name} is one of gitdata's own, which no stage may have",
                    hint=f"give stages Secrets of their own, whose names do not begin with {_OWN}",
                )

    @property
    def owner(self) -> str:
        """Whose jobs these are: one remote's trust zone. A controller lists and cancels no others."""
        whose = {"v": 1, "kind": "owner", "remote": self.store_url, "zone": self.zone}
        return sha256(canonical(whose))[:40]

    @property
    def repository_id(self) -> str:
        """What jobs of one repository have in common, and those of its forks with the same remote have not."""
        url = self.repository.rstrip("/").removesuffix(".git")
        return sha256(canonical({"v": 1, "kind": "repository", "url": url}))[:40] if url else ""
