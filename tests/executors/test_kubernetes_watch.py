"""The doorbell against a server of our own, which breaks watches in every way that servers and networks know."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from executors.manifests import SETTINGS
from gitdata.backends.kube import Cluster, Kube
from gitdata.executors.kubernetes_look import Lookout
from gitdata.executors.kubernetes_nodes import Nodes
from gitdata.executors.kubernetes_watch import Doorbell

POD = {"metadata": {"resourceVersion": "7", "labels": {"batch.kubernetes.io/job-name": "a-1"}}}
JOB = {"metadata": {"resourceVersion": "8"}}


@dataclass
class Watched:
    """play: what a watch of jobs does, in order, the last one for ever. versions: where each watch began.

    asked: every request: when, by which connection, for what.
    """

    url: str = ""
    play: list[Callable[[BaseHTTPRequestHandler], None]] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    lists: int = 0
    asked: list[tuple[float, int, str]] = field(default_factory=list)


def tell(handler: BaseHTTPRequestHandler, *events: Any, hold: float = 0, clean: bool = True) -> None:
    """Answer a watch with events, wait, and end it."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for event in events:
        line = json.dumps(event).encode() + b"\n"
        # In two pieces: nobody promised that a chunk is an event.
        for piece in (line[:10], line[10:]):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.flush()
    time.sleep(hold)
    if clean:  # and the connection stays: one that is closed without a word may have the next request on its way
        handler.wfile.write(b"0\r\n\r\n")
    handler.close_connection = not clean


def hold(handler: BaseHTTPRequestHandler) -> None:
    tell(handler, hold=30)


@pytest.fixture
def server() -> Iterator[Watched]:
    told = Watched()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            told.asked.append((time.monotonic(), self.client_address[1], self.path))
            target = urlsplit(self.path)
            query = {k: v[0] for k, v in parse_qs(target.query).items()}
            if "watch" in query:
                if target.path.endswith("/pods"):
                    return hold(self)
                told.versions.append(query["resourceVersion"])
                return (told.play.pop(0) if len(told.play) > 1 else told.play[0])(self)
            if target.path == "/api/v1/nodes":
                return refuse(403)(self)
            told.lists += 1
            text = json.dumps({"metadata": {"resourceVersion": "5"}, "items": []}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            return None

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        running.block_on_close = False
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        told.url = f"http://127.0.0.1:{running.server_port}"
        yield told
        running.shutdown()


@pytest.fixture
def kube(server: Watched, tmp_path: Path) -> Kube:
    file = tmp_path / "kubeconfig"
    cluster = {"name": "c", "cluster": {"server": server.url}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    user: dict[str, Any] = {"name": "u", "user": {}}
    whole = {"clusters": [cluster], "users": [user], "contexts": [context], "current-context": "x"}
    file.write_text(json.dumps(whole))
    return Kube(Cluster("jobs", str(file)))


@pytest.fixture
def bell(kube: Kube) -> Iterator[Doorbell]:
    made = Doorbell(kube, "a=b", seconds=30)
    yield made
    made.close()


def until(check: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def refuse(status: int) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        text = json.dumps({"kind": "Status", "message": "no", "code": status}).encode()
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    return answer


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.close_connection = True


def break_off(handler: BaseHTTPRequestHandler) -> None:
    tell(handler, {"type": "MODIFIED", "object": JOB}, clean=False)


def too_old(handler: BaseHTTPRequestHandler) -> None:
    tell(handler, {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old", "metadata": {}}})


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    tell(handler, {"type": "MODIFIED"}, ["no event"])


def test_an_event_rings_and_a_bookmark_does_not(server: Watched, bell: Doorbell) -> None:
    def play(handler: BaseHTTPRequestHandler) -> None:
        bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "99"}}}
        tell(handler, {"type": "MODIFIED", "object": JOB}, bookmark, hold=1.2)

    server.play = [play, hold]
    assert not bell.healthy
    bell.start()
    bell.start()
    until(lambda: len(server.versions) == 2)
    assert server.versions == ["5", "99"], server.asked  # the second goes on where the first ended
    assert bell.jobs_changed == 3  # two watches began, one Job changed
    assert bell.healthy


@pytest.mark.parametrize("fault", [refuse(410), refuse(429), refuse(503), hang_up, break_off, too_old, nonsense])
def test_a_broken_watch_is_begun_again_and_rings(
    server: Watched, bell: Doorbell, fault: Callable[[BaseHTTPRequestHandler], None]
) -> None:
    server.play = [fault, fault, hold]
    bell.start()
    until(lambda: len(server.versions) == 3 and bell.healthy)
    assert server.lists == 4, server.asked  # pods once, jobs anew after each fault: what happened meanwhile is unknown
    begun = 3 if fault in (break_off, too_old, nonsense) else 1
    assert bell.jobs_changed >= begun + 1  # each watch of Jobs that began, and the one of pods


def test_a_watch_that_ends_at_once_is_not_taken_for_one_that_hears(server: Watched, bell: Doorbell) -> None:
    server.play = [tell]
    bell.start()
    time.sleep(1.5)
    assert 2 <= len(server.versions) <= 6
    assert server.versions[-1] == "5"


def test_close_ends_it_at_once(server: Watched, bell: Doorbell) -> None:
    server.play = [hold]
    others = set(threading.enumerate())
    bell.start()
    until(lambda: bell.healthy)
    bell.close()
    mine = [t for t in set(threading.enumerate()) - others if t.name.startswith("watch of")]
    until(lambda: not any(t.is_alive() for t in mine))
    assert not bell.healthy


@pytest.mark.parametrize(
    ("status", "rings"),
    [
        ({"phase": "Pending"}, 0),
        ({"phase": "Running"}, 0),
        ({"phase": "Running", "containerStatuses": [{"name": "user", "state": {"terminated": {"exitCode": 0}}}]}, 1),
        (
            {
                "phase": "Pending",
                "containerStatuses": [{"name": "x", "state": {"waiting": {"reason": "ErrImagePull"}}}],
            },
            1,
        ),
        ({"phase": "Failed"}, 1),
    ],
)
def test_of_pods_only_what_is_news_rings(bell: Doorbell, status: dict[str, Any], rings: int) -> None:
    bell.hear_pod({"type": "MODIFIED", "object": {**POD, "status": status}})
    assert bell.pods_changed.get("a-1", 0) == rings
    bell.forget("a-1")
    assert bell.pods_changed == {}


def test_pods_of_jobs_that_are_long_gone_leave_nothing_behind(server: Watched, kube: Kube) -> None:
    server.play = [hold]
    lookout = Lookout(kube, SETTINGS)
    lookout.bell.hear_pod({"type": "DELETED", "object": POD})  # an hour after the job was forgotten
    assert lookout.jobs() == {}
    lookout.bell.close()
    assert lookout.bell.pods_changed == {}


def test_a_controller_that_may_not_see_nodes_counts_one_and_says_so_once(kube: Kube) -> None:
    said: list[str] = []
    nodes = Nodes(kube, said.append)
    assert [nodes.count({}, ()), nodes.count({"a": "b"}, ())] == [1, 1]
    assert len(said) == 1
