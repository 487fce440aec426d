"""Which image a reference means: its digest for one platform, asked of its registry over HTTP. Standard library only.

Called by executors.kubernetes while planning. References come from commits: they are parsed strictly, reach only the
registries that the configuration allows, and never choose where credentials are sent: a token comes from the realm
that the registry itself names, over https unless both are on this machine. A registry's answers are a stranger's too.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any

from gitdata.errors import InvalidInputError, MachineError, RemoteError
from gitdata.text import reason

_REFERENCE = re.compile(
    r"(?P<host>[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?(:[0-9]{1,5})?)/"
    r"(?P<path>[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*)"
    r"(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_SECONDS = 15
_MAX_BYTES = 4 << 20
_INDEXES = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFESTS = ("application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REDIRECTS = (301, 302, 303, 307, 308)
_PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')
_HERE = ("localhost", "127.0.0.1", "::1")
_KNOWN_API = {"docker.io": "https://registry-1.docker.io"}  # the one registry whose API has another host


class NoImageError(InvalidInputError):
    """The registry says that it has no such image."""


class RefusedError(InvalidInputError):
    """The registry does not let us see the image; many say so of one that they do not have."""


@dataclass(frozen=True, slots=True)
class Reference:
    """``host/path:tag@digest``; tag and digest may be empty."""

    host: str
    path: str
    tag: str = ""
    digest: str = ""

    @property
    def pinned(self) -> str:
        return f"{self.host}/{self.path}@{self.digest}"


@dataclass(frozen=True, slots=True)
class Registries:
    """allowed: prefixes such as ``registry.example/team``, () for any. mirrors: host -> base URL of its API.

    logins: host -> (user, password).
    """

    allowed: tuple[str, ...] = ()
    mirrors: Mapping[str, str] | None = None
    logins: Mapping[str, tuple[str, str]] | None = None
    platform: str = "linux/amd64"


def parse_reference(text: str) -> Reference:
    """Raises InvalidInputError. The registry must be named: what a short name means depends on the machine."""
    match = _REFERENCE.fullmatch(text)
    if not match or len(match["path"]) > 255 or not _is_host(match["host"]):
        raise InvalidInputError(
            f"image {text[:200]!r} is neither a folder of this commit nor an image with its registry",
            hint="write registry/name:tag or registry/name@sha256:…, such as docker.io/library/python:3.11",
        )
    return Reference(match["host"], match["path"], match["tag"] or "", match["digest"] or "")


def api_of(host: str, mirrors: Mapping[str, str]) -> str:
    """The base URL of a registry's API."""
    plain = host.rpartition(":")[0] in _HERE or host in _HERE
    return {**_KNOWN_API, **mirrors}.get(host, f"{'http' if plain else 'https'}://{host}").rstrip("/")


def check_allowed(reference: Reference, allowed: tuple[str, ...]) -> None:
    name = f"{reference.host}/{reference.path}"
    if allowed and not any(name == one.rstrip("/") or name.startswith(one.rstrip("/") + "/") for one in allowed):
        raise InvalidInputError(
            f"image {name}: this controller takes no images from there", hint=f"allowed: {', '.join(allowed)}"
        )


def resolve(text: str, registries: Registries) -> Reference:
    """The reference with the digest of the image for the platform. One that has a digest is not asked for.

    Raises InvalidInputError (no such image, none for the platform), RemoteError (the registry's words).
    """
    reference = parse_reference(text)
    check_allowed(reference, registries.allowed)
    if reference.digest:
        return reference
    asked = _Asked(reference, registries)
    kind, body = asked.manifest(reference.tag or "latest")
    digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
    if kind in _INDEXES:
        digest = _for_platform(text, _object(text, body), registries.platform)
    elif kind not in _MANIFESTS:
        raise InvalidInputError(f"image {text}: its registry calls it {kind[:80]!r}, which is no image")
    return Reference(reference.host, reference.path, reference.tag, digest)


def find(text: str, registries: Registries) -> Reference | None:
    """As ``resolve``; None where the registry says that it has no such image. Raises as ``resolve``."""
    try:
        return resolve(text, registries)
    except NoImageError:
        return None


