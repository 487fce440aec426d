"""Watch: what the remote says now. Push events are hints; ``git ls-remote`` is the truth.

Called by ``loop`` at every turn. Keeps the controller's own bare clone up to date below ``refs/seen/`` and tells which
branches count. Never writes to the remote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from gitdata.backends.git import Git
from gitdata.controller.clone import is_damaged, is_there, make_clone
from gitdata.errors import RemoteError

HEADS = "refs/heads/"
OUTPUTS = "refs/heads/gitdata/"
ARCHIVE = "refs/gitdata/archive/"
REQUESTS = "refs/gitdata/requests/"

_SEEN = (
    "+refs/heads/*:refs/seen/heads/*",
    "+refs/notes/gitdata/*:refs/seen/notes/*",
    "+refs/gitdata/*:refs/seen/gitdata/*",
)

_MOST_BROKEN = 20


@dataclass(frozen=True, slots=True)
class Remote:
    """The remote's refs at one moment: full name -> sha. default: the branch that its HEAD names, "" for none.

    broken: of these the ones that could not be fetched, with the reason.
    """

    refs: Mapping[str, str] = field(default_factory=dict)
    default: str = ""
    broken: Mapping[str, str] = field(default_factory=dict)

    def branches(self, patterns: Sequence[str]) -> dict[str, str]:
        """Watched source branches -> tips. Never what gitdata wrote, nor a branch in its place."""
        found = {}
        for ref, sha in self.refs.items():
            name = ref.removeprefix(HEADS)
            ours = ref.startswith(OUTPUTS) or name == "gitdata"
            if ref.startswith(HEADS) and not ours and any(fnmatchcase(name, pattern) for pattern in patterns):
                found[name] = sha
        return found

    def orphans(self) -> dict[str, str]:
        """Output branches whose source branch is gone -> tips."""
        return {
            ref.removeprefix(OUTPUTS): sha
            for ref, sha in self.refs.items()
            if ref.startswith(OUTPUTS) and HEADS + ref.removeprefix(OUTPUTS) not in self.refs
        }


def look(git: Git, origin: str, last: Remote) -> Remote:
    """The remote's refs, fetched where they moved. Raises RemoteError.

    What cannot be fetched, because the server lacks something of it, is ``broken``; all else is fetched without it.
    """
    if not is_there(git):
        make_clone(git)
        last = Remote()
    refs, head = git.refs_and_head(origin)
    broken: dict[str, str] = {}
    if refs != last.refs or last.broken:
        try:
            git.fetch(origin, *_SEEN, prune=True)
        except RemoteError as error:
            if is_damaged(git):
                make_clone(git)
            found = _fetch_sound(git, origin, refs, error)
            broken = {ref: last.broken.get(ref, why) for ref, why in found.items()}  # git's words vary
    return Remote(refs, head.removeprefix(HEADS), broken)


def _fetch_sound(git: Git, origin: str, refs: Mapping[str, str], error: RemoteError) -> dict[str, str]:
    """Fetch refs in ever smaller groups; those that cannot be had, each with git's words. Raises ``error`` where that
    is no matter of a few refs.
    """
    seen = git.refs("refs/seen/")
    names = {ref: name for ref in refs if (name := _seen_name(ref))}
    gone = (f"delete {name}\n" for name in seen.keys() - set(names.values()))
    git.run("update-ref", "--stdin", input="".join(gone).encode(errors="surrogateescape"))
    todo = [sorted(ref for ref, name in names.items() if seen.get(name) != refs[ref])]
    broken: dict[str, str] = {}
    sound = 0
    while todo:
        group = todo.pop()
        try:
            git.fetch(origin, *(f"+{ref}:{names[ref]}" for ref in group))
            sound += len(group)
        except RemoteError as failure:
            half = len(group) // 2
            if half:
                todo += [group[:half], group[half:]]
                continue
            broken |= dict.fromkeys(group, failure.message)
            if len(broken) > _MOST_BROKEN:
                raise error from failure
    if broken and not sound and len(broken) == len(names):
        raise error
    return broken


def _seen_name(ref: str) -> str:
    """Under which name a ref is kept here, "" if it is not."""
    for spec in _SEEN:
        theirs, _, ours = spec.removeprefix("+").replace("*", "").partition(":")
        if ref.startswith(theirs):
            return ours + ref.removeprefix(theirs)
    return ""
