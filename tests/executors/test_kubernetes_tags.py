"""What tags mean, while registries answer, are silent, and come back."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from cluster.layers import base_layer
from cluster.registry import BASE, Registry
from gitdata.backends.registry import Registries
from gitdata.errors import GitdataError, InvalidInputError, MachineError, RemoteError
from gitdata.executors.kubernetes_tags import Tags


@pytest.fixture
def silent() -> Iterator[str]:
    """A host that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"localhost:{server.getsockname()[1]}"


def known(tags: Tags, image: str, asked: str = "") -> str:
    """Ask as turns of the controller do."""
    deadline = time.monotonic() + 20
    while True:
        try:
            return tags.digest(image, asked)
        except GitdataError as error:
            if not error.transient or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_a_tag_is_asked_once(image_registry: Registry) -> None:
    tags = Tags(Registries(), patience=60)
    image = f"{image_registry.host}/{BASE}"
    found = known(tags, image)
    assert found == image_registry.digest(*BASE.rsplit(":", 1))
    image_registry.stop()
    try:
        assert tags.digest(image) == found
    finally:
        image_registry.start()


def test_a_request_is_answered_anew_for_who_asked_and_nobody_else(image_registry: Registry) -> None:
    def push(letter: str) -> str:
        return image_registry.push("tags/moves", "1", [base_layer()], {"Labels": {"is": letter}}).partition("@")[2]

    tags, image = Tags(Registries(), patience=60), f"{image_registry.host}/tags/moves:1"
    first = push("a")
    assert known(tags, image) == first
    second = push("b")
    assert (known(tags, image), known(tags, image, "request")) == (first, second)
    third = push("c")
    assert (known(tags, image), known(tags, image, "request")) == (first, second)
    assert known(tags, image, "another") == third


def test_a_silent_registry_keeps_nobody_waiting(silent: str) -> None:
    tags = Tags(Registries(), patience=60)
    with pytest.raises(RemoteError, match="has not answered yet") as raised:
        tags.digest(f"{silent}/team/a:1")
    assert raised.value.transient
    began = time.monotonic()
    for _ in range(5):
        with pytest.raises(RemoteError):
            tags.digest(f"{silent}/team/a:1")
    assert time.monotonic() - began < 1, "one moment for the first question, none for the others"


def test_a_registry_that_comes_back_is_asked_again(image_registry: Registry) -> None:
    tags = Tags(Registries(), patience=60, pause=0.1)
    image = f"{image_registry.host}/{BASE}"
    image_registry.stop()
    try:
        with pytest.raises(RemoteError, match="cannot be reached"):
            tags.digest(image)
    finally:
        image_registry.start()
    assert known(tags, image).startswith("sha256:")


def test_patience_ends_and_stays_ended(image_registry: Registry) -> None:
    tags = Tags(Registries(), patience=0.2, pause=0.1)
    image = f"{image_registry.host}/{BASE}"
    image_registry.stop()
    try:
        with pytest.raises(MachineError, match=r"cannot be reached.*asked for"):
            known(tags, image)
        for _ in range(3):  # the plan is made more than once before a commit is published
            time.sleep(0.1)
            with pytest.raises(MachineError):
                tags.digest(image)
    finally:
        image_registry.start()


def test_an_image_that_is_not_there_is_the_stage_s_fault(image_registry: Registry) -> None:
    with pytest.raises(InvalidInputError, match="unknown"):
        known(Tags(Registries(), patience=60), f"{image_registry.host}/team/nothing:1")


def test_a_registry_without_an_end_is_given_up_on() -> None:
    """One that answers a byte at a time keeps every time limit of a socket."""
    ended = threading.Event()

    def drip(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            while not ended.wait(0.05):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        tags = Tags(Registries(), patience=1.5, pause=0.1)
        image = f"localhost:{server.getsockname()[1]}/team/a:1"
        try:
            with pytest.raises(MachineError, match="has not answered yet; asked for"):
                known(tags, image)
            for _ in range(3):  # the plan is made more than once before a commit is published
                time.sleep(0.1)
                with pytest.raises(MachineError):
                    tags.digest(image)
        finally:
            ended.set()


def test_what_nobody_wants_any_more_is_asked_again(image_registry: Registry) -> None:
    tags = Tags(Registries(), patience=0.2, pause=0.1, keep=0.3)
    image = f"{image_registry.host}/{BASE}"
    known(tags, image)
    image_registry.stop()
    try:
        assert tags.digest(image)
        time.sleep(0.4)  # the commit that wanted it is published; the tag may have moved since
        with pytest.raises(RemoteError, match="cannot be reached"):
            tags.digest(image)
        time.sleep(0.5)  # a silence of long ago does not count against a registry
        with pytest.raises(RemoteError, match="cannot be reached"):
            tags.digest(image)
    finally:
        image_registry.start()
