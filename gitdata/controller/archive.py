"""Archive: output branches whose source branch is gone move aside, each in a push of its own: one refusal blocks none.

Called by ``loop`` after each look at the remote. What is refused is said once and tried again a minute later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gitdata.backends.git import Git
from gitdata.controller.watch import ARCHIVE, OUTPUTS

_PAUSE = 60.0  # seconds


class Archive:
    """The archive of one repository. say_once: told what is so, by what it is about."""

    def __init__(self, git: Git, origin: str, say_once: Callable[[str, str], None]) -> None:
        self._git, self._origin, self._say_once = git, origin, say_once
        self._after = 0.0  # on the monotonic clock

    def move(self, orphans: Mapping[str, str]) -> bool:
        """orphans: source branch -> tip of its output branch. Whether anything was pushed."""
        if not orphans or time.monotonic() < self._after:
            return False
        for branch, tip in orphans.items():
            gone = f"{OUTPUTS}{branch}"
            updates = {f"{ARCHIVE}{branch}/{tip}": tip, gone: None}
            moved = self._git.push(self._origin, updates, expect={gone: tip})
            word = "is archived" if moved.accepted else f"cannot be archived: {moved.reason}"
            if not moved.accepted:
                self._after = time.monotonic() + _PAUSE
            self._say_once(f"archive {branch}", f"gitdata/{branch}: its source branch is gone; it {word} ({tip[:12]})")
        return True
