"""Digests of images from a registry of our own that speaks the protocol: tags, platforms, logins, refusals."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gitdata.backends.registry import Logins, Registries, find, image_command, parse_reference, read_logins, resolve
from gitdata.errors import InvalidInputError, MachineError, RemoteError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


@dataclass
class Registry:
    """images: tag or digest -> (media type, bytes), blobs too. login: "", "basic" or "bearer".

    moved: digest of a blob -> where it is. seen: (path, Authorization).
    """

    host: str = ""
    images: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    login: str = ""
    seen: list[tuple[str, str]] = field(default_factory=list)
    realm: str = ""
    moved: dict[str, str] = field(default_factory=dict)
    token_status: int = 0

    def put(self, tag: str, body: object, kind: str = MANIFEST) -> str:
        data = json.dumps(body).encode()
        digest = "sha256:" + hashlib.sha256(data).hexdigest()
        self.images[tag] = self.images[digest] = (kind, data)
        return digest


@pytest.fixture
def registry() -> Iterator[Registry]:
    told = Registry()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            given = self.headers.get("Authorization", "")
            told.seen.append((self.path, given))
            if self.path.startswith("/token") and told.token_status:
                return self.say(told.token_status, {})
            if self.path.startswith("/token"):
                good = given == BASIC and "scope=repository%3Ateam%2Fapp%3Apull" in self.path
                return self.say(200 if good else 401, {"token": "t0ken"} if good else {})
            if self.path.startswith("/store/"):  # of blobs: a login there would be a leak
                return self.say(200, told.images[self.path.removeprefix("/store/")][1])
            challenge = {"basic": "Basic realm=x", "bearer": f'Bearer realm="{told.realm}",service="s"'}.get(told.login)
            if challenge and given != {"basic": BASIC, "bearer": "Bearer t0ken"}[told.login]:
                return self.say(401, {}, challenge)
            name = self.path.rpartition("/")[2]
            if name == "moved":
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/")
                return self.end_headers()
            if "/blobs/" in self.path and name in told.moved:
                self.send_response(307)
                self.send_header("Location", told.moved[name])
                return self.end_headers()
            if name == "broken":
                return self.say(503, {"errors": [{"message": "the disk is full"}]})
            if name not in told.images:
                return self.say(404, {"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown"}]})
            kind, data = told.images[name]
            return self.say(200, data, kind=kind)

        def say(self, status: int, body: object, challenge: str = "", kind: str = "application/json") -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", "sha256:" + "f" * 64)  # a claim, not to be believed
            if challenge:
                self.send_header("WWW-Authenticate", challenge)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        told.host = f"127.0.0.1:{running.server_port}"
        told.realm = f"http://{told.host}/token"
        yield told
        running.shutdown()


def test_a_digest_is_not_asked_for(registry: Registry) -> None:
    text = f"{registry.host}/team/app:1@sha256:{'a' * 64}"
    assert resolve(text, Registries()).pinned == f"{registry.host}/team/app@sha256:{'a' * 64}"
    assert registry.seen == []


def test_a_tag_is_the_digest_of_its_bytes(registry: Registry) -> None:
    digest = registry.put("1.0", {"layers": []})
    assert resolve(f"{registry.host}/team/app:1.0", Registries()).digest == digest
    latest = registry.put("latest", {"layers": [1]})
    assert resolve(f"{registry.host}/team/app", Registries()).digest == latest


def test_an_index_is_the_image_of_the_platform(registry: Registry) -> None:
    images = [
        {"digest": f"sha256:{n * 64}", "platform": {"os": "linux", "architecture": machine}}
        for n, machine in (("1", "arm64"), ("2", "amd64"))
    ]
    registry.put("1", {"manifests": images}, INDEX)
    text = f"{registry.host}/team/app:1"
    assert resolve(text, Registries()).digest == f"sha256:{'2' * 64}"
    assert resolve(text, Registries(platform="linux/arm64")).digest == f"sha256:{'1' * 64}"
    assert resolve(text, Registries(platform="linux/arm64/v8")).digest == f"sha256:{'1' * 64}"
    older = {"digest": f"sha256:{'3' * 64}", "platform": {"os": "linux", "architecture": "arm64", "variant": "v7"}}
    registry.put("2", {"manifests": [older]}, INDEX)
    with pytest.raises(InvalidInputError, match="none for linux/arm64/v8"):
        resolve(f"{registry.host}/team/app:2", Registries(platform="linux/arm64/v8"))
    with pytest.raises(InvalidInputError, match="none for linux/s390x"):
        resolve(text, Registries(platform="linux/s390x"))


@pytest.mark.parametrize("login", ["basic", "bearer"])
def test_logins(registry: Registry, login: str) -> None:
    registry.login = login
    digest = registry.put("1", {})
    text = f"{registry.host}/team/app:1"
    known = Registries(logins={registry.host: ("me", "secret")})
    assert resolve(text, known).digest == digest
    with pytest.raises(InvalidInputError, match=r"refuses it|no token"):
        resolve(text, Registries())
    with pytest.raises(InvalidInputError, match=r"refuses it|no token"):
        resolve(text, Registries(logins={registry.host: ("me", "wrong")}))


@pytest.mark.parametrize("status", [429, 503])
def test_a_token_server_that_is_busy_is_asked_again(registry: Registry, status: int) -> None:
    registry.login, registry.token_status = "bearer", status
    registry.put("1", {})
    with pytest.raises(RemoteError, match=f"no token .{status}") as raised:
        resolve(f"{registry.host}/team/app:1", Registries(logins={registry.host: ("me", "secret")}))
    assert raised.value.transient


def test_a_login_goes_to_no_realm_without_tls(registry: Registry) -> None:
    registry.login, registry.realm = "bearer", "http://elsewhere.example/token"
    with pytest.raises(RemoteError, match="no https"):
        resolve(f"{registry.host}/team/app:1", Registries(logins={registry.host: ("me", "secret")}))


def test_a_mirror_answers_for_its_registry(registry: Registry) -> None:
    digest = registry.put("1", {})
    found = resolve("docker.io/library/app:1", Registries(mirrors={"docker.io": f"http://{registry.host}"}))
    assert (found.host, found.digest) == ("docker.io", digest)
    assert registry.seen == [("/v2/library/app/manifests/1", "")]


@pytest.mark.parametrize(
    ("tag", "error", "word"),
    [
        ("none", InvalidInputError, "no such image: manifest unknown"),
        ("broken", RemoteError, "503: the disk is full"),
        ("moved", RemoteError, "answered 302"),
    ],
)
def test_the_registrys_words(registry: Registry, tag: str, error: type[Exception], word: str) -> None:
    with pytest.raises(error, match=word):
        resolve(f"{registry.host}/team/app:{tag}", Registries())


def test_an_image_that_is_not_there_can_be_asked_for(registry: Registry) -> None:
    digest = registry.put("1", {})
    assert find(f"{registry.host}/team/app:none", Registries()) is None
    found = find(f"{registry.host}/team/app:1", Registries())
    assert found is not None
    assert found.digest == digest
    registry.login = "basic"  # who may not look knows nothing
    with pytest.raises(InvalidInputError, match="refuses it"):
        find(f"{registry.host}/team/app:none", Registries())


def image(registry: Registry, config: object) -> str:
    """An image with this configuration; its digest."""
    about = registry.put("config", {"config": config})
    return registry.put("1", {"config": {"digest": about}})


def command(registry: Registry, digest: str, known: Registries | None = None) -> tuple[str, ...]:
    return image_command(parse_reference(f"{registry.host}/team/app@{digest}"), known or Registries())


def test_what_an_image_runs_by_itself(registry: Registry) -> None:
    digest = image(registry, {"Entrypoint": ["python3", "-u"], "Cmd": ["main.py"]})
    assert command(registry, digest) == ("python3", "-u", "main.py")
    assert command(registry, image(registry, {"Cmd": ["sh"], "Entrypoint": None})) == ("sh",)
    assert command(registry, image(registry, None)) == ()
    platforms = [{"digest": digest, "platform": {"os": "linux", "architecture": "amd64"}}]
    assert command(registry, registry.put("all", {"manifests": platforms}, INDEX)) == ("python3", "-u", "main.py")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        command(registry, image(registry, {"Cmd": ["a\0b"]}))


def test_a_registry_cannot_say_another_command_than_the_digests(registry: Registry) -> None:
    digest = image(registry, {"Cmd": ["good"]})
    registry.images[digest] = (MANIFEST, registry.images[image(registry, {"Cmd": ["evil"]})][1])
    with pytest.raises(RemoteError, match="other bytes"):
        command(registry, digest)
    digest = image(registry, {"Cmd": ["good"]})
    about = json.loads(registry.images[digest][1])["config"]["digest"]
    registry.images[about] = ("application/json", b'{"config":{"Cmd":["evil"]}}')
    with pytest.raises(RemoteError, match="other bytes"):
        command(registry, digest)


def test_a_blob_that_is_kept_elsewhere_is_fetched_without_login(registry: Registry) -> None:
    registry.login = "basic"
    known = Registries(logins={registry.host: ("me", "secret")})
    digest = image(registry, {"Cmd": ["good"]})
    about = json.loads(registry.images[digest][1])["config"]["digest"]
    registry.moved[about] = f"http://{registry.host}/store/{about}"
    assert command(registry, digest, known) == ("good",)
    assert (f"/v2/team/app/blobs/{about}", BASIC) in registry.seen
    assert registry.seen[-1] == (f"/store/{about}", "")
    registry.moved[about] = "http://elsewhere.example/x"
    with pytest.raises(RemoteError, match="than to an https URL"):
        command(registry, digest, known)


def test_what_is_no_image(registry: Registry) -> None:
    registry.put("page", "hello", "text/html")
    with pytest.raises(InvalidInputError, match="no image"):
        resolve(f"{registry.host}/team/app:page", Registries())


def test_a_registry_that_is_not_there() -> None:
    with pytest.raises(RemoteError, match="cannot be reached") as caught:
        resolve("127.0.0.1:1/app:1", Registries())
    assert caught.value.transient


def test_only_allowed_registries() -> None:
    allowed = Registries(allowed=("registry.example/team", "other.example/"))
    for text in ("registry.example/team/app@sha256:", "other.example/x/y@sha256:"):
        assert resolve(text + "a" * 64, allowed)
    for text in ("registry.example/teammate/app", "registry.example/app", "evil.example/team/app"):
        with pytest.raises(InvalidInputError, match="takes no images from there"):
            resolve(text, allowed)


@pytest.mark.parametrize(
    "text",
    [
        "python:3.11",
        "library/python",
        "Registry.example/app",
        "registry.example/App",
        "registry.example/a/../b",
        "registry.example/app:1\n",
        "registry.example/app@sha256:abc",
        "registry.example/app:" + "t" * 129,
        "user:pass@registry.example/app",
        "https://registry.example/app",
        "registry.example:port/app",
        "-registry.example/app",
        "",
    ],
)
def test_what_is_no_reference(text: str) -> None:
    with pytest.raises(InvalidInputError, match="neither a folder"):
        parse_reference(text)


def test_logins_of_a_docker_configuration(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    auth = base64.b64encode(b"me:p:w").decode()
    file.write_text(
        json.dumps(
            {"auths": {"registry.example": {"auth": auth}, "https://index.docker.io/v1/": {"auth": auth}, "x": {}}}
        )
    )
    assert read_logins(file) == {"registry.example": ("me", "p:w"), "docker.io": ("me", "p:w")}
    file.write_text("no")
    with pytest.raises(InvalidInputError, match="no Docker configuration"):
        read_logins(file)
    with pytest.raises(MachineError, match="cannot be read"):
        read_logins(tmp_path / "none")


def test_logins_are_read_again_when_they_were_replaced(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "config.json"

    def write(password: str) -> None:
        auth = base64.b64encode(f"me:{password}".encode()).decode()
        file.write_text(json.dumps({"auths": {registry.host: {"auth": auth}}}))

    write("expired")
    registry.login = "basic"
    known, digest = Registries(logins=Logins(file)), registry.put("1", {})
    with pytest.raises(InvalidInputError, match="refuses it"):
        resolve(f"{registry.host}/team/app:1", known)
    write("secret")
    assert resolve(f"{registry.host}/team/app:1", known).digest == digest
    file.unlink()
    with pytest.raises(MachineError, match="cannot be read") as caught:
        resolve(f"{registry.host}/team/app:1", known)
    assert caught.value.transient


def test_a_registry_elsewhere_sends_us_to_nothing_that_listens_here(registry: Registry) -> None:
    """What listens on the controller's machine for itself is not for who names a registry in a commit."""
    registry.login = "bearer"  # its realm is http://127.0.0.1:…, which is right for a registry of this machine only
    elsewhere = Registries(mirrors={"registry.example": f"http://{registry.host.replace('127.0.0.1', '127.1')}"})
    with pytest.raises(RemoteError, match="no https URL"):
        resolve("registry.example/team/app:1.0", elsewhere)
    assert [path for path, _ in registry.seen if "token" in path] == []


