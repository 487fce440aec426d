"""What is said to a word that is not gitdata's: the counterpart of another tool's, else the nearest of ours.

Called by ``cli`` and ``passthrough`` when a verb or an option is not known; nothing has been done then. It only makes
the error, and must never run what it thinks was meant.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from gitdata.commands.counterparts import DVC, GIT, OPTIONS, PACHYDERM
from gitdata.errors import UsageError

_MOST = 3


def unknown_verb(words: Sequence[str], verbs: Sequence[str]) -> UsageError:
    """The error for a command line that begins with these words. ``verbs``: those that people type."""
    typed = " ".join(words[:2]).lower()
    first = words[0].lower()
    return UsageError(f"unknown command {words[0]!r}", hint=_counterpart(typed, first) or _nearest(typed, first, verbs))


def unknown_member(group: str, words: Sequence[str], verbs: Sequence[str]) -> UsageError:
    """The error for ``gitdata job`` alone, or with a word that is none of its verbs."""
    members = sorted(verb.split()[1] for verb in verbs if verb.startswith(f"{group} "))
    hint = ""
    if words:
        typed = words[0].lower()
        near = get_close_matches(typed, members, 1)
        hint = _counterpart(f"{group} {typed}", "") or (f"did you mean `gitdata {group} {near[0]}`?" if near else "")
    return UsageError(f"gitdata {group} needs one of: {', '.join(members)}", hint=hint)


def _counterpart(typed: str, first: str) -> str:
    for name in (typed, first):
        known = DVC.get(name) or PACHYDERM.get(name)
        if known:
            return known
    return f"`git {first}`: the hooks take the data along" if first in GIT else ""


def _nearest(typed: str, first: str, verbs: Sequence[str]) -> str:
    swapped = " ".join(reversed(typed.split()))
    exact = [verb for verb in verbs if typed in (verb, verb.replace(" ", "-")) or swapped == verb]
    exact += [verb for verb in verbs if verb.endswith(f" {first}")]
    places: dict[str, list[str]] = {}  # what might have been meant -> the verbs that it stands for
    for verb in verbs:
        for name in {verb, *verb.split()}:
            places.setdefault(name, []).append(verb)
    near = [verb for name in get_close_matches(first, places, _MOST, 0.7) for verb in places[name]]
    near += get_close_matches(typed, verbs, _MOST, 0.8)
    found = list(dict.fromkeys(exact or near))[:_MOST]
    if not found:
        return "see `gitdata --help`"
    named = [f"`gitdata {verb}`" for verb in found]
    return f"did you mean {' or '.join([', '.join(named[:-1]), named[-1]] if named[1:] else named)}?"


def wrong_arguments(verb: str, parser: argparse.ArgumentParser, words: Sequence[str], message: str) -> UsageError:
    """The error for arguments that argparse refuses: it names the option that the verb lacks, if that is why."""
    known = {option for action in parser._actions for option in action.option_strings}
    for word in itertools.takewhile(lambda word: word != "--", words):
        name = option_name(word)
        if name and name not in known:
            return unknown_option(verb, word, known)
    return UsageError(f"{verb}: {message}", hint=f"see `gitdata {verb} --help`")


def unknown_option(verb: str, word: str, known: Iterable[str]) -> UsageError:
    """The error for one option that ``verb`` ("": gitdata itself) does not have."""
    name = option_name(word)
    hint = (verb and OPTIONS.get(verb, {}).get(name)) or OPTIONS[""].get(name, "")
    near = get_close_matches(name, [option for option in known if option.startswith("--")], 1, 0.7)
    if not hint and name.startswith("--") and near:
        hint = f"did you mean {near[0]}?"
    where = f"{verb}: " if verb else ""
    return UsageError(f"{where}unknown option {name!r}", hint=hint or f"see `gitdata {verb} --help`".replace("  ", " "))


def option_name(word: str) -> str:
    """``--long`` of ``--long=value``, ``-s`` of ``-svalue``, "" of what is no option."""
    if word.startswith("--"):
        return word.partition("=")[0]
    return word[:2] if len(word) > 1 and word[0] == "-" and not word[1].isdigit() else ""
