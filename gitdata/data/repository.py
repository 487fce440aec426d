"""A repository on this machine: where git, the cache, the remotes and the pointers are.

Called by every command. Everything is read when it is asked for, nothing is kept; DVC's configuration files count in
DVC's order. It must never import what a clean `gitdata status` does not need.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, suppress
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

from gitdata.backends.discovery import discover
from gitdata.backends.git import Git
from gitdata.backends.objects import ObjectStore, OtherKindError
from gitdata.backends.stores import is_versioned, open_store
from gitdata.data.cache import Cache
from gitdata.data.dvcsettings import load_config
from gitdata.data.links import Links, read_types
from gitdata.data.lock import dvc_lock
from gitdata.data.nested import check_inside
from gitdata.data.outside import check_cache, check_dvc, check_links
from gitdata.data.pointers import TEXTS, Pointers, is_text, read_pointers
from gitdata.errors import InvalidInputError, NotARepositoryError
from gitdata.formats.dvcconfig import Config, RemoteConfig, remotes
from gitdata.text import quoted


class Repository:
    """root: the top of the working tree. git_dir: this worktree's own; common_dir: shared by all worktrees.

    variables: what git needs to be told to find it from ``root``.
    """

    def __init__(
        self, root: Path, git_dir: Path, common_dir: Path, variables: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        self.root = root
        self.git_dir = git_dir
        self.common_dir = common_dir
        self.git = Git(root, variables=variables)
        self.place = git_dir if variables else root  # by which it is found without them

    @classmethod
    def open(cls, path: Path | None = None, *, in_hook: bool = False) -> Repository:
        """The repository around ``path`` (default: here). Raises NotARepositoryError.

        in_hook: git's index is meant, whatever file git works on meanwhile.
        """
        repository = cls.find(path, in_hook=in_hook)
        if (repository.root / ".dvc/config").is_file():
            return repository
        if not is_initialised(repository.git, "HEAD"):
            raise _not_initialised(repository.root)
        sparse = repository.git.config("core.sparseCheckout") == "true"
        raise NotARepositoryError(
            f"{repository.root}: .dvc/config is not checked out" + (" (the checkout is sparse)" if sparse else ""),
            hint="git sparse-checkout add .dvc" if sparse else "git checkout HEAD -- .dvc",
        )

    @classmethod
    def find(cls, path: Path | None = None, *, in_hook: bool = False) -> Repository:
        """As ``open``, for a git repository that may not have been initialised."""
        found = discover(path, in_hook=in_hook)
        place = nested_project(Path(path or Path.cwd()).absolute(), found.root)
        if place is not None:
            raise NotARepositoryError(
                f"{place}: a DVC project in a subfolder (`dvc init --subdir`); gitdata works with one at the top alone",
                hint=f"go on with `dvc` in {place.name}/, or run gitdata outside of it",
            )
        return cls(found.root, found.git_dir, found.common_dir, found.variables)

    # ------------------------------------------------------------------------------------------------ configuration

    @cached_property
    def config(self) -> Config:
        """DVC's configuration, all files merged; relative paths are resolved."""
        return load_config(self.root)

    @cached_property
    def cache(self) -> Cache:
        settings = self.config.get("cache", {})
        folder = Path(settings.get("dir") or self.root / ".dvc/cache")
        check_cache(self.root, self.git, folder)
        return Cache(folder, shared=settings.get("shared") == "group")

    @cached_property
    def links(self) -> Links:
        """What the files of data are made of here. Raises InvalidInputError for a `cache.type` that DVC has not."""
        return Links(self.cache, read_types(self.config.get("cache", {}).get("type")))

    def remote_config(self, name: str | None = None) -> RemoteConfig:
        """The remote of that name, or the default one. Raises InvalidInputError."""
        known = remotes(self.config)
        wanted = (name or self.config.get("core", {}).get("remote", "")).lower()
        if not wanted:
            raise InvalidInputError(
                "no data remote is set", hint="gitdata init --remote URL (a folder or s3://bucket/prefix)"
            )
        if wanted not in known:
            raise InvalidInputError(f"no data remote named {wanted!r}", hint=f"known: {', '.join(known) or 'none'}")
        return known[wanted]

    def remote(self, name: str | None = None) -> ObjectStore:
        """The data remote of that name, or the default one. Raises OtherKindError where DVC alone keeps data there."""
        config = self.remote_config(name)
        try:
            return open_store(config.url, config.options)
        except OtherKindError:
            if is_versioned(config.options):
                raise
        # Deferred: DVC costs most of a second to import.
        from gitdata.backends.dvcstore import DvcStore

        check_dvc(self.root, self.git, config.name)
        return DvcStore(self.root, config.name, config.url)

    # ----------------------------------------------------------------------------------------------------- pointers

    def pointers(self) -> Pointers:
        """The pointers of the working tree, tracked or not."""
        listed = self.git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *TEXTS)
        texts: dict[str, bytes] = {}
        for name in sorted({line.decode(errors="surrogateescape") for line in listed.split(b"\0")[:-1]}):
            path = self.root / name
            with suppress(FileNotFoundError):
                if is_text(name) and path.is_file():
                    texts[name] = path.read_bytes()
        return read_pointers(texts, self.unmerged())

    def unmerged(self) -> list[str]:
        """The pointers that git has in conflict."""
        listed = self.git.run("ls-files", "-z", "--unmerged", "--", *TEXTS).split(b"\0")[:-1]
        return sorted({row.partition(b"\t")[2].decode(errors="surrogateescape") for row in listed})

    def relative(self, path: Path) -> str:
        """A path as it is named inside the repository. Raises InvalidInputError if it is outside, or in another one."""
        full = Path(os.path.normpath(Path.cwd() / path))
        place = full.parent.resolve() / full.name
        try:
            name = place.relative_to(self.root.resolve()).as_posix()
        except ValueError as error:
            raise InvalidInputError(f"{path}: outside of the repository {self.root}") from error
        check_inside(self.git, self.root, name)
        other = nested_project(place, self.root.resolve())
        if other is not None:
            raise InvalidInputError(
                f"{path}: it is in another DVC project, {other}", hint=f"use `dvc` in {other.name}/"
            )
        return name

    # --------------------------------------------------------------------------------------------------------- lock

    def lock(self) -> AbstractContextManager[None]:
        """Exclude other writers, gitdata's and DVC's. Raises BusyError after 3 seconds."""
        if self.config.get("core", {}).get("hardlink_lock", "false").lower() == "true":
            raise InvalidInputError(
                "core.hardlink_lock is set: gitdata and DVC could not see each other's lock",
                hint="dvc config --unset core.hardlink_lock",
            )
        check_links(self.root, self.git, ".dvc/tmp")
        return dvc_lock(self.root)


