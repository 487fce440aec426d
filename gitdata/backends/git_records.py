"""What git tells, as values: commits, entries of trees, results of pushes; what it may be handed; URLs for people."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """One line of ``git ls-tree -r``. mode: ``100644``, ``100755``, ``120000`` (symlink) or ``160000`` (submodule)."""

    mode: str
    sha: str
    path: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What gitdata needs of a commit. author, committer: raw ``name <email> time zone`` lines."""

    sha: str
    tree: str
    parents: tuple[str, ...]
    author: str
    committer: str
    message: str

    @property
    def subject(self) -> str:
        return self.message.split("\n", 1)[0]

    def trailers(self, name: str) -> list[str]:
        """The values of the trailer lines ``name: value``, in order."""
        prefix = f"{name}: "
        # Not splitlines(): a subject may hold characters that are line ends to Python and to nobody else.
        return [line[len(prefix) :] for line in self.message.split("\n") if line.startswith(prefix)]


@dataclass(frozen=True, slots=True)
class PushResult:
    """``accepted`` is False when another writer was first (or the server said no); ``reason`` is git's word for it."""

    accepted: bool
    reason: str = ""


def parse_commit(sha: str, data: bytes) -> Commit:
    """A commit from its object, as ``git cat-file commit`` prints it."""
    header, _, message = data.decode(errors="replace").partition("\n\n")
    fields: dict[str, list[str]] = {}
    for line in header.split("\n"):
        name, _, value = line.partition(" ")
        fields.setdefault(name, []).append(value)
    return Commit(
        sha=sha,
        tree=fields["tree"][0],
        parents=tuple(fields.get("parent", ())),
        author=_dated(fields.get("author", [""])[0]),
        committer=_dated(fields.get("committer", [""])[0]),
        message=message,
    )


def parse_refs(lines: Iterable[str]) -> dict[str, str]:
    """What ls-remote printed: full name -> sha; no name that could play tricks, no peeled tag."""
    pairs = (line.partition("\t") for line in lines)
    return {ref: sha for sha, _, ref in pairs if is_sha(sha) and is_safe_ref(ref)}


def is_sha(text: str) -> bool:
    return _SHA.fullmatch(text) is not None


def is_safe_ref(ref: str) -> bool:
    """Whether a full ref name may be handed to git: ``refs/…``, no part that looks like an option or a trick."""
    return (
        ref.startswith("refs/")
        and not re.search(r"[\x00-\x20\x7f\ud800-\udfff~^:?*\[\\]|\.\.|@\{|//", ref)
        and not ref.endswith(("/", ".lock", "."))
        and all(part and not part.startswith((".", "-")) for part in ref.split("/"))
    )


def hide_password(url: str) -> str:
    """A URL, or a text with URLs, without their user parts, for messages and records."""
    return re.sub(r"(?<=://)[^/\s'\"]*@", "", url)  # up to the last @: a password may hold one


def _dated(ident: str) -> str:
    """An ident line that has a date: some programs write none, and anybody can write one that no calendar holds."""
    return ident if re.search(r"> \d{1,11} [+-]\d{4}$", ident) else f"{ident.partition(' <')[0]} <> 0 +0000"
