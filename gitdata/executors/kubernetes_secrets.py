"""What only the user has, as the bodies of Secrets: keys of the object store, of git and of registries.

Called by the command ``deploy``. It reads the files and variables that the user names, and nothing else. What cannot
work in a pod (a profile, a credential store, a key with a passphrase) is refused here, in words, not found out there.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from gitdata.backends.git import SILENCE, ssh_limits
from gitdata.backends.git_records import hide_password
from gitdata.backends.registry import read_logins
from gitdata.backends.s3config import S3Settings, s3_settings
from gitdata.errors import InvalidInputError, UsageError
from gitdata.text import reason

_OF_THIS_MACHINE = frozenset({"profile", "credentialpath", "configpath"})
_KEYS = {
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}
_AT = "/etc/gitdata/git"  # where the controller's pod has them
_STORE = re.compile(r"[sS]3://[A-Za-z0-9][A-Za-z0-9._-]*(/.*)?")
_HOST = re.compile(r"[A-Za-z0-9.:\[\]-]+")
_SCP = re.compile(r"(?:[^-@/:\s][^@/:\s]*@)?[^-@/:\s][^@/:\s]*:(?!:|//).+")  # as git tells host:path from a folder


def store_keys(settings: S3Settings) -> dict[str, str]:
    """The keys that this machine would use, {} where it has none (a role of the nodes then must do)."""
    return {name: str(settings.config[key]) for key, name in _KEYS.items() if settings.config.get(key)}


def store_options(url: str, options: Mapping[str, str]) -> tuple[S3Settings, dict[str, str]]:
    """The settings of the remote as this machine sees it, and the options with which a pod sees the same.

    Raises InvalidInputError.
    """
    if not _STORE.fullmatch(url):  # it becomes an argument and a variable of pods, which are no secrets
        raise InvalidInputError(
            "the URL of the remote names no bucket, or has more than that before its path",
            hint="write s3://bucket/prefix; keys come from AWS's variables and files",
        )
    settings = s3_settings(url, options)
    _split(settings.endpoint)
    kept = {k: v for k, v in options.items() if k not in _KEYS and k not in _OF_THIS_MACHINE}
    if kept.get("ssl_verify", "true").lower() not in ("true", "false"):
        raise InvalidInputError(
            f"{url}: ssl_verify names a file of this machine, which pods do not have",
            hint="build the certificate into the worker and controller images, and remove ssl_verify",
        )
    kept |= {"region": str(settings.config["region"])} | (
        {"endpointurl": settings.endpoint} if settings.endpoint else {}
    )
    return settings, kept


def git_secret(url: str, key: Path | None, token: str, known_hosts: Path | None) -> dict[str, str]:
    """What the controller's git reads, {} where the URL needs nothing. Raises InvalidInputError, UsageError."""
    ssh = url.startswith("ssh://") or ("://" not in url and _SCP.fullmatch(url) is not None)
    if ssh:
        return _ssh(url, key, known_hosts)
    if key or known_hosts:
        raise UsageError(f"{url} is not reached by ssh", hint="use --git-token-env, or a URL that begins with ssh://")
    if not token:
        return {}
    parts = urlsplit(url)
    if parts.scheme != "https":
        raise InvalidInputError(f"{url}: a token is sent only over https")
    if not _HOST.fullmatch(parts.netloc.rpartition("@")[2]) or "\n" in token or "\r" in token:
        raise InvalidInputError(f"{url}: this host or its token cannot be written down for git")
    host = parts.netloc.rpartition("@")[2]
    # "get" alone: the file cannot be written there, and a token goes to this host only.
    helper = f'"!f() {{ test \\"$1\\" = get && cat {_AT}/credential; }}; f"'
    return {
        "gitconfig": f'[credential "https://{host}"]\n\thelper = {helper}\n',
        "credential": f"username={parts.username or 'oauth2'}\npassword={token}\n",
    }


def _ssh(url: str, key: Path | None, known_hosts: Path | None) -> dict[str, str]:
    if key is None or known_hosts is None:
        raise UsageError(
            f"{url}: a pod needs a key for ssh, and to know the server's",
            hint="give --git-key FILE and --known-hosts FILE (`ssh-keyscan HOST`, then compare the fingerprint)",
        )
    text = _read(key)
    if "PRIVATE KEY-----" not in text:
        raise InvalidInputError(f"{key}: this is no private key")
    if _has_passphrase(text):
        raise InvalidInputError(f"{key}: the key has a passphrase, which a pod cannot type", hint="use a deploy key")
    options = f"-i {_AT}/key -o IdentitiesOnly=yes -o StrictHostKeyChecking=yes -o BatchMode=yes"
    command = f"ssh -F /dev/null {options} -o UserKnownHostsFile={_AT}/known_hosts {ssh_limits(SILENCE)}"
    return {
        "gitconfig": f"[core]\n\tsshCommand = {command}\n",
        "key": text if text.endswith("\n") else text + "\n",
        "known_hosts": _read(known_hosts),
    }


def _has_passphrase(text: str) -> bool:
    if "BEGIN OPENSSH PRIVATE KEY" not in text:
        return "ENCRYPTED" in text
    lines = [line.strip() for line in text.strip().splitlines()]
    try:
        body = base64.b64decode("".join(lines[1:-1]))
    except ValueError:
        return False  # ssh will say what is wrong with it
    return body[15:23] != b"\0\0\0\4none"  # after the word "openssh-key-v1" and a zero: the cipher's name


def registry_secret(file: Path) -> dict[str, str]:
    """The body of a pull secret from a Docker configuration: its logins and nothing else of it."""
    logins = read_logins(file)
    if not logins:
        raise InvalidInputError(
            f"{file}: no login is in it",
            hint="a credential store may keep them: log in with `docker --config FOLDER login REGISTRY`, without one",
        )
    auths = json.loads(file.read_bytes())["auths"]
    kept = {host: body for host, body in auths.items() if set(body) & {"auth", "username"}}
    return {".dockerconfigjson": json.dumps({"auths": kept}, sort_keys=True)}


def check_git_url(url: str) -> None:
    """Raises InvalidInputError for what a pod cannot reach, or what has a password in it: arguments are no secret."""
    parts = _split(url)
    if "://" in url and parts.scheme not in ("https", "ssh", "http", "git"):
        raise InvalidInputError(f"{url}: a pod cannot reach it", hint="use an https:// or ssh:// URL")
    if "://" not in url and not _SCP.fullmatch(url):
        raise InvalidInputError(f"{url}: a pod cannot reach a folder", hint="use an https:// or ssh:// URL")
    if "://" in url and parts.password is not None:
        raise InvalidInputError("the git URL has a password in it", hint="take it out and use --git-token-env")


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InvalidInputError(f"{hide_password(url)} is no URL: {reason(error)}") from error
    return parts


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{file}: cannot be read: {reason(error)}") from error
