"""Folder images, built and pushed through the command line of buildah, podman or docker. Nothing else speaks to them.

Called by executors.kubernetes_images and by the commands ``images``. The folder is a stranger's: it is exported as
ordinary files, and nothing in it chooses where the image goes or how the builder is called. Registry, builder and
options come from the controller's configuration alone, and no shell ever sees any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gitdata.backends.git import Git

BUILDERS = ("buildah", "podman", "docker")


@dataclass(frozen=True, slots=True)
class ImageSettings:
    """``[images]`` of the controller's configuration. registry: where folder images go, ``registry.example/team``.

    builder: ``auto``, one of BUILDERS, or ``cluster`` (a Job). options: of every build, as the builder takes them.
    args: build arguments, part of the image's identity. allowed: where stages may take images from, () for anywhere.
    mirrors: host -> base URL of its API. logins: a Docker ``config.json``, "" for none.
    build_seconds: after which a build is ended. at_once: how many builds run at the same time.
    """

    registry: str = ""
    builder: str = "auto"
    options: tuple[str, ...] = ()
    args: Mapping[str, str] = field(default_factory=dict)
    allowed: tuple[str, ...] = ()
    mirrors: Mapping[str, str] = field(default_factory=dict)
    logins: str = ""
    platform: str = "linux/amd64"
    build_seconds: float = 3600.0
    at_once: int = 2


class Builder(Protocol):
    """Builds folders of commits; may be called from several threads."""

    def build(self, git: Git, commit: str, folder: str, reference: str) -> str:
        """Build the folder, push it as ``reference`` (registry/name:tag), return its digest ``sha256:…``.

        Raises InvalidInputError (the folder or its Dockerfile, with the builder's last words), RemoteError (a registry
        or the network), MachineError (no tool, no disk).
        """
