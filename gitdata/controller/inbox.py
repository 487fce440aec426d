"""Inbox: the requests that are open, as the loop sees them.

What the watch has fetched is read once. A ref that is no request is named and left alone; what asks for nothing any
more is taken away with a word. Neither ever keeps a branch or another request waiting.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from gitdata.backends.git import Git
from gitdata.controller.requests import read_requests
from gitdata.controller.watch import HEADS, REQUESTS
from gitdata.formats.requests import OF_A_COMMIT, OF_A_MESSAGE, Request

_MOST_NAMED = 20
_PAUSE = 60.0  # seconds, after the remote refused to let one go


class Inbox:
    """The open requests of one repository. say_once: told what is so, by what it is about."""

    def __init__(self, git: Git, origin: str, say_once: Callable[[str, str], None]) -> None:
        self.open: dict[str, Request] = {}
        self._git, self._origin, self._say_once = git, origin, say_once
        self._after = 0.0  # on the monotonic clock
        self._bad: dict[str, tuple[str, str]] = {}  # ref -> (sha, what is wrong with it)

    def look(self, refs: Mapping[str, str]) -> None:
        """Take note of what is open now. refs: of the remote, fetched."""
        asked = {ref: sha for ref, sha in refs.items() if ref.startswith(REQUESTS)}
        known = {request.ref: request for request in self.open.values()}
        self._bad = {ref: (sha, why) for ref, (sha, why) in self._bad.items() if asked.get(ref) == sha}
        self.open = {known[ref].id: known[ref] for ref in asked if ref in known}
        new = {ref: sha for ref, sha in asked.items() if ref not in known and ref not in self._bad}
        if new:
            found, bad = read_requests(self._git, new)
            self.open |= found
            self._bad |= {ref: (new[ref], why) for ref, why in bad.items()}
        words = [why for _, why in self._bad.values()]
        more = f"; and {len(words) - _MOST_NAMED} more" if len(words) > _MOST_NAMED else ""
        self._say_once("requests that are none", "; ".join(words[:_MOST_NAMED]) + more)

    def of_branch(self, branch: str) -> dict[str, Request]:
        return {id: r for id, r in self.open.items() if r.kind in OF_A_COMMIT and r.branch == branch}

    def of_messages(self) -> dict[str, Request]:
        return {id: r for id, r in self.open.items() if r.kind in OF_A_MESSAGE}

    def lost(self, refs: Mapping[str, str]) -> list[Request]:
        """Those about a branch that is gone: nothing can fulfil them."""
        return [r for r in self.open.values() if r.kind in OF_A_COMMIT and HEADS + r.branch not in refs]

    def name_unwatched(self, watched: Collection[str], refs: Mapping[str, str]) -> None:
        """Say which of them wait for a branch that is not this controller's."""
        waiting = {r.branch for r in self.open.values() if r.kind in OF_A_COMMIT and HEADS + r.branch in refs}
        names = ", ".join(sorted(waiting - set(watched)))
        self._say_once(
            "unwatched", f"requests about {names} stay open: this controller does not watch it" if names else ""
        )

    def remove(self, requests: Collection[Request], why: str) -> bool:
        """Take requests away that ask for nothing any more; whether anything was pushed."""
        if not requests or time.monotonic() < self._after:
            return False
        done = self._git.push(self._origin, {request.ref: None for request in requests})
        if not done.accepted:
            self._after = time.monotonic() + _PAUSE
        word = "deleted" if done.accepted else f"cannot be deleted: {done.reason}"
        self._say_once("requests", f"{len(requests)} requests {why}: {word}")
        return True
