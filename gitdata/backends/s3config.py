"""Where an S3 remote is and with which keys: DVC's options of the remote, then the AWS environment, then its files.

Called by ``s3`` alone. Knows no client library's classes, only the names of its settings. An option that gitdata does
not honour is an error that names it: silently ignoring encryption or a policy would be worse.
"""

from __future__ import annotations

import configparser
import difflib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gitdata.backends.machine import in_home
from gitdata.backends.objects import OtherKindError
from gitdata.errors import InvalidInputError
from gitdata.formats.remoteurl import parse_remote_url

_ENDPOINT = re.compile(r"https?://[^\s/@?#]+(?:/[^\s?#]*)?", re.IGNORECASE)

# DVC's options that change nothing here: caching of its own, numbers of its own workers.
_IGNORED = frozenset({"jobs", "checksum_jobs", "verify", "cache_regions", "listobjects", "no_traverse"})
_KNOWN = _IGNORED | frozenset(
    {
        "region",
        "profile",
        "credentialpath",
        "configpath",
        "endpointurl",
        "access_key_id",
        "secret_access_key",
        "session_token",
        "allow_anonymous_login",
        "use_ssl",
        "ssl_verify",
        "read_timeout",
        "connect_timeout",
        "sse",
        "sse_kms_key_id",
        "version_aware",
        "worktree",
    }
)
# Those of DVC that gitdata does not honour.
_DVC_ONLY = frozenset(
    {
        "acl",
        "grant_full_control",
        "grant_read",
        "grant_read_acp",
        "grant_write_acp",
        "sse_customer_algorithm",
        "sse_customer_key",
    }
)


@dataclass(frozen=True, slots=True)
class S3Settings:
    """bucket, prefix: of the URL. endpoint: "" for AWS itself. config, client: obstore's own settings."""

    url: str
    bucket: str
    prefix: str
    endpoint: str
    config: dict[str, Any]
    client: dict[str, Any]


def s3_settings(url: str, options: Mapping[str, str]) -> S3Settings:
    """All settings of one remote. Raises InvalidInputError for what is not understood or not supported."""
    place = parse_remote_url(url)
    if place.kind != "s3":
        raise InvalidInputError(f"{url!r}: an S3 URL is s3://bucket/prefix")
    _check_options(url, options)
    profile = _profile(url, options)
    endpoint = (
        options.get("endpointurl")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or profile.get("endpoint_url", "")
    )
    if endpoint:
        _check_endpoint(url, endpoint)
    use_ssl = _flag(url, options, "use_ssl", default=True)
    if not endpoint and not use_ssl:
        raise InvalidInputError(f"{url}: use_ssl = false needs an endpointurl that begins with http://")
    region = (
        options.get("region")
        or os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or profile.get("region", "us-east-1")
    )
    config: dict[str, Any] = {"region": region, "virtual_hosted_style_request": False}
    if endpoint:
        config["endpoint"] = endpoint.rstrip("/")
    config.update(_credentials(url, options, profile))
    if options.get("sse"):
        config["server_side_encryption"] = options["sse"]
    if options.get("sse_kms_key_id"):
        config["sse_kms_key_id"] = options["sse_kms_key_id"]
    return S3Settings(
        url=url,
        bucket=place.bucket,
        prefix=place.prefix,
        endpoint=endpoint,
        config=config,
        client=_client(url, options, endpoint),
    )


def _check_endpoint(url: str, endpoint: str) -> None:
    if not _ENDPOINT.fullmatch(endpoint):
        secret = "@" in endpoint
        shown = "its endpointurl has a user or password in it" if secret else f"endpointurl {endpoint!r}"
        raise InvalidInputError(
            f"{url}: {shown}" if secret else f"{url}: {shown} is not http://host:port or https://host:port",
            hint="keys are options of their own: access_key_id, secret_access_key" if secret else "",
        )


def _check_options(url: str, options: Mapping[str, str]) -> None:
    for key in ("version_aware", "worktree"):
        if key in options and _flag(url, options, key, default=False):
            raise OtherKindError(
                f"{url}: {key} remotes are not supported", hint="use `dvc push` and `dvc pull` with it"
            )
    unknown = sorted(options.keys() - _KNOWN)
    strange = [key for key in unknown if key not in _DVC_ONLY]
    if strange:
        near = difflib.get_close_matches(strange[0], _KNOWN, 1)
        raise InvalidInputError(
            f"{url}: S3 remotes have no option {strange[0]!r}",
            hint=f"did you mean {near[0]}?" if near else "remove it; DVC would refuse it too",
        )
    if unknown:
        raise OtherKindError(
            f"{url}: the option {unknown[0]!r} of an S3 remote is not supported",
            hint="remove it from the remote's section in .dvc/config, or use `dvc push` and `dvc pull` with it",
        )


