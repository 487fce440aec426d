"""A real registry, the images that others are made from, and the settings of buildah for it.

Started by testbed.py on the tier ``node``. Dockerfiles stay as they are: buildah finds ``docker.io/library/python:
3.11-slim-bookworm`` in the local registry, made from Debian packages once and kept in the cache. No other registry
is asked.
"""

from __future__ import annotations

import http.client
import io
import json
import platform
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cluster.layers import Layer, base_layer, compress, sha256
from cluster.processes import Server, eventually, free_port, run

BASE = "library/python:3.11-slim-bookworm"
CONFIG, LAYER = "application/vnd.docker.container.image.v1+json", "application/vnd.docker.image.rootfs.diff.tar.gzip"
MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"  # what buildah pushes
DIGEST = "Docker-Content-Digest"


def registries_conf(host: str) -> str:
    """For buildah: plain http to this registry alone, and what docker.io has is there."""
    local = f'location = "{host}"\ninsecure = true\n'
    return (
        'unqualified-search-registries = ["docker.io"]\n'
        f'[[registry]]\nprefix = "docker.io"\n{local}[[registry]]\n{local}'
    )


class Registry:
    """host: what stands before an image's name, for buildah, containerd and pod specs alike.

    pod_host: the same for programs that run in pods, "" without a gateway. The images are the same ones: a second
    server beside the first, on the gateway, has the same folder.
    """

    def __init__(self, folder: Path, gateway: str = "") -> None:
        self.folder = folder / "registry"
        self.folder.mkdir()
        self.port = free_port(wanted=5000)
        self.address, self.prefix = f"localhost:{self.port}", ""
        self.host = self.address
        self.server = self._server("docker-registry", f"127.0.0.1:{self.port}", folder)
        self.servers = [self.server]
        self._pod_host = f"{gateway}:{free_port(gateway, self.port)}" if gateway else ""
        if gateway:
            self.servers.append(self._server("docker-registry-pods", self._pod_host, folder))
        self.buildah_env = self._buildah_settings()

    @property
    def pod_host(self) -> str:
        return self._pod_host

    @property
    def mirrors(self) -> dict[str, str]:
        """As `[images] mirrors`: gitdata would ask for these over https."""
        return {self._pod_host: f"http://{self._pod_host}"} if self._pod_host else {}

    def _server(self, name: str, address: str, folder: Path) -> Server:
        config: Any = {"version": 0.1, "log": {"level": "warn"}, "http": {"addr": address}}
        config["storage"] = {"filesystem": {"rootdirectory": str(self.folder / "data")}, "delete": {"enabled": True}}
        (self.folder / f"{name}.yml").write_text(json.dumps(config))
        return Server(name, ["docker-registry", "serve", self.folder / f"{name}.yml"], folder)

    def start(self) -> None:
        for server in self.servers:
            server.start()
        eventually("the registry", lambda: self._ask("GET", "/v2/")[0] == 200, needs=self.servers)

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def build(self, context: Path, name: str, *options: str) -> str:
        """Build a folder with its Dockerfile, push it; the reference with its digest. Layers are kept for the next."""
        tag, digest = f"{self.host}/{name}", self.folder / "digest"
        run("buildah", "build", "--layers", *options, "--tag", tag, context, env=self.buildah_env)
        run("buildah", "push", "--digestfile", digest, tag, env=self.buildah_env)
        return f"{tag.rpartition(':')[0] if ':' in name else tag}@{digest.read_text().strip()}"

    def push(self, name: str, tag: str, layers: Sequence[Layer], config: dict[str, Any]) -> str:
        """Push a ready-made image; the reference with its digest."""
        machine = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
        rootfs = {"type": "layers", "diff_ids": [layer.diff for layer in layers]}
        # buildah wants an entry of the history for every layer
        image = {"architecture": machine, "os": "linux", "config": config, "rootfs": rootfs}
        about = json.dumps(image | {"history": [{"created_by": "testbed"} for _ in layers]}).encode()
        manifest: Any = {"schemaVersion": 2, "mediaType": MANIFEST}
        manifest["config"] = {"mediaType": CONFIG, "size": len(about), "digest": sha256(about)}
        self._blob(name, io.BytesIO(about), len(about), sha256(about))
        manifest["layers"] = []
        for layer in layers:
            size = layer.path.stat().st_size
            manifest["layers"].append({"mediaType": LAYER, "size": size, "digest": layer.digest})
            with layer.path.open("rb") as data:
                self._blob(name, data, size, layer.digest)
        body = json.dumps(manifest).encode()
        self._ask("PUT", f"/v2/{self.prefix}{name}/manifests/{tag}", body, {"Content-Type": MANIFEST})
        return f"{self.host}/{name}@{sha256(body)}"

    def digest(self, name: str, tag: str) -> str | None:
        """What a tag means now."""
        try:
            target = f"/v2/{self.prefix}{name}/manifests/{tag}"
            return self._ask("HEAD", target, None, {"Accept": f"{MANIFEST}, {OCI_MANIFEST}"})[1].get(DIGEST)
        except LookupError:
            return None

    def push_pause(self, program: Path) -> str:
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            tar = Path(made, "layer.tar")
            with tarfile.open(tar, "w") as archive:
                archive.add(program, "pause")
            return self.push("pause", "1", [compress(tar)], {"Entrypoint": ["/pause"], "User": "65535:65535"})

    def push_base(self) -> str:
        """The image that Dockerfiles start from; a minute the first time on a machine."""
        name, _, tag = BASE.partition(":")
        path = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
        config = {"Env": [f"PATH={':'.join(path)}", "LANG=C.UTF-8"], "Cmd": ["python3"]}
        return self.push(name, tag, [base_layer()], config)

    def _blob(self, name: str, data: Any, size: int, digest: str) -> None:
        place = self._ask("POST", f"/v2/{self.prefix}{name}/blobs/uploads/", b"")[1]["Location"]
        target = place[place.index("/v2/") :]
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        self._ask("PUT", f"{target}{'&' if '?' in target else '?'}digest={digest}", data, headers)

    def _ask(
        self, method: str, target: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage]:
        connection = self._connection()
        try:
            connection.request(method, target, body, headers or {})
            answer = connection.getresponse()
            said = answer.read()
            if answer.status >= 300:
                raise LookupError(f"registry: {method} {target}: {answer.status} {said[:300]!r}")
            return answer.status, answer.headers
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)

    def _buildah_settings(self) -> dict[str, str]:
        """The environment in which buildah (ours or gitdata's) knows only this registry and this folder."""
        registries = self.folder / "registries.conf"
        registries.write_text(registries_conf(self.host))
        storage = self.folder / "storage.conf"
        places = f'graphroot = "{self.folder / "images"}"\nrunroot = "{self.folder / "run"}"\n'
        storage.write_text(f'[storage]\ndriver = "overlay"\n{places}')
        return {
            "CONTAINERS_REGISTRIES_CONF": str(registries),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "BUILDAH_ISOLATION": "chroot",
            "TMPDIR": str(self.folder),
        }
