"""What a user gets told when S3 does not do what it should: one clear line, soon."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitdata.backends.objects import ObjectStore
from gitdata.backends.s3 import PART, part_size
from gitdata.backends.stores import open_store
from gitdata.errors import RemoteError
from helpers.proxy import Fault, Request, misbehaving
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


def test_keys_go_without_another_s_session_token(s3: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of other keys")
    options = {"access_key_id": s3.env["AWS_ACCESS_KEY_ID"], "secret_access_key": s3.env["AWS_SECRET_ACCESS_KEY"]}
    with misbehaving(s3.endpoint) as proxy:
        url = f"s3://{s3.bucket()}/x"
        open_store(url, {"endpointurl": proxy.url, **options}).write("k", b"x")
        assert "x-amz-security-token" not in proxy.seen[-1].headers
        open_store(url, {"endpointurl": proxy.url, "session_token": "theirs", **options}).head("k")
        assert proxy.seen[-1].headers["x-amz-security-token"] == "theirs"


@pytest.mark.parametrize("size", [PART + 1, 78 << 30, 100 << 30, 5 << 40])
def test_no_object_has_more_parts_than_s3_takes(size: int) -> None:
    assert PART <= part_size(size) <= 5 << 30
    assert size / part_size(size) <= 10_000


_EIGHT_AT_ONCE = """
import os, sys, threading, time
from pathlib import Path
from gitdata.backends.stores import open_store

endpoint, file = sys.argv[1:]
store = open_store("s3://bucket/x", {"endpointurl": endpoint})
for number in range(8):
    threading.Thread(target=store.upload, args=(f"k{number}", Path(file), "0" * 32), daemon=True).start()
time.sleep(3)
os._exit(0)
"""


def test_big_objects_at_once_wait_in_little_memory(tmp_path: Path) -> None:
    """Eight of 200 MB, each part of which the server takes without ever saying so."""
    file = tmp_path / "big"
    with file.open("wb") as made:
        made.truncate(200_000_000)
    begun = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"

    def rule(request: Request) -> Fault:
        if request.method == "PUT":
            time.sleep(10)
        return Fault(status=200, body=begun)

    with misbehaving("http://127.0.0.1:1") as proxy:
        proxy.rule = rule
        script = [sys.executable, "-c", _EIGHT_AT_ONCE, proxy.url, str(file)]
        env = {**os.environ, "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
        subprocess.run(script, env=env, check=True)
        parts = sum("partNumber" in request.path for request in proxy.seen)
    assert 0 < parts <= 12


def test_two_prefixes_of_one_bucket_do_not_meet(s3: S3) -> None:
    bucket = s3.bucket()
    one, other = open_store(f"s3://{bucket}/a"), open_store(f"s3://{bucket}/ab")
    other.write("k", b"x")
    assert list(one.list("")) == []
    assert [info.key for info in open_store(f"s3://{bucket}").list("")] == ["ab/k"]
