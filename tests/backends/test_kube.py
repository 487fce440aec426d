"""The door to Kubernetes against a server of our own that answers as told: errors, retries, pages, what is sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from gitdata.backends.kube import (
    AlreadyThereError,
    Cluster,
    GoneError,
    Kube,
    KubeError,
    NotFoundError,
    RefusedObjectError,
)
from gitdata.errors import MachineError


@dataclass
class Server:
    """answers: (status, body, headers) in order, the last one for ever. seen: (method, target, headers, body)."""

    url: str = ""
    answers: list[tuple[int, Any, dict[str, str]]] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)

    def will(self, status: int, body: Any = None, **headers: str) -> None:
        self.answers.append((status, body if body is not None else {"message": f"said {status}"}, headers))


@pytest.fixture
def server() -> Iterator[Server]:
    told = Server()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told.seen.append((self.command, self.path, dict(self.headers), json.loads(data) if data else None))
            status, body, headers = told.answers.pop(0) if len(told.answers) > 1 else told.answers[0]
            if status == 0:  # hang up
                self.close_connection = True
                return
            text = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        told.url = f"http://127.0.0.1:{running.server_port}"
        yield told
        running.shutdown()


@pytest.fixture
def kube(server: Server, tmp_path: Path) -> Kube:
    file = tmp_path / "kubeconfig"
    file.write_text(
        json.dumps(
            {
                "clusters": [{"name": "c", "cluster": {"server": server.url}}],
                "users": [{"name": "u", "user": {"token": "the-token"}}],
                "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "x",
            }
        )
    )
    return Kube(Cluster("jobs", str(file)))


def test_objects_pass_as_they_are_with_the_token(kube: Kube, server: Server) -> None:
    server.will(201, {"kind": "Job", "aFieldOfTomorrow": 1})
    assert kube.create("jobs", {"another": {"new": "field"}}) == {"kind": "Job", "aFieldOfTomorrow": 1}
    method, target, headers, body = server.seen[0]
    assert (method, target) == ("POST", "/apis/batch/v1/namespaces/jobs/jobs?fieldValidation=Warn")
    assert body == {"another": {"new": "field"}}
    assert {k.lower(): v for k, v in headers.items()}["authorization"] == "Bearer the-token"


def test_a_dry_run_is_strict(kube: Kube, server: Server) -> None:
    server.will(201, {})
    kube.create("jobs", {}, dry_run=True)
    assert server.seen[0][1].endswith("?dryRun=All&fieldValidation=Strict")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(404, NotFoundError), (409, AlreadyThereError), (410, GoneError), (422, RefusedObjectError), (403, KubeError)],
)
def test_refusals_have_types_and_the_servers_words(
    kube: Kube, server: Server, status: int, kind: type[KubeError]
) -> None:
    server.will(status, {"kind": "Status", "message": "jobs.batch: no", "reason": "Because"})
    with pytest.raises(kind, match=r"jobs\.batch: no") as caught:
        kube.get("jobs", "a-job")
    assert (caught.value.status, caught.value.reason, caught.value.transient) == (status, "Because", False)
    assert len(server.seen) == 1


def test_what_may_pass_is_tried_again(kube: Kube, server: Server) -> None:
    server.will(503)
    server.will(0)
    server.will(429, Retry_After="0")
    server.will(200, {"metadata": {"name": "a-job"}})
    assert kube.get("jobs", "a-job") == {"metadata": {"name": "a-job"}}
    assert len(server.seen) == 4


def test_a_full_quota_may_pass(kube: Kube, server: Server) -> None:
    server.will(403, {"message": 'pods "x" is forbidden: exceeded quota: q'})
    with pytest.raises(KubeError) as caught:
        kube.create("jobs", {})
    assert caught.value.transient


def test_a_delete_always_says_what_becomes_of_the_pods(kube: Kube, server: Server) -> None:
    server.will(200, {})
    server.will(404)
    assert kube.delete("jobs", "a-job", uid="u1")
    assert not kube.delete("jobs", "a-job")
    assert server.seen[0][3]["propagationPolicy"] == "Background"
    assert server.seen[0][3]["preconditions"] == {"uid": "u1"}


def test_lists_come_in_pages_and_start_again_when_they_took_too_long(kube: Kube, server: Server) -> None:
    server.will(200, {"metadata": {"continue": "next"}, "items": [{"n": 1}]})
    server.will(410)
    server.will(200, {"metadata": {"continue": "next"}, "items": [{"n": 1}]})
    server.will(200, {"metadata": {}, "items": [{"n": 2}]})
    assert kube.find("pods", labels="a=b") == [{"n": 1}, {"n": 2}]
    assert server.seen[0][1] == "/api/v1/namespaces/jobs/pods?limit=500&labelSelector=a%3Db"
    assert "continue=next" in server.seen[3][1]


def test_logs_and_events(kube: Kube, server: Server) -> None:
    server.will(200, b"line\n\xff")
    assert kube.log("pod-1", "user", lines=5) == b"line\n\xff"
    assert "container=user" in server.seen[0][1]
    assert "tailLines=5" in server.seen[0][1]
    server.answers.clear()
    server.will(200, {"items": [{"lastTimestamp": "2026-02"}, {"lastTimestamp": "2026-01"}], "metadata": {}})
    assert [e["lastTimestamp"] for e in kube.events("pod-1")] == ["2026-01", "2026-02"]


@pytest.mark.parametrize("name", ["../pods", "A", "", "a/b", "a b"])
def test_what_is_no_name_never_becomes_a_path(kube: Kube, server: Server, name: str) -> None:
    with pytest.raises(RefusedObjectError, match="no name"):
        kube.delete("jobs", name or "-")
    assert server.seen == []


def test_no_cluster_is_the_machines_fault() -> None:
    with pytest.raises(MachineError, match="no Kubernetes cluster is configured"):
        Kube(Cluster("jobs"))


CONFIG = """apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "SERVER", proxy-url: "PROXY"}}]
users: [{name: u, user: {token: "t"}}]
"""


@pytest.mark.parametrize(
    "config",
    [
        b"",
        b"\x00\xff\xfe garbage",
        b"hello",
        b"3",
        b"- a\n- b\n",
        b"a: [b\n c: }",
        b"current-context: c\ncontexts: c\nclusters: []\nusers: []\n",
        b'!!python/object/apply:os.system ["true"]\n',
        CONFIG.replace("SERVER", "https://[::1").encode(),
        CONFIG.replace("SERVER", "https://api.example").replace("PROXY", "gopher://x").encode(),
    ],
)
def test_a_kubeconfig_of_anything_is_the_machines_fault(tmp_path: Path, config: bytes) -> None:
    file = tmp_path / "odd"
    file.write_bytes(config)
    with pytest.raises(MachineError, match="odd cannot be used") as raised:
        Kube(Cluster("jobs", str(file)))
    assert "\n" not in raised.value.message


@pytest.mark.parametrize("said", [b"<html>log in</html>", b"", b"[]", b"\xff"])
def test_a_portal_in_the_place_of_the_server(kube: Kube, server: Server, said: bytes) -> None:
    server.will(200, said)
    with pytest.raises(KubeError, match="which is no object"):
        kube.server_version()
