"""Visit: a person's clone looks at the controller's side: the remote's outputs, records and status.

Called by ``gitdata job …``, ``plan`` and ``run``. Reads only; branches that are missing locally are fetched below
``refs/remotes/<remote>/`` as ``git fetch`` would do it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from gitdata.backends.git import Git
from gitdata.backends.git_records import Commit
from gitdata.controller.published import published_source
from gitdata.controller.requests import open_requests
from gitdata.controller.watch import HEADS, OUTPUTS
from gitdata.data.revisions import git_remote
from gitdata.errors import RemoteError
from gitdata.formats.requests import OF_A_COMMIT, PREFIX

_DEPTH = 200


@dataclass(frozen=True, slots=True)
class OutputCommit:
    """One output commit. stages: stage -> (state, run key, name of the result record), ``-`` where there is none.

    reasons: stage -> why it failed, in the controller's words. remarks: its words on pointers that it cannot read.
    """

    sha: str
    branch: str
    source: str
    stages: Mapping[str, tuple[str, str, str]]
    error: str
    reasons: Mapping[str, str]
    remarks: tuple[str, ...]


def refresh(git: Git) -> None:
    """Fetch the output branches. Raises RemoteError where the git remote cannot be asked."""
    remote = git_remote(git)
    if not git.config(f"remote.{remote}.url"):
        raise RemoteError(f"this repository has no git remote {remote!r}", hint="git remote add origin URL")
    git.fetch(remote, f"+{OUTPUTS}*:refs/remotes/{remote}/gitdata/*")


def output_tips(git: Git) -> dict[str, str]:
    """Source branch -> tip of its output branch, as last fetched."""
    prefix = f"refs/remotes/{git_remote(git)}/gitdata/"
    return {ref.removeprefix(prefix): sha for ref, sha in git.refs(prefix).items()}


def output_commits(git: Git, limit: int = _DEPTH) -> Iterator[OutputCommit]:
    """The output commits of all branches, newest first, as last fetched."""
    for branch, tip in output_tips(git).items():
        listed = git.text("rev-list", "--first-parent", f"--max-count={limit}", tip).split()
        for commit in git.commits(listed):
            found = _described(commit, branch)
            if found is None:
                break
            yield found


def describe(git: Git, sha: str, branch: str) -> OutputCommit | None:
    """What an output commit says of itself; None if it is none."""
    return _described(git.commit(sha), branch)


def _described(commit: Commit, branch: str) -> OutputCommit | None:
    source = next(iter(commit.trailers("Gitdata-Source")), None)
    if source is None:
        return None
    stages = {}
    for line in commit.trailers("Gitdata-Stage"):
        words = line.split(" ")
        if len(words) == 4:
            stages[words[0]] = (words[1], words[2], words[3])
    error = next(iter(commit.trailers("Gitdata-Error")), "")
    reasons = dict(line.split(" ", 1) for line in commit.trailers("Gitdata-Reason") if " " in line)
    return OutputCommit(commit.sha, branch, source, stages, error, reasons, tuple(commit.trailers("Gitdata-Remark")))


def is_published(git: Git, tip: str | None, commit: str) -> bool:
    """Whether an output tip is of a source commit, or of a later one that contains it."""
    source = published_source(git, tip)
    return source is not None and (source == commit or git.is_ancestor(commit, source))


class Awaited:
    """The outputs of a commit on a branch, looked for again and again.

    lack: what was missing at the last look. tip: what the branch's output tip was then, of any commit.
    """

    def __init__(self, git: Git, branch: str, commit: str) -> None:
        self.lack = ""
        self.tip: str | None = None
        self._git, self._branch, self._commit = git, branch, commit
        self._about_us: dict[str, bool] = {}  # refs of requests

    def look(self) -> str | None:
        """The output tip, fetched, once it is of a commit that contains ours and all that was asked of the branch is
        done (``job retry``, say). Raises RemoteError.
        """
        git, remote, ref = self._git, git_remote(self._git), OUTPUTS + self._branch
        refs = git.ls_remote(remote, ref, f"{PREFIX}*")  # in one answer: a publication fulfils requests
        tip = self.tip = refs.get(ref)
        if tip is not None:
            _bring(git, remote, ref, tip)
        if not is_published(git, tip, self._commit):
            self.lack = f"the outputs of {self._commit[:12]} are not published"
            return None
        asked = refs.keys() - {ref}
        if asked - self._about_us.keys():
            read = {request.ref: request for request in open_requests(git, remote).values()}
            ours = {name for name, r in read.items() if r.kind in OF_A_COMMIT and r.branch == self._branch}
            self._about_us |= {name: name in ours for name in asked - self._about_us.keys()}
        count = sum(self._about_us[name] for name in asked)
        self.lack = f"{count} requests about {self._branch} are not fulfilled"
        return None if count else tip


def source_tip(git: Git, branch: str) -> str | None:
    """A branch's own tip on the git remote now, fetched; None if it has none. Raises RemoteError."""
    remote, ref = git_remote(git), HEADS + branch
    tip = git.ls_remote(remote, ref).get(ref)
    if tip is not None:
        _bring(git, remote, ref, tip)
    return tip


def missing_push(git: Git, branch: str, commit: str) -> str:
    """Why nobody can publish the outputs of a commit yet, "" if it is pushed. Raises RemoteError."""
    tip = source_tip(git, branch)
    if tip is None:
        return f"{git_remote(git)} has no branch {branch}"
    if tip == commit or git.is_ancestor(commit, tip):
        return ""
    return f"{commit[:12]} is not on {branch} of {git_remote(git)}: it is not pushed"


def _bring(git: Git, remote: str, ref: str, tip: str) -> None:
    here = f"refs/remotes/{remote}/{ref.removeprefix(HEADS)}"
    # Only the ref proves that all is here: a fetch that was killed can leave the commit without its tree.
    if git.refs(here).get(here) != tip:
        git.fetch(remote, f"+{ref}:{here}")