@pytest.mark.parametrize("realm", ["https://[", "https://x:y/", "http://127.0.0.1:99999999/"])
def test_a_realm_that_is_no_url(registry: Registry, realm: str) -> None:
    registry.login, registry.realm = "bearer", realm
    with pytest.raises(RemoteError, match="which is no URL"):
        resolve(f"{registry.host}/team/app:1.0", Registries())


NESTED = b'{"a":' * 200_000


@pytest.mark.parametrize(
    "body",
    [
        *(json.dumps({"manifests": m}).encode() for m in (5, "x", [5], {"a": 1}, [{"platform": "linux/amd64"}])),
        NESTED,
        b"[]",
        b"\xff",
    ],
)
def test_an_index_of_anything(registry: Registry, body: bytes) -> None:
    registry.images["1.0"] = (INDEX, body)
    with pytest.raises((InvalidInputError, RemoteError)):
        resolve(f"{registry.host}/team/app:1.0", Registries())


@pytest.mark.parametrize("words", [5, "echo", {"a": "b"}, [5], ["a\0b"]])
def test_an_entrypoint_of_anything(registry: Registry, words: object) -> None:
    with pytest.raises(InvalidInputError, match="entrypoint cannot be read"):
        command(registry, image(registry, {"Entrypoint": words}))


@pytest.mark.parametrize("config", [5, ["x"], {}])
def test_an_image_without_a_readable_configuration_runs_nothing(registry: Registry, config: object) -> None:
    assert command(registry, image(registry, config)) == ()


def test_a_manifest_whose_configuration_is_no_table(registry: Registry) -> None:
    digest = registry.put("1.0", {"config": "x"})
    with pytest.raises(RemoteError, match="names no digest"):
        command(registry, digest)


def test_answers_that_nest_without_an_end(registry: Registry) -> None:
    registry.images["1.0"] = ("application/json", NESTED)
    with pytest.raises(InvalidInputError, match="which is no image"):
        resolve(f"{registry.host}/team/app:1.0", Registries())
    registry.login, registry.realm = "bearer", f"http://{registry.host}/store/"
    registry.images["?service=s&scope=repository%3Ateam%2Fapp%3Apull"] = ("application/json", NESTED)
    with pytest.raises(RemoteError, match="no JSON object"):
        resolve(f"{registry.host}/team/app:1.0", Registries())