def image_command(reference: Reference, registries: Registries) -> tuple[str, ...]:
    """What an image runs by itself: its entrypoint with its command, () if it names none. Raises as ``resolve``."""
    asked = _Asked(reference, registries)
    digest, name = reference.digest, reference.pinned
    kind, body = asked.manifest(digest)
    if kind in _INDEXES:  # the reference was written with the digest of all platforms
        digest = _for_platform(name, _object(name, _proven(name, digest, body)), registries.platform)
        kind, body = asked.manifest(digest)
    manifest = _object(name, _proven(name, digest, body))
    config = _table(_object(name, asked.blob(str(_table(manifest.get("config")).get("digest")))).get("config"))
    words: list[str] = []
    for given in (config.get("Entrypoint") or [], config.get("Cmd") or []):
        if not isinstance(given, list) or not all(isinstance(word, str) and "\0" not in word for word in given):
            raise InvalidInputError(f"image {name}: its entrypoint cannot be read")
        words += given
    return tuple(words)


def read_logins(file: Path) -> dict[str, tuple[str, str]]:
    """The logins of a Docker configuration (``config.json``, also the body of a pull secret)."""
    try:
        auths = json.loads(file.read_bytes()).get("auths", {})
        logins = {}
        for host, entry in auths.items():
            user, _, password = base64.b64decode(entry.get("auth", "")).decode().partition(":")
            host = host.removeprefix("https://").removesuffix("/").removesuffix("/v1").removesuffix("/v2")
            logins["docker.io" if host == "index.docker.io" else host] = (
                str(entry.get("username") or user),
                str(entry.get("password") or password),
            )
    except OSError as error:  # it is perhaps just being replaced
        raise MachineError(f"the logins to registries cannot be read: {reason(error)}", transient=True) from error
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise InvalidInputError(f"{file}: no Docker configuration") from error
    return {host: login for host, login in logins.items() if login[0]}


class Logins(Mapping[str, tuple[str, str]]):
    """The logins in a file as they are at each question: some are good for hours only, and then replaced."""

    def __init__(self, file: Path) -> None:
        self._file = file
        read_logins(file)  # what is wrong with it is told at once

    def __getitem__(self, host: str) -> tuple[str, str]:
        return read_logins(self._file)[host]

    def __iter__(self) -> Iterator[str]:
        return iter(read_logins(self._file))

    def __len__(self) -> int:
        return len(read_logins(self._file))


class _Asked:
    """One registry, with what it wants of us."""

    def __init__(self, reference: Reference, registries: Registries) -> None:
        host = reference.host
        self._base, self._path = api_of(host, registries.mirrors or {}), reference.path
        self._login = (registries.logins or {}).get(host)
        self._name = f"{host}/{reference.path}"
        self._authorization = ""

    def manifest(self, tag: str) -> tuple[str, bytes]:
        """Media type and bytes. The digest is computed from the bytes: a header is only a claim."""
        name = f"image {self._name}{'@' if ':' in tag else ':'}{tag}"
        _, headers, body = self._ask(f"{self._base}/v2/{self._path}/manifests/{tag}", name)
        return headers.get_content_type(), body

    def blob(self, digest: str) -> bytes:
        """A small blob, proven by its digest. Registries keep blobs elsewhere: a redirect is followed without login."""
        name = f"image {self._name}: blob {digest[:80]}"
        if not _DIGEST.fullmatch(digest):
            raise RemoteError(f"{name}: its registry names no digest")
        status, headers, body = self._ask(f"{self._base}/v2/{self._path}/blobs/{digest}", name)
        if status in _REDIRECTS:
            target = _url(name, headers.get("Location") or "", self._base)
            if urllib.parse.urlsplit(target).scheme != "https" and not target.startswith(f"{self._base}/"):
                raise RemoteError(f"{name}: its registry sends elsewhere than to an https URL: {target[:200]!r}")
            status, _, body = _get(target, name, "")
            if status != 200:
                raise RemoteError(f"{name}: where its registry sends to answers {status}", transient=status >= 500)
        return _proven(name, digest, body)

    def _ask(self, url: str, name: str) -> tuple[int, Message, bytes]:
        """An answer of 200 or a redirect; with a login where one is wanted."""
        status, headers, body = _get(url, name, self._authorization)
        if status == 401:
            self._authorize(headers.get_all("WWW-Authenticate") or [], name)
            status, headers, body = _get(url, name, self._authorization)
        if status == 200 or (status in _REDIRECTS and "/blobs/" in url):
            return status, headers, body
        words = _words(body)
        if status == 404:
            raise NoImageError(f"{name}: its registry has no such image{words}")
        if status in (401, 403):
            hint = "give the controller and the namespace a login for it (pull secrets)"
            raise RefusedError(f"{name}: its registry refuses it{words}", hint=hint)
        raise RemoteError(f"{name}: its registry answered {status}{words}", transient=status == 429 or status >= 500)

    def _authorize(self, challenges: list[str], name: str) -> None:
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "basic" and self._login:
                self._authorization = _basic(self._login)
                return
            if scheme.lower() == "bearer":
                self._authorization = f"Bearer {self._token(dict(_PARAMETER.findall(rest)), name)}"
                return

    def _token(self, asked: Mapping[str, str], name: str) -> str:
        realm = urllib.parse.urlsplit(_url(name, asked.get("realm", "")))
        # Only a registry of this machine may send us to what else listens here.
        here = urllib.parse.urlsplit(self._base).hostname in _HERE
        local = here and realm.scheme == "http" and realm.hostname in _HERE
        if realm.scheme != "https" and not local:
            raise RemoteError(f"{name}: its registry wants a login at {asked.get('realm', '')[:200]!r}, no https URL")
        query = {"service": asked.get("service", ""), "scope": f"repository:{self._path}:pull"}
        url = realm._replace(query="&".join(filter(None, [realm.query, urllib.parse.urlencode(query)]))).geturl()
        status, _, body = _get(url, name, _basic(self._login) if self._login else "")
        if status == 429 or status >= 500:
            raise RemoteError(f"{name}: its registry gives no token ({status}{_words(body)})", transient=True)
        answer = _object(name, body) if status == 200 else {}
        token = answer.get("token") or answer.get("access_token")
        if not isinstance(token, str) or "\n" in token:
            hint = "give the controller and the namespace a login for it (pull secrets)"
            raise RefusedError(f"{name}: its registry gives no token ({status}{_words(body)})", hint=hint)
        return token


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Manifests are served where they are asked for; a redirect would carry a login to another host."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = urllib.request.build_opener(_NoRedirect)


