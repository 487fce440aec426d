"""Where keys and endpoint of an S3 remote come from, and what is refused by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitdata.backends.s3config import s3_settings
from gitdata.errors import InvalidInputError

URL = "s3://bucket/a/prefix/"


def test_the_url() -> None:
    settings = s3_settings(URL, {})
    assert (settings.bucket, settings.prefix) == ("bucket", "a/prefix")
    assert s3_settings("s3://bucket", {}).prefix == ""
    with pytest.raises(InvalidInputError, match="s3://bucket/prefix"):
        s3_settings("s3://", {})


def test_plain_http_is_allowed_only_where_it_is_asked_for() -> None:
    assert s3_settings(URL, {"endpointurl": "http://host:9000"}).client["allow_http"] is True
    assert s3_settings(URL, {"endpointurl": "https://host"}).client["allow_http"] is False
    assert s3_settings(URL, {}).client["allow_http"] is False


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"])
def test_the_endpoint_of_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "http://env:1/")
    assert s3_settings(URL, {}).config["endpoint"] == "http://env:1"
    assert s3_settings(URL, {"endpointurl": "http://own:2"}).config["endpoint"] == "http://own:2"


def test_the_environments_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    config = s3_settings(URL, {}).config
    assert [config[k] for k in ("access_key_id", "secret_access_key", "session_token", "region")] == [
        "k", "s", "t", "eu-west-1",
    ]  # fmt: skip
    assert s3_settings(URL, {"region": "us-west-2"}).config["region"] == "us-west-2"


def test_a_profile_of_the_shared_files(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(os.environ["AWS_SHARED_CREDENTIALS_FILE"]).write_text(
        "[default]\naws_access_key_id = dk\naws_secret_access_key = ds\n"
        "[team]\naws_access_key_id = tk\naws_secret_access_key = ts%3\n"
    )
    Path(os.environ["AWS_CONFIG_FILE"]).write_text(
        "[default]\nregion = eu-west-3\n[profile team]\nregion = eu-north-1\ns3 =\n  endpoint_url = http://team:9\n"
    )
    default, team = s3_settings(URL, {}), s3_settings(URL, {"profile": "team"})
    assert (default.config["access_key_id"], default.config["region"]) == ("dk", "eu-west-3")
    assert (team.config["secret_access_key"], team.config["region"]) == ("ts%3", "eu-north-1")
    assert team.config["endpoint"] == "http://team:9"
    monkeypatch.setenv("AWS_PROFILE", "team")
    assert s3_settings(URL, {}).config["access_key_id"] == "tk"
    with pytest.raises(InvalidInputError, match="no profile 'other'"):
        s3_settings(URL, {"profile": "other"})


def test_anonymous_needs_no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "k")
    config = s3_settings(URL, {"allow_anonymous_login": "true"}).config
    assert config["skip_signature"] is True
    assert "access_key_id" not in config


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"grant_read": "x"}, "'grant_read'"),
        ({"sse_customer_key": "x"}, "'sse_customer_key'"),
        ({"acl": "private"}, "'acl'"),
        ({"version_aware": "true"}, "version_aware"),
        ({"use_ssl": "maybe"}, "use_ssl"),
        ({"read_timeout": "soon"}, "read_timeout"),
        ({"endpointurl": "host:9000"}, "http://"),
        ({"access_key_id": "only"}, "one of access_key_id and secret_access_key"),
        ({"ssl_verify": "/no/such/file.pem"}, "file.pem"),
    ],
)
def test_what_is_not_supported_is_named(options: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        s3_settings(URL, options)


def test_certificates(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"PEM")
    assert s3_settings(URL, {"ssl_verify": str(tmp_path / "ca.pem")}).client["root_certificate"] == b"PEM"
    assert s3_settings(URL, {"ssl_verify": "false"}).client["allow_invalid_certificates"] is True
    assert "allow_invalid_certificates" not in s3_settings(URL, {"ssl_verify": "true"}).client
