"""An API server that is away, slow, or says what is not so: Jobs go on, nothing is made twice, nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from gitdata.controller.config import ControllerSettings
from helpers.cluster_lab import ClusterLab
from helpers.lab import SETTINGS, faster
from helpers.proxy import Fault, Proxy, Request, Rule, misbehaving

pytestmark = pytest.mark.cluster
Right = Callable[[], None]
_GONE = b'{"kind":"Status","apiVersion":"v1","message":"too old resource version","reason":"Expired","code":410}'


def test_the_api_server_is_killed_and_started_again(lab: ClusterLab, right: Right) -> None:
    with lab.serving():
        lab.holding(2)
        with lab.cluster.plane.without_apiserver():
            lab.wait("the controller's words", lambda: any("cannot be reached" in line for line in lab.log))
        lab.gate.touch()
        right()
    assert len(lab.begun()) == 2
    assert lab.records("failed") == []


def test_work_ends_while_the_api_server_is_away(lab: ClusterLab, right: Right) -> None:
    with lab.serving():
        lab.holding(2)
        with lab.cluster.plane.without_apiserver():
            lab.gate.touch()
            lab.wait("the end of the pods", lambda: not lab.pods.running)
        right()
    assert len(lab.begun()) == 2
    assert lab.records("failed") == []


def test_the_api_server_hangs(lab: ClusterLab, right: Right) -> None:
    server = lab.cluster.servers["kube-apiserver"]
    with lab.serving():
        lab.holding(2)
        server.pause()
        try:
            lab.gate.touch()
            time.sleep(8)
        finally:
            server.resume()
        right()
    assert len(lab.begun()) == 2


# ------------------------------------------------------------------------------------------- answers that are not so


@contextmanager
def faulty(lab: ClusterLab, rule: Rule | None, settings: ControllerSettings = SETTINGS) -> Iterator[Proxy]:
    """A controller works behind a proxy with this rule."""
    with misbehaving(lab.cluster.plane.url, lab.cluster.plane.credentials.folder / "ca.crt") as proxy:
        proxy.rule = rule
        lab.through(proxy.url)
        with lab.serving(settings):
            yield proxy


def first(times: int, fault: Fault, *methods: str) -> Rule:
    """The first few requests of each of these methods meet the fault; watches do not."""
    left = dict.fromkeys(methods, times)

    def rule(request: Request) -> Fault | None:
        if request.watches or not left.get(request.method):
            return None
        left[request.method] -= 1
        return fault

    return rule


@pytest.mark.parametrize("status", [500, 503, 0], ids=["500", "503", "cut"])
def test_a_5xx_after_the_write(lab: ClusterLab, right: Right, status: int) -> None:
    """The Job is made and so is its time limit, but nobody is told: asked again, it is there."""
    fault = Fault(forward=True, status=status)
    with faulty(lab, first(1, fault, "POST", "PATCH")) as proxy:
        lab.gate.touch()
        right()
    assert proxy.count("POST", "/jobs") == 2
    assert proxy.count("PATCH", "/jobs") >= 2
    assert len(lab.jobs()) == 1
    assert len(lab.begun()) == 2


def test_a_429(lab: ClusterLab, right: Right) -> None:
    fault = Fault(status=429, headers={"Retry-After": "1"})
    with faulty(lab, first(2, fault, "GET", "POST", "PATCH")) as proxy:
        lab.gate.touch()
        right()
    assert proxy.count("POST", "/jobs") == 3
    assert len(lab.begun()) == 2


def test_an_api_server_that_fails_for_longer_than_one_request(lab: ClusterLab, right: Right) -> None:
    with faulty(lab, first(12, Fault(status=503), "GET", "POST")):
        lab.gate.touch()
        right()
    assert [line for line in lab.log if "trying again" in line]
    assert len(lab.begun()) == 2


def test_a_job_that_cannot_be_made_keeps_no_other_branch_waiting(lab: ClusterLab) -> None:
    """A webhook for Jobs that is away is an error at each POST, while all else is answered."""

    def away(request: Request) -> Fault | None:
        return Fault(status=500) if request.method == "POST" and "/jobs" in request.path else None

    lab.work.write("in/a", "one")
    lab.held()
    lab.push("stages", branch="z")
    with faulty(lab, None, faster(branches=("a", "z"))) as proxy:
        lab.holding(1)
        before, proxy.rule = proxy.count("POST", "/jobs"), away
        lab.held(script="cat /pfs/in/* > /pfs/out/all")
        later = lab.push("other work", branch="a")
        lab.wait("a refusal", lambda: proxy.count("POST", "/jobs") > before)
        lab.gate.touch()
        lab.wait("the outputs of z", lambda: lab.tip("z"))
        proxy.rule = None
        lab.published(later, "a")
        lab.tidy()
    assert len([record for record in lab.records("started") if record["branch"] == "a"]) == 1
    assert lab.records("failed") == []


def test_a_410(lab: ClusterLab, right: Right) -> None:
    """Lists and watches whose past the server has forgotten begin anew."""
    gone = Fault(status=410, body=_GONE, headers={"Content-Type": "application/json"})

    def rule(request: Request) -> Fault | None:
        return gone if request.watches or "continue=" in request.path else None

    with faulty(lab, rule):
        lab.gate.touch()
        right()
    assert len(lab.begun()) == 2


@pytest.mark.parametrize("seconds", [0.3, None], ids=["soon", "at once"])
def test_watches_that_are_cut(lab: ClusterLab, right: Right, seconds: float | None) -> None:
    def rule(request: Request) -> Fault | None:
        return Fault(forward=seconds is not None, seconds=seconds) if request.watches else None

    with faulty(lab, rule):
        lab.holding(2)
        lab.gate.touch()
        right()
    assert len(lab.begun()) == 2