def _get(url: str, name: str, authorization: str) -> tuple[int, Message, bytes]:
    headers = {"Accept": ", ".join((*_INDEXES, *_MANIFESTS)), "User-Agent": "gitdata"}
    if authorization:
        headers["Authorization"] = authorization
    try:
        with _OPENER.open(urllib.request.Request(url, headers=headers), timeout=_SECONDS) as answer:
            return answer.status, answer.headers, _bounded(answer, name)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, _bounded(error, name)
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = getattr(error, "reason", None) or error
        raise RemoteError(f"{name}: its registry cannot be reached: {why}", transient=True) from error


def _for_platform(text: str, index: Mapping[str, Any], platform: str) -> str:
    system, machine, *variant = platform.split("/")
    listed = index.get("manifests")
    for entry in map(_table, listed if isinstance(listed, list) else ()):
        wanted = _table(entry.get("platform"))
        if (wanted.get("os"), wanted.get("architecture")) != (system, machine):
            continue
        if not variant or wanted.get("variant", variant[0]) == variant[0]:
            digest = str(entry.get("digest"))
            if _DIGEST.fullmatch(digest):
                return digest
    raise InvalidInputError(f"image {text}: there is none for {platform}", hint="build it for that platform too")


def _bounded(stream: IO[bytes], name: str) -> bytes:
    data = stream.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
        raise RemoteError(f"{name}: its registry answered with more than {_MAX_BYTES >> 20} MiB")
    return data


def _proven(name: str, digest: str, body: bytes) -> bytes:
    if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
        raise RemoteError(f"{name}: its registry gave other bytes than those of the digest")
    return body


def _object(name: str, body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise RemoteError(f"{name}: its registry answered with no JSON object")
    return found


def _table(value: Any) -> dict[str, Any]:
    """What should be a table and is a stranger's; without anything in it where it is none."""
    return value if isinstance(value, dict) else {}


def _url(name: str, text: str, base: str = "") -> str:
    try:
        found = urllib.parse.urljoin(base, text)
        _ = urllib.parse.urlsplit(found).port
    except ValueError as error:
        raise RemoteError(f"{name}: its registry names {text[:200]!r}, which is no URL") from error
    return found


def _words(body: bytes) -> str:
    """The registry's own words, for people."""
    try:
        errors = json.loads(body)["errors"]
        text = "; ".join(str(e.get("message") or e.get("code")) for e in errors)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return f": {text[:300]}" if text.isprintable() else ""


def _basic(login: tuple[str, str]) -> str:
    return "Basic " + base64.b64encode(":".join(login).encode()).decode()


def _is_host(text: str) -> bool:
    """As everybody tells a registry from a path: a dot, a port, or localhost."""
    return "." in text or ":" in text or text == "localhost"
