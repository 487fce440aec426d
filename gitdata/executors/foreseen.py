"""The identities that a controller elsewhere gives to stages, as far as its published outputs tell them.

For ``gitdata plan``, which starts nothing: the controller may work on a cluster, or have another Python, and its
results are known under its own names. Where nothing is published yet, this machine's identities are as good as any.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitdata.backends.builders import check_dockerfile
from gitdata.backends.containers import PREFIX, check_reference
from gitdata.backends.contexts import PREFIX as BUILT
from gitdata.backends.git import Git
from gitdata.executors.local import LocalExecutor
from gitdata.model import Environment, Stage

# What of a folder's id is the controller's own: build arguments and platform, or version of Python and machine.
_OWN = re.compile(r"(?:(ctx:)[0-9a-f]+|venv:[0-9a-f]+:[^:]+)(:.+)")


class Foreseen(LocalExecutor):
    """published: stage -> environment id, of the outputs that the controller published last."""

    def __init__(
        self, store_url: str, *, cache_home: Path, container_options: Sequence[str] = (), published: Mapping[str, str]
    ) -> None:
        super().__init__(store_url, cache_home=cache_home, container_options=container_options)
        self._published = published

    def environment(self, git: Git, commit: str, stage: Stage, known: str = "", asked: str = "") -> Environment:
        image = stage.transform.image
        if not image and self._published.get(stage.name, "").startswith("oci:"):
            return Environment(self._published[stage.name], "")  # the controller has a default image
        folder = self._folder(git, commit, image) if image else None
        if folder is None and known.startswith(PREFIX):  # what is pinned needs no engine to be named
            check_reference(image)
            return Environment(known, image)
        example = next(filter(None, map(_OWN.fullmatch, self._examples(stage))), None)
        if folder is None or example is None:
            return super().environment(git, commit, stage, known, asked)
        _, tree, required, _ = folder.split(":", 3)
        if example[1]:
            check_dockerfile(git, tree, image)
            return Environment(f"{BUILT}{tree}{example[2]}", image)
        if stage.name not in self._published:  # else users and secrets that are not here are there
            super().environment(git, commit, stage)
        return Environment(f"venv:{tree}:{required}{example[2]}", image)

    def _examples(self, stage: Stage) -> list[str]:
        """Ids of the controller's, the stage's own first."""
        return [self._published.get(stage.name, ""), *sorted(self._published.values())]
