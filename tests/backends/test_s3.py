"""What a user gets told when S3 does not do what it should: one clear line, soon."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from gitdata.backends.objects import ObjectStore
from gitdata.backends.stores import open_store
from gitdata.errors import RemoteError
from helpers.s3 import S3

CALLS: list[Callable[[ObjectStore], object]] = [
    lambda store: store.head("k"),
    lambda store: store.read("k"),
    lambda store: store.write("k", b"x"),
    lambda store: list(store.list("")),
    lambda store: store.delete("k"),
]
NAMES = ["head", "read", "write", "list", "delete"]


@pytest.mark.parametrize("call", CALLS[1:4], ids=NAMES[1:4])
def test_no_such_bucket(s3: S3, call: Callable[[ObjectStore], object]) -> None:
    with pytest.raises(RemoteError, match="no such bucket") as caught:
        call(open_store("s3://nowhere/x"))
    assert not caught.value.transient
    assert caught.value.hint


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
@pytest.mark.parametrize("keys", [("wrong", "wrong"), ("testkey", "wrong")], ids=["key", "secret"])
def test_wrong_credentials(s3: S3, call: Callable[[ObjectStore], object], keys: tuple[str, str]) -> None:
    options = {"access_key_id": keys[0], "secret_access_key": keys[1]}
    with pytest.raises(RemoteError, match="refused to") as caught:
        call(open_store(f"s3://{s3.bucket()}/x", options))
    assert not caught.value.transient
    assert "keys" in caught.value.hint
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_a_server_that_is_down_fails_soon(s3: S3, call: Callable[[ObjectStore], object]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: connections are refused
        options = {"endpointurl": f"http://127.0.0.1:{unused.getsockname()[1]}"}
        begin = time.monotonic()
        with pytest.raises(RemoteError, match="does not answer") as caught:
            call(open_store("s3://bucket/x", options))
    assert caught.value.transient
    assert time.monotonic() - begin < 15


def test_a_server_that_says_nothing_is_given_up(s3: S3) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = open_store("s3://bucket/x", {"endpointurl": endpoint, "read_timeout": "1"})
        with pytest.raises(RemoteError, match="does not answer") as caught:
            store.head("k")
    assert caught.value.transient


def test_keys_of_the_remote_go_before_the_environment(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"s3://{s3.bucket()}/x"
    options = {
        "endpointurl": s3.endpoint,
        "access_key_id": s3.env["AWS_ACCESS_KEY_ID"],
        "secret_access_key": s3.env["AWS_SECRET_ACCESS_KEY"],
        "region": "us-east-1",
    }
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "other")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    open_store(url, options).write("k", b"x")
    assert open_store(url, options).read("k") == b"x"


def test_two_prefixes_of_one_bucket_do_not_meet(s3: S3) -> None:
    bucket = s3.bucket()
    one, other = open_store(f"s3://{bucket}/a"), open_store(f"s3://{bucket}/ab")
    other.write("k", b"x")
    assert list(one.list("")) == []
    assert [info.key for info in open_store(f"s3://{bucket}").list("")] == ["ab/k"]
