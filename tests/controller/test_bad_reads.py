"""A store that answers wrongly once, or for a while: it is asked again, and nobody is told to delete what is sound."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from gitdata.backends.stores import open_store
from gitdata.controller.clone import open_clone
from gitdata.controller.loop import Controller
from gitdata.controller.serve import serve
from gitdata.controller.site import Site
from gitdata.data.cache import Cache
from gitdata.data.transfer import pull_objects, push_objects, read_object
from gitdata.errors import GitdataError, MissingDataError, RemoteError
from gitdata.executors.local import LocalExecutor
from gitdata.formats.dvc import dump_pointer, object_key
from gitdata.formats.dvcdir import dir_oid, dump_dir
from gitdata.model import Entry, Output
from helpers.lab import Lab, faster
from helpers.proxy import Fault, Proxy, Request, misbehaving
from helpers.s3 import S3

HTML = b"<html><body>Please sign in to this network.</body></html>"
DENIED = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>no</Message></Error>"
SPOILED: dict[str, Callable[[bytes], Fault]] = {
    "html": lambda data: Fault(status=200, body=HTML),
    "empty": lambda data: Fault(status=200),
    "cut": lambda data: Fault(status=200, body=data[: len(data) // 2]),
    "other": lambda data: Fault(status=200, body=bytes(byte ^ 1 for byte in data)),
    "403": lambda data: Fault(status=403, body=DENIED),
}


class Bucket:
    """A data remote behind a proxy. spoil: how an answer is spoiled, and which keys; once: only each key's first."""

    def __init__(self, s3: S3, proxy: Proxy) -> None:
        self.name = s3.bucket()
        self.url = f"s3://{self.name}"
        self.options = {"endpointurl": proxy.url}
        self.folder = s3.folder / self.name
        self.spoil: Callable[[bytes], Fault] | None = None
        self.concerns: Callable[[str], bool] = lambda key: True
        self.once = True
        self.spoiled: set[str] = set()
        proxy.rule = self._rule

    def _rule(self, request: Request) -> Fault | None:
        key = unquote(urlsplit(request.path).path).removeprefix(f"/{self.name}/").strip("/")
        file = self.folder / key
        if self.spoil is None or request.method != "GET" or not file.is_file() or not self.concerns(key):
            return None
        if self.once and key in self.spoiled:
            return None
        self.spoiled.add(key)
        return self.spoil(file.read_bytes())


@pytest.fixture
def bucket(s3: S3) -> Iterator[Bucket]:
    with misbehaving(s3.endpoint) as proxy:
        yield Bucket(s3, proxy)


def settle(lab: Lab, bucket: Bucket) -> None:
    git, lock = open_clone(lab.root / "cache", str(lab.origin.path))
    store = open_store(bucket.url, bucket.options)
    executor = LocalExecutor(bucket.url, bucket.options, cores=2, cache_home=lab.root / "cache", flush_seconds=0.2)
    site = Site(git=git, store=store, executor=executor, origin=str(lab.origin.path))
    with lock:
        try:
            controller = Controller(site, faster(branches=("*",)), say=lab.log.append)
            serve(controller, once=True, stop=threading.Event())
        finally:
            executor.close()


@pytest.fixture
def lab(home: Path, tmp_path: Path, bucket: Bucket) -> Lab:
    """A stage over a data folder whose objects lie in the bucket."""
    lab = Lab.create(tmp_path)
    cache = Cache(tmp_path / "objects")
    entries = [Entry(name, cache.add_bytes(name.encode() * 100).md5, 100) for name in ("a", "b")]
    data = dump_dir(entries)
    cache.add_bytes(data, directory=True)
    push_objects(open_store(bucket.url, bucket.options), cache, [dir_oid(data)])
    lab.work.write("images.dvc", dump_pointer(Output("images", dir_oid(data), 200, 2), {}).decode())
    lab.stage("copy", "cp /pfs/images/* /pfs/out/", {"pfs": {"repo": "images", "glob": "/*"}})
    lab.stage("all", "cat /pfs/copy/* > /pfs/out/all", {"pfs": {"repo": "copy", "glob": "/"}})
    lab.push("stages")
    return lab


@pytest.mark.parametrize("kind", SPOILED)
def test_an_answer_that_is_wrong_once_is_asked_for_again(lab: Lab, bucket: Bucket, kind: str) -> None:
    """Of every object that anybody reads, the first answer is spoiled."""
    bucket.spoil = SPOILED[kind]
    bucket.concerns = lambda key: "/plans/" not in key  # a worker reads it before it has begun
    settle(lab, bucket)
    assert lab.states() == {"copy": "success", "all": "success"}
    assert {key.split("/")[0] for key in bucket.spoiled} == {"files", "gitdata"}
    assert not [line for line in lab.log if "delete" in line or "damaged" in line]
    # Nor is anything of it done again for the next commit.
    bucket.spoiled.clear()
    lab.work.write("README", "words")
    lab.push("words")
    before = len(lab.log)
    settle(lab, bucket)
    assert lab.started(lab.log[before:]) == []


def test_a_store_that_refuses_for_a_while_publishes_no_failure_and_keeps_no_other_branch(
    lab: Lab, bucket: Bucket
) -> None:
    bucket.once, bucket.spoil = False, SPOILED["403"]
    bucket.concerns = lambda key: key.endswith(".dir")
    lab.work.write("in/a", "one")
    lab.stage("copy", "cp /pfs/in/* /pfs/out/")
    lab.work.git("rm", "--quiet", "stages/all.json")
    bucket.concerns = lambda key: key.endswith(".dir") and b'"relpath": "b"' in (bucket.folder / key).read_bytes()
    other = lab.push("no data", branch="other")
    with pytest.raises(RemoteError, match="refused to read"):
        settle(lab, bucket)
    assert lab.output("other").source == other
    assert lab.tip() is None
    bucket.spoil = None
    settle(lab, bucket)
    assert lab.states() == {"copy": "success", "all": "success"}


@pytest.mark.parametrize("kind", ["html", "empty", "cut"])
def test_what_the_list_contradicts_is_no_damage(lab: Lab, bucket: Bucket, kind: str, tmp_path: Path) -> None:
    bucket.once, bucket.spoil = False, SPOILED[kind]
    store = open_store(bucket.url, bucket.options)
    [file] = bucket.folder.glob("files/md5/*/*.dir")
    oid = file.parent.name + file.name
    with pytest.raises(RemoteError, match="other bytes than its name says") as caught:
        read_object(store, oid)
    assert (caught.value.transient, caught.value.hint) == (True, "")
    with pytest.raises(GitdataError) as pulled:
        pull_objects(store, Cache(tmp_path / "another"), [oid])
    assert "delete" not in pulled.value.hint


def test_what_is_damaged_there_is_still_said_to_be(lab: Lab, bucket: Bucket) -> None:
    [file] = bucket.folder.glob("files/md5/*/*.dir")
    file.chmod(0o644)
    file.write_bytes(b"[]")
    oid = file.parent.name + file.name
    with pytest.raises(MissingDataError, match="has other bytes under its name") as caught:
        read_object(open_store(bucket.url, bucket.options), oid)
    assert "delete that object" in caught.value.hint
    assert object_key(oid).endswith(file.name)
