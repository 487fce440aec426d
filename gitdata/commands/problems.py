"""How a verb that does its work for many things ends: each that failed is named, and the first gives the exit code."""

from __future__ import annotations

from collections.abc import Iterable

from gitdata.commands.terminal import say
from gitdata.errors import GitdataError


def raise_first(errors: Iterable[GitdataError]) -> None:
    """Say all errors but the first, each once, and raise that one; nothing where there is none."""
    different = list({error.message: error for error in errors}.values())
    for error in different[1:]:
        say(f"gitdata: {error.message}")
        if error.hint:
            say(f"hint: {error.hint}")
    if different:
        raise different[0]
