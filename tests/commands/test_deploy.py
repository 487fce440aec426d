"""gitdata deploy without a cluster: what is wrong with a file is said in words that name it."""

from __future__ import annotations

from pathlib import Path

import pytest

from helpers.machine import Program


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("this is no TOML", "not TOML"),
        ("mail = 1", "mail must be a section"),
        ('[controller]\npoll_seconds = "often"', "poll_seconds: must be a float"),
        ("[controller]\npoll_seconds = 700", "poll_seconds: at most 600 on a cluster"),
        ('[mail]\nkey_file = "/etc/key"', "key_file is a file of this machine"),
        ('[images]\nlogins = "/home/me/config.json"', "logins is a file of this machine"),
        ('[secrets.token]\nkey = { env = "NOT_SET" }', "names values of this machine"),
    ],
)
def test_a_configuration_that_cannot_be_is_told(gitdata: Program, tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "controller.toml"
    file.write_text(f"{text}\n")
    options = ["--git", "https://git.example/a", "--remote", "s3://bucket/a", "--config", file]
    said = gitdata("deploy", *options, "--dry-run", cwd=tmp_path, code=4).stderr
    assert words in said
    assert str(file) in said


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--namespace-system", "Kube System"], "'Kube System' is no name of a namespace"),
        (["--namespace-builds", "../builds"], "'../builds' is no name of a namespace"),
        (["--store-cidr", "10.0.0.1/8"], "--store-cidr 10.0.0.1/8: 10.0.0.1/8 has host bits set"),
        (["--env", "1NAME=x"], "--env 1NAME: write NAME=VALUE"),
    ],
)
def test_what_no_cluster_would_take_is_told_at_once(
    gitdata: Program, tmp_path: Path, options: list[str], words: str
) -> None:
    image = f"registry.example/team/gitdata@sha256:{'1' * 64}"
    given = ["--git", "https://git.example/a", "--remote", "s3://bucket/a", *options]
    given += ["--controller-image", image, "--worker-image", image]
    assert words in gitdata("deploy", *given, "--dry-run", cwd=tmp_path, code=2).stderr


def test_who_gives_no_token_is_told_what_the_git_server_must_let_anybody_do(
    gitdata: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = f"registry.example/team/gitdata@sha256:{'1' * 64}"
    given = ["--git", "https://git.example/a", "--remote", "s3://bucket/a", "--dry-run"]
    given += ["--controller-image", image, "--worker-image", image]
    assert "its server must let anybody push" in gitdata("deploy", *given, cwd=tmp_path).stderr
    monkeypatch.setenv("TOKEN", "secret")
    assert "anybody" not in gitdata("deploy", *given, "--git-token-env", "TOKEN", cwd=tmp_path).stderr
