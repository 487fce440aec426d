"""The outbox as the notify commands see it: fetched from the git remote; the beginning of an id names a message."""

from __future__ import annotations

import time
from collections.abc import Mapping

from gitdata.backends.git import Git
from gitdata.commands.terminal import say
from gitdata.controller.notify import fetch_outbox, read_outbox
from gitdata.data.revisions import git_remote
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.formats.outbox import Message


def remote_outbox(git: Git) -> dict[str, Message]:
    """All messages on the remote. Raises RemoteError."""
    problems: list[str] = []
    messages = read_outbox(git, fetch_outbox(git, git_remote(git)), problems)
    for problem in problems:
        say(problem)
    return messages


def one_message(messages: Mapping[str, Message], text: str) -> Message:
    """The message whose id begins so."""
    found = [m for id, m in messages.items() if text and id.startswith(text)]
    if len(found) > 1:
        raise InvalidInputError(f"{text}: {len(found)} messages begin so", hint="give more of the id")
    if not found:
        raise MissingDataError(f"{text}: no message begins so", hint="see `gitdata notify list`")
    return found[0]


def now_ms() -> int:
    return time.time_ns() // 1_000_000
