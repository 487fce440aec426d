"""Notify: messages enter the outbox with the publishing push, and leave it once.

``publish`` calls ``enter`` and pushes the commit together with the outputs; the loop calls ``deliver`` afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gitdata.backends.git import Git
from gitdata.controller.side_commits import commit_files
from gitdata.formats.outbox import Message, State, dump_message, message_path

OUTBOX_REF = "refs/gitdata/outbox"


def enter(
    git: Git, tip: str | None, messages: Sequence[Message], *, hold_over: int, ident: str
) -> str | None:
    """The outbox commit with those of ``messages`` (``outbox.new_message``) that it does not hold yet, in any state.

    tip: the fetched tip, returned unchanged if nothing is new. More than ``hold_over`` new ones at once are entered as held.
    The same arguments give the same sha. ident: a raw ``name <email> seconds zone`` line.
    """
    wanted = {message_path(m.id): m for m in reversed(messages)}
    present = {entry.path for entry in git.ls_tree(tip)} if tip and wanted else set()
    new = {path: m for path, m in wanted.items() if path not in present}
    if not new:
        return tip
    state: State = "held" if len(new) > hold_over else "pending"
    files = {path: dump_message(replace(m, state=state)) for path, m in new.items()}
    return commit_files(git, tip, files, ident=ident, message="gitdata: outbox\n")