def _not_initialised(root: Path) -> NotARepositoryError:
    for folder in root.parents:
        if (folder / ".dvc/config").is_file():
            return NotARepositoryError(
                f"{root}: a git repository of its own (a submodule?) inside of {folder}, and not a gitdata repository",
                hint=f"cd {quoted(str(folder))}; or `gitdata init` here, if its data shall be its own",
            )
    return NotARepositoryError(f"{root}: not a gitdata repository yet", hint="run `gitdata init` here")


def nested_project(place: Path, root: Path) -> Path | None:
    """The folder of a DVC project of its own around ``place``, below ``root``."""
    for folder in (place, *place.parents):
        if folder == root or not folder.is_relative_to(root):
            return None
        if (folder / ".dvc/config").is_file():
            return folder
    return None


def is_initialised(git: Git, revision: str) -> bool:
    """Whether a commit is one of a gitdata repository."""
    return git.call("cat-file", "-e", f"{revision}:.dvc/config").returncode == 0


def pointers_at(git: Git, treeish: str) -> Pointers:
    """The pointers of a tree."""
    entries = [e for e in git.ls_tree(treeish) if is_text(e.path) and e.mode in ("100644", "100755")]
    blobs = git.blobs(e.sha for e in entries)
    return read_pointers({e.path: blobs[e.sha] for e in entries})
