"""A real node: containerd, runc, CNI and a kubelet, with pods on a bridge of their own. Needs root.

Started by testbed.py on the tier ``node``. Pods reach servers of this machine at ``GATEWAY``; nothing leaves it
(no masquerade), and there is no DNS and no kube-proxy: only the service ``kubernetes`` answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from cluster.control import SERVICE_ADDRESS, ControlPlane
from cluster.credentials import NODE
from cluster.processes import Server, eventually, free_port, run
from cluster.programs import CNI_PLUGINS

BRIDGE = "gitdata0"
NETWORK = "gitdata-testbed"  # CNI's name of it
GATEWAY, POD_NETWORK = "10.213.0.1", "10.213.0.0/16"

CONTAINERD = """\
version = 2
root = "{root}"
state = "{folder}/containerd"
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "{folder}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
disable_apparmor = true
restrict_oom_score_adj = true # a machine without CAP_SYS_RESOURCE may not lower it
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"
[plugins."io.containerd.grpc.v1.cri".registry]
config_path = "{folder}/hosts"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{folder}/runc"
SystemdCgroup = false
"""


HOST = """\
server = "http://{host}"
[host."http://{host}"]
capabilities = ["pull", "resolve"]
"""


class Node:
    """containerd, kubelet: servers that a test may kill, pause and start again. plain: registries that speak http."""

    def __init__(
        self, folder: Path, programs: Path, plane: ControlPlane, pause: str, plain: Sequence[str] = ()
    ) -> None:
        self.folder, self.plane = folder, plane
        for host in plain:
            (folder / "hosts" / host).mkdir(parents=True)
            (folder / "hosts" / host / "hosts.toml").write_text(HOST.format(host=host))
        config = folder / "containerd.toml"
        config.write_text(CONTAINERD.format(folder=folder, root=folder / "images", pause=pause, plugins=CNI_PLUGINS))
        (folder / "cni").mkdir()
        (folder / "cni" / "10-testbed.conflist").write_text(json.dumps(_network(folder)))
        (folder / "kubelet.json").write_text(json.dumps(_kubelet(folder, plane)))
        self.containerd = Server("containerd", ["containerd", "--config", config], folder)
        argv: list[str | Path] = [programs / "kubelet", f"--config={folder / 'kubelet.json'}"]
        argv += [f"--kubeconfig={plane.kubeconfig(f'system:node:{NODE}')}", f"--hostname-override={NODE}"]
        argv += [f"--root-dir={folder / 'kubelet'}", f"--cert-dir={folder / 'kubelet-pki'}", f"--node-ip={GATEWAY}"]
        self.kubelet = Server("kubelet", argv, folder)

    @property
    def servers(self) -> list[Server]:
        return [self.containerd, self.kubelet]

    def start(self) -> None:
        """The control plane answers already; returns when the node takes pods."""
        self.containerd.start()
        eventually("containerd", (self.folder / "containerd.sock").exists, needs=[self.containerd])
        self.kubelet.start()
        self.ready()

    def ready(self) -> None:
        api = self.plane.api()

        def takes_pods() -> bool:
            node = api.get(f"/api/v1/nodes/{NODE}")
            ready = any(c["type"] == "Ready" and c["status"] == "True" for c in node["status"].get("conditions", []))
            return ready and not node["spec"].get("taints")

        eventually("the node", takes_pods, seconds=120, needs=self.servers)


def make_bridge() -> None:
    """Before the API server, which listens on it, and before the tests' own servers."""
    run("ip", "link", "delete", BRIDGE, check=False)  # of a cluster that is dead, and whose folder is gone
    run("ip", "link", "add", BRIDGE, "type", "bridge")
    run("ip", "address", "add", f"{GATEWAY}/16", "dev", BRIDGE)
    run("ip", "address", "add", f"{SERVICE_ADDRESS}/32", "dev", BRIDGE)
    run("ip", "link", "set", BRIDGE, "up")


def _network(folder: Path) -> dict[str, object]:
    ranges = [[{"subnet": POD_NETWORK, "gateway": GATEWAY, "rangeStart": "10.213.1.0"}]]
    addresses = {
        "type": "host-local",
        "ranges": ranges,
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": str(folder / "ips"),
    }
    bridge = {
        "type": "bridge",
        "bridge": BRIDGE,
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": addresses,
    }
    return {"cniVersion": "0.4.0", "name": NETWORK, "plugins": [bridge]}


def _kubelet(folder: Path, plane: ControlPlane) -> dict[str, object]:
    low = {"memory.available": "100Mi", "nodefs.available": "1%", "nodefs.inodesFree": "1%", "imagefs.available": "1%"}
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": GATEWAY,
        "port": free_port(GATEWAY, 10250),
        "healthzPort": 0,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(plane.credentials.folder / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "containerRuntimeEndpoint": f"unix://{folder}/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "failCgroupV1": False,
        "failSwapOn": False,
        "makeIPTablesUtilChains": False,  # the machine's rules are not ours
        "resolvConf": "",
        "serializeImagePulls": False,
        "evictionHard": low,
        "nodeLeaseDurationSeconds": 16,
        "nodeStatusUpdateFrequency": "4s",
        "podLogsDir": str(folder / "pod-logs"),
        "volumePluginDir": str(folder / "volume-plugins"),
        "eventRecordQPS": 0,
    }
