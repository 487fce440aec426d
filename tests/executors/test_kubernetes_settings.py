"""The operator's own configuration may not hand the system's keys to stages, not even by mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitdata.controller.config import read_settings
from gitdata.errors import InvalidInputError
from gitdata.executors.kubernetes_settings import KubernetesSettings


@pytest.mark.parametrize(
    "text",
    [
        'secrets = ["gitdata-store"]',
        'secrets = ["mine", "gitdata-registry"]',
        'store_secret = "keys"\nsecrets = ["keys"]',
        'pull_secrets = ["pull"]\nsecrets = ["pull"]',
    ],
)
def test_the_systems_secrets_cannot_be_listed(tmp_path: Path, text: str) -> None:
    file = tmp_path / "controller.toml"
    file.write_text(f"[kubernetes]\n{text}\n")
    with pytest.raises(InvalidInputError, match="one of gitdata's own"):
        read_settings(file)


@pytest.mark.parametrize("key", ["registries = []", "mirrors = {}", 'platform = "linux/arm64"'])
def test_what_is_about_images_has_one_place(tmp_path: Path, key: str) -> None:
    file = tmp_path / "controller.toml"
    file.write_text(f"[kubernetes]\n{key}\n")
    with pytest.raises(InvalidInputError, match="no such setting"):
        read_settings(file)


def test_others_can() -> None:
    assert KubernetesSettings(secrets=("mine", "gitdata2")).secrets == ("mine", "gitdata2")


def test_a_repository_is_known_by_its_url() -> None:
    url = "https://git.example/team/data"
    one, same, fork = (KubernetesSettings(repository=f"{url}{end}").repository_id for end in ("", ".git/", "-fork"))
    assert one == same != fork
    assert KubernetesSettings().repository_id == ""
