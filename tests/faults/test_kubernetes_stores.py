"""The object store or the registry is away: work waits for it and goes on, no attempt is lost."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cluster.processes import eventually, free_port
from helpers.cluster_lab import ClusterLab, answers

pytestmark = pytest.mark.cluster
Right = Callable[[], None]


@pytest.mark.slow
def test_s3_is_down_for_a_minute(lab: ClusterLab, right: Right) -> None:
    """A real minute, which begins while commands run and ends long after theirs: the pods wait, and so do we."""
    with lab.serving():
        lab.holding(2)
        lab.s3.kill()
        lab.gate.touch()
        time.sleep(61)
        assert len(lab.pods.running) == 2
        lab.s3.start()
        right()
    assert len(lab.pods.all) == len(lab.begun()) == 2
    assert lab.records("failed") == []


def test_s3_is_down_when_a_pod_begins(lab: ClusterLab, right: Right) -> None:
    lab.pods.began = lambda name, pod: lab.s3.kill()
    lab.gate.touch()
    with lab.serving():
        lab.wait("the pods", lambda: lab.pods.all)
        time.sleep(8)
        lab.pods.began = None
        lab.s3.start()
        right()
    assert len(lab.pods.all) == 2
    assert lab.records("failed") == []


def test_s3_hangs(lab: ClusterLab, right: Right) -> None:
    with lab.serving():
        lab.holding(2)
        lab.s3.pause()
        lab.gate.touch()
        time.sleep(10)
        lab.s3.resume()
        right()
    assert len(lab.pods.all) == len(lab.begun()) == 2


def test_the_registry_is_down(lab: ClusterLab) -> None:
    """What a tag means cannot be asked: its stage waits, and it is asked again until it is answered."""
    port = free_port()
    lab.settings = replace(lab.settings, stuck_seconds=300)
    lab.image = f"127.0.0.1:{port}/team/stage:1"
    lab.work.write("in/a", "one")
    lab.held()
    commit = lab.push("an image with a tag")
    lab.gate.touch()
    with lab.serving():
        lab.wait("its words", lambda: any("cannot be reached" in line for line in lab.log))
        assert lab.jobs() == []
        server = _registry(port)
        lab.published(commit)
        lab.tidy()
        server.shutdown()
        server.server_close()
    assert lab.states() == {"held": "success"}
    assert lab.records("failed") == []


def _registry(port: int) -> HTTPServer:
    """A registry with one manifest under every name."""
    body = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json"}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            self.send_header("Docker-Content-Digest", f"sha256:{hashlib.sha256(body).hexdigest()}")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    eventually("the registry", lambda: answers(f"http://127.0.0.1:{port}"))
    return server
