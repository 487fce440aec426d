"""What a folder image is called: its environment id, and the reference under which it is pushed and found.

Called by executors.kubernetes_images while planning and by the commands ``images``. Both names say only what goes into
the image (docs/formats.md): the same folder is the same image on every branch, machine and day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitdata.backends.builders import DOCKERFILE, ImageSettings, check_dockerfile
from gitdata.backends.git import Git
from gitdata.backends.images import folder_tree, refuse_lfs_in
from gitdata.backends.registry import parse_reference
from gitdata.errors import InvalidInputError
from gitdata.identity import canonical, sha256

PREFIX = "ctx:"
PROXY = re.compile(r"(?:https?|ftp|no|all)_proxy", re.IGNORECASE)
_TAG = 40


@dataclass(frozen=True, slots=True)
class FolderName:
    """id: the environment id. reference: ``registry/name:tag``."""

    folder: str
    id: str
    reference: str


def name_folder(git: Git, commit: str, folder: str, settings: ImageSettings) -> FolderName | None:
    """What the folder's image is called; None if the commit has no such folder (it is an image reference).

    Raises InvalidInputError for a folder that cannot be an image, or without a registry for it.
    """
    tree = folder_tree(git, commit, folder)
    if tree is None:
        return None
    check_dockerfile(git, tree, folder)
    refuse_lfs_in(git, tree, folder)
    id = context_id(tree, settings)
    return FolderName(folder, id, reference_of(folder, id, settings))


def context_id(tree: str, settings: ImageSettings) -> str:
    """``ctx:<tree id>:<sha256 of the build arguments, or ->:<platform>``.

    Proxies are no part of it: they say how something is fetched, not what, and may hold a password.
    """
    args = sorted([name, value] for name, value in settings.args.items() if not PROXY.fullmatch(name))
    return f"{PREFIX}{tree}:{sha256(canonical(args)) if args else '-'}:{settings.platform}"


def reference_of(folder: str, id: str, settings: ImageSettings) -> str:
    """Where the image of this id is. Raises InvalidInputError."""
    if not settings.registry:
        raise InvalidInputError(
            f"image {folder} is a folder of this commit, and no registry is configured for its image",
            hint=f"set registry in [images] of the controller's configuration; it is built with its {DOCKERFILE}",
        )
    name = re.sub(r"[^a-z0-9]+", "-", folder.rstrip("/").rpartition("/")[2].lower()).strip("-") or "image"
    reference = f"{settings.registry.rstrip('/')}/{name[:100].rstrip('-')}:{sha256(id.encode())[:_TAG]}"
    parse_reference(reference)
    return reference
