"""Sources: what a commit offers as inputs, and their listings. The pipeline's raw material, before any stage.

Called by ``facts``. Reads trees and blobs with plumbing (nothing is checked out) and directory listings from the store.
A pointer that carries ``meta.gitdata`` is an output that came along with a branch: it is never an input.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from gitdata.backends.git import Git
from gitdata.backends.git_records import TreeEntry, hide_password
from gitdata.backends.objects import ObjectStore
from gitdata.data.hashing import hash_bytes
from gitdata.data.pipeline import PipelineTree, commit_files
from gitdata.data.tracked import Tracked, require
from gitdata.data.transfer import read_listing
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.formats.dvc import object_key
from gitdata.formats.dvcconfig import parse_config, remotes
from gitdata.formats.lfs import refuse_lfs
from gitdata.formats.spec import is_content
from gitdata.model import Entry, Listing

_MOST_CONFIG = 1 << 20  # bytes of .dvc/config


@dataclass(frozen=True, slots=True)
class Source:
    """One repo that a stage may name. oid: of the pointer's output, or the git tree or blob. blobs: oid -> git blob."""

    repo: str
    kind: Literal["pointer", "git"]
    oid: str
    listing: Listing
    blobs: Mapping[str, str]


class Tree(PipelineTree):
    """The files of one commit. What was read of them is kept: the controller asks at each turn, and a commit does not
    change. endless: it has more files than can be listed; then none is known.
    """

    def __init__(self, git: Git, commit: str) -> None:
        self.git, self.commit = git, commit
        self._git_sources: dict[str, Source] = {}
        super().__init__(commit_files(git, commit))
        self.endless = bool(self.files.failure)

    def check_remote(self, url: str) -> None:
        """Refuse a commit whose own default remote is another place than ``url``: its data would not be found there.

        The controller's configuration decides where data is; a relative folder cannot be compared and is left alone.
        """
        named = self._default_remote
        if not ("://" in named or named.startswith("/")):
            return
        if _normal(named) != _normal(url):
            raise InvalidInputError(
                f".dvc/config: its default remote {hide_password(named)} is not the controller's",
                hint="push to the remote that the controller reads, or start it with --remote",
            )

    @cached_property
    def _default_remote(self) -> str:
        """The URL of the commit's own default remote, "" for none."""
        entry = self.entries.get(".dvc/config")
        if entry is None:
            return ""
        text = self.git.blobs([entry.sha], most=_MOST_CONFIG)[entry.sha].decode(errors="replace")
        config = parse_config(text, ".dvc/config")
        named = remotes(config).get(config.get("core", {}).get("remote", "").lower())
        return named.url if named else ""

    def source(self, repo: str, store: ObjectStore) -> Source:
        """The listing of a pointer or a git path. Raises InvalidInputError, MissingDataError."""
        if repo in self.broken:
            raise InvalidInputError(self.broken[repo])
        tracked = self.outputs.get(repo)
        if tracked is not None and repo not in self.generated:
            return _pointer_source(require(tracked, repo), store)
        if repo not in self._git_sources:
            self._git_sources[repo] = self._git_source(repo)
        return self._git_sources[repo]

    def _git_source(self, repo: str) -> Source:
        below = {
            path: entry
            for path, entry in self.entries.items()
            if path == repo or (path.startswith(f"{repo}/") and is_content(path))
        }
        for path, entry in below.items():
            if entry.mode not in ("100644", "100755"):
                raise InvalidInputError(
                    f"{path}: a symlink or submodule cannot be an input", hint="add the files itself"
                )
        hashed = self._hash(below)
        files, blobs = [], {}
        for path in sorted(below):
            oid, size = hashed[below[path].sha]
            inside = path[len(repo) + 1 :] or posixpath.basename(path)
            files.append(Entry(inside, oid, size, exec=below[path].mode == "100755"))
            blobs[oid] = below[path].sha
        name = self.git.text("rev-parse", "--verify", "--end-of-options", f"{self.commit}:{repo}")
        return Source(repo, "git", name, tuple(sorted(files, key=lambda e: e.path)), blobs)

    def _hash(self, entries: Mapping[str, TreeEntry]) -> dict[str, tuple[str, int]]:
        names = {entry.sha: path for path, entry in entries.items()}
        found = {}
        for sha, text in self.git.each_blob(names):
            refuse_lfs(text, names[sha])
            found[sha] = (hash_bytes(text).md5, len(text))
        return found


def _normal(url: str) -> str:
    return url.removeprefix("file://").rstrip("/")


def _pointer_source(tracked: Tracked, store: ObjectStore) -> Source:
    out = tracked.out
    # What people keep elsewhere may have come here as well.
    if (tracked.remote or tracked.imported) and store.head(object_key(out.oid)) is None:
        if tracked.remote:
            raise InvalidInputError(
                f"{tracked.path}: {tracked.pointer} has its data on the remote {tracked.remote!r}, not on {store.url}",
                hint="take the line `remote` out of the pointer and push again",
            )
        raise MissingDataError(
            f"{tracked.path}: imported from another repository; nobody pushed it to {store.url}",
            hint=f"`dvc pull {tracked.pointer}` and `gitdata push`",
        )
    name = posixpath.basename(tracked.path)
    listing = read_listing(store, out.oid) if out.is_dir else (Entry(name, out.oid, out.size, exec=out.exec),)
    return Source(tracked.path, "pointer", out.oid, listing, {})