def _credentials(url: str, options: Mapping[str, str], profile: Mapping[str, str]) -> dict[str, Any]:
    if _flag(url, options, "allow_anonymous_login", default=False):
        return {"skip_signature": True}
    if options.get("access_key_id") or options.get("secret_access_key"):
        key, secret = options.get("access_key_id"), options.get("secret_access_key")
        token = options.get("session_token")
    elif options.get("profile"):  # named on purpose: it goes before the environment, as with botocore
        key, secret, token = _keys_of(profile)
    elif os.environ.get("AWS_ACCESS_KEY_ID"):
        key, secret = os.environ["AWS_ACCESS_KEY_ID"], os.environ.get("AWS_SECRET_ACCESS_KEY")
        token = os.environ.get("AWS_SESSION_TOKEN")
    else:
        key, secret, token = _keys_of(profile)
    if bool(key) != bool(secret):
        raise InvalidInputError(f"{url}: one of access_key_id and secret_access_key is missing", hint="set both")
    if not key or not secret:
        return {}  # a role of the machine or a web identity: the client finds those itself
    return {"access_key_id": key, "secret_access_key": secret, **({"session_token": token} if token else {})}


def _keys_of(profile: Mapping[str, str]) -> tuple[str | None, str | None, str | None]:
    return (
        profile.get("aws_access_key_id"),
        profile.get("aws_secret_access_key"),
        profile.get("aws_session_token"),
    )


def _profile(url: str, options: Mapping[str, str]) -> dict[str, str]:
    """The options of the profile in AWS's shared files; credentials win over config."""
    name = options.get("profile") or os.environ.get("AWS_PROFILE") or "default"
    found: dict[str, str] = {}
    places = (
        ("AWS_CONFIG_FILE", "configpath", "config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentialpath", "credentials", name),
    )
    for variable, option, default, section in places:
        named = os.environ.get(variable) or options.get(option)
        path = Path(named).expanduser() if named else in_home(f".aws/{default}")
        parser = configparser.RawConfigParser(default_section="")
        try:
            parser.read_string(path.read_text(), source=str(path))
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            continue
        except (configparser.Error, UnicodeDecodeError) as error:
            raise InvalidInputError(f"{path}: cannot be read: {str(error).splitlines()[0]}") from error
        if parser.has_section(section):
            found.update(parser.items(section))
    if not found and options.get("profile"):
        raise InvalidInputError(f"{url}: no profile {name!r} in AWS's config and credentials files")
    for line in found.pop("s3", "").splitlines():  # the nested block: "s3 =\n  endpoint_url = …"
        key, _, value = line.partition("=")
        if key.strip() == "endpoint_url":
            found["endpoint_url"] = value.strip()
    return found


def _client(url: str, options: Mapping[str, str], endpoint: str) -> dict[str, Any]:
    client: dict[str, Any] = {
        "allow_http": endpoint.lower().startswith("http://"),
        "connect_timeout": f"{_seconds(url, options, 'connect_timeout', 5)}s",
        # Between two pieces of an answer, not for the whole of it: a big object may take hours.
        "read_timeout": f"{_seconds(url, options, 'read_timeout', 60)}s",
        "timeout": "1day",
        "default_content_type": "binary/octet-stream",
    }
    verify = options.get("ssl_verify", "")
    if verify.lower() == "false":
        client["allow_invalid_certificates"] = True
    elif verify and verify.lower() != "true":
        try:
            client["root_certificate"] = Path(verify).expanduser().read_bytes()
        except OSError as error:
            raise InvalidInputError(f"{url}: ssl_verify names {verify!r}: {error.strerror}") from error
    return client


def _flag(url: str, options: Mapping[str, str], key: str, *, default: bool) -> bool:
    text = options.get(key, str(default)).lower()
    if text not in ("true", "false"):
        raise InvalidInputError(f"{url}: {key} must be true or false, not {options[key]!r}")
    return text == "true"


def _seconds(url: str, options: Mapping[str, str], key: str, default: int) -> int:
    text = options.get(key, str(default))
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= 86400:
        raise InvalidInputError(f"{url}: {key} must be a number of seconds, not {text!r}")
    return int(text)
