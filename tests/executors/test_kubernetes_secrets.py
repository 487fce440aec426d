"""What only the user has, as Secrets: with the real git, ssh-keygen and AWS's own files."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from gitdata.errors import GitdataError, InvalidInputError, UsageError
from gitdata.executors.kubernetes_secrets import (
    check_git_url,
    git_secret,
    registry_secret,
    store_keys,
    store_options,
)

needs_ssh = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="ssh: it is not installed; Debian has openssh-client"
)


def test_the_keys_are_those_that_this_machine_would_use(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "aws-credentials").write_text("[team]\naws_access_key_id = i\naws_secret_access_key = k\n")
    (home / "aws-config").write_text("[profile team]\nregion = eu-9\nendpoint_url = https://s3.example\n")
    settings, options = store_options("s3://b/p", {"profile": "team"})
    assert store_keys(settings) == {"AWS_ACCESS_KEY_ID": "i", "AWS_SECRET_ACCESS_KEY": "k"}
    assert options == {"region": "eu-9", "endpointurl": "https://s3.example"}, "a pod has no profile"
    for name, value in (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_SESSION_TOKEN", "c")):
        monkeypatch.setenv(name, value)
    settings, options = store_options("s3://b/p", {"sse": "AES256"})
    assert set(store_keys(settings).values()) == {"a", "b", "c"}
    assert options == {"region": "us-east-1", "sse": "AES256"}
    settings, options = store_options("s3://b/p", {"access_key_id": "d", "secret_access_key": "e"})
    assert set(store_keys(settings).values()) == {"d", "e"}
    assert options == {"region": "us-east-1"}, "keys go into a Secret, never into the configuration"


def test_without_keys_there_is_no_secret(home: Path) -> None:
    assert store_keys(store_options("s3://b/p", {})[0]) == {}


def test_a_certificate_of_this_machine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    with pytest.raises(InvalidInputError, match="ssl_verify"):
        store_options("s3://b/p", {"ssl_verify": str(tmp_path / "ca.pem")})


def installed(folder: Path, secret: dict[str, str]) -> dict[str, str]:
    """The Secret as the controller's pod has it, in a folder of the test; the environment for git."""
    for name, text in secret.items():
        (folder / name).write_text(text.replace("/etc/gitdata/git", str(folder)))
        (folder / name).chmod(0o400)
    return {**os.environ, "GIT_CONFIG_GLOBAL": str(folder / "gitconfig")}


def credential(env: dict[str, str], host: str, action: str = "fill") -> tuple[int, str]:
    asked = f"protocol=https\nhost={host}\n\n"
    done = subprocess.run(["git", "credential", action], input=asked, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout


@pytest.mark.parametrize(("user", "name"), [("", "oauth2"), ("team-bot@", "team-bot")])
def test_git_gives_the_token_to_its_host_alone(tmp_path: Path, user: str, name: str) -> None:
    secret = git_secret(f"https://{user}git.example:8443/team/p.git", None, 'a "token" $(x)', None)
    env = installed(tmp_path, secret)
    assert credential(env, "git.example:8443") == (
        0,
        f'protocol=https\nhost=git.example:8443\nusername={name}\npassword=a "token" $(x)\n',
    )
    assert credential(env, "evil.example")[0] != 0
    for action in ("approve", "reject"):  # git tells a helper how it went; this one writes nothing
        asked = "protocol=https\nhost=git.example:8443\nusername=u\npassword=p\n\n"
        done = subprocess.run(["git", "credential", action], input=asked, env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


@needs_ssh
@pytest.mark.parametrize("url", ["ssh://git@git.example/p.git", "git@git.example:p.git", "git.example:/srv/p.git"])
def test_a_key_for_ssh_needs_the_servers_key(tmp_path: Path, url: str) -> None:
    key, hosts, pod = tmp_path / "key", tmp_path / "hosts", tmp_path / "pod"
    pod.mkdir()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    hosts.write_text("git.example ssh-ed25519 AAAA\n")
    with pytest.raises(UsageError, match="needs a key"):
        git_secret(url, key, "", None)
    secret = git_secret(url, key, "", hosts)
    assert secret["key"] == key.read_text()
    env = installed(pod, secret)
    said = subprocess.run(["git", "config", "core.sshCommand"], env=env, capture_output=True, text=True, check=True)
    assert f"-i {pod}/key" in said.stdout
    assert "StrictHostKeyChecking=yes" in said.stdout
    assert "ServerAliveInterval=" in said.stdout


@needs_ssh
@pytest.mark.parametrize("kind", ["ed25519", "pem"])
def test_a_key_with_a_passphrase_is_refused(tmp_path: Path, kind: str) -> None:
    key = tmp_path / "key"
    how = ["-t", "ed25519"] if kind == "ed25519" else ["-t", "rsa", "-b", "2048", "-m", "PEM"]
    subprocess.run(["ssh-keygen", "-q", *how, "-N", "secret", "-f", key], check=True)
    with pytest.raises(InvalidInputError, match="passphrase"):
        git_secret("git@git.example:p.git", key, "", key)
    with pytest.raises(InvalidInputError, match="no private key"):
        git_secret("git@git.example:p.git", key.with_suffix(".pub"), "", key)


def test_only_logins_of_a_docker_configuration_go_along(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    auth = base64.b64encode(b"user:pass").decode()
    file.write_text(
        json.dumps({"auths": {"r.example": {"auth": auth}, "empty.example": {}}, "HttpHeaders": {"a": "b"}})
    )
    assert json.loads(registry_secret(file)[".dockerconfigjson"]) == {"auths": {"r.example": {"auth": auth}}}
    file.write_text(json.dumps({"auths": {"r.example": {}}, "credsStore": "desktop"}))
    with pytest.raises(InvalidInputError, match="no login"):
        registry_secret(file)


@pytest.mark.parametrize(
    "url", ["/srv/p.git", "./p.git", "file:///srv/p.git", "https://u:p@git.example/p", "ext::sh -c x"]
)
def test_urls_that_no_pod_should_be_given(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_git_url(url)
    assert "u:p" not in caught.value.message


@pytest.mark.parametrize("url", ["https://git.example/p", "ssh://git@git.example:2222/p", "git@git.example:p.git"])
def test_urls_that_a_pod_reaches(url: str) -> None:
    check_git_url(url)


def test_a_token_is_sent_only_over_https() -> None:
    with pytest.raises(GitdataError, match="https"):
        git_secret("http://git.example/p", None, "t", None)
    with pytest.raises(GitdataError):
        git_secret("https://git.example/p", None, "t\npassword=x", None)
    assert git_secret("https://git.example/p", None, "", None) == {}


@pytest.mark.parametrize("url", ["https://[h/x", "https://h:99999/x", "ssh://h:port/x"])
def test_a_git_url_that_is_none(url: str) -> None:
    with pytest.raises(InvalidInputError, match="is no URL"):
        check_git_url(url)


@pytest.mark.parametrize("url", ["s3://[b", "s3://key:secret@bucket/p", "s3://", "s3:///p"])
def test_a_remote_that_is_no_bucket_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInputError, match="names no bucket") as raised:
        store_options(url, {})
    assert "secret@" not in raised.value.message


def test_an_endpoint_that_is_no_url() -> None:
    with pytest.raises(InvalidInputError, match="is no URL"):
        store_options("s3://bucket/p", {"endpointurl": "http://h:99999"})
