"""The one reader of a pipeline: what a tree of files says of its stages, and of the data that they may read.

The commit hook reads git's index with it, ``stage validate`` the working tree, the controller, ``plan`` and ``run`` a
commit. Which file is a spec or a pointer, what a pointer is called as an input, and what is wrong with any of them is
decided here and nowhere else. Nothing in the tree is followed or run. A pointer that cannot be read is a problem of the
stages that would use it, never of the others.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from gitdata.backends.git import Git
from gitdata.backends.git_records import TreeEntry
from gitdata.data.pointers import read_pointers
from gitdata.data.tracked import Tracked, outs_of
from gitdata.errors import InvalidInputError
from gitdata.formats.dvc import is_pointer, parse_pointer
from gitdata.formats.spec import is_other_spec, is_spec, load_pipeline, sources_of
from gitdata.formats.spec_text import MAX_BYTES
from gitdata.model import Stage

_MOST_TEXT = 64 << 20  # bytes of all pointers, or all specs, of a tree
_UNREAD = "its bytes cannot be read"
_OTHER = "specs in this language are not read; write what it evaluates to as .json or .yaml, or move it away"
_FILES, _LINK, _SUBMODULE = ("100644", "100755"), "120000", "160000"


@dataclass(frozen=True, slots=True)
class Files:
    """All files of a tree. read: the bytes of some of them. unmerged: those that git has in conflict.

    failure: why nothing of it can be read, "" if it can.
    """

    entries: Mapping[str, TreeEntry] = field(default_factory=dict)
    read: Callable[[Iterable[str]], Mapping[str, bytes]] = lambda paths: {}
    unmerged: frozenset[str] = frozenset()
    failure: str = ""


def commit_files(git: Git, commit: str) -> Files:
    """The files of a commit; of a stranger's, as far as they can be listed."""
    try:
        entries = {entry.path: entry for entry in git.ls_tree(commit)}
    except InvalidInputError as error:
        return Files(failure=f"{error.message}: {error.hint}")
    return Files(entries, lambda paths: _blobs(git, entries, paths))


def index_files(git: Git) -> Files:
    """The files of git's index: what is not staged is not part of the commit."""
    entries, unmerged = {}, set()
    for row in git.run("ls-files", "-s", "-z").split(b"\0")[:-1]:
        meta, _, raw = row.partition(b"\t")
        mode, sha, side = meta.decode().split(" ")
        path = raw.decode(errors="surrogateescape")
        entries[path] = TreeEntry(mode, sha, path)
        if side != "0":
            unmerged.add(path)
    return Files(entries, lambda paths: _blobs(git, entries, paths), frozenset(unmerged))


def working_files(git: Git) -> Files:
    """The files that a commit of everything that git does not ignore would have. git: of the working tree's top."""
    listed = git.run("ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate")
    entries = {}
    for raw in listed.split(b"\0")[:-1]:
        path = raw.decode(errors="surrogateescape").rstrip("/")
        mode = _mode(git.path / path)
        if mode:
            entries[path] = TreeEntry(mode, "", path)
    conflicts = git.run("ls-files", "-z", "--unmerged").split(b"\0")[:-1]
    unmerged = frozenset(row.partition(b"\t")[2].decode(errors="surrogateescape") for row in conflicts)
    return Files(entries, lambda paths: _texts(git.path, paths), unmerged)


def _mode(path: Path) -> str:
    """As git would record it; "" for what is not there, or is nothing that git keeps."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return ""
    if stat.S_ISREG(mode):
        return _FILES[bool(mode & 0o100)]
    return _LINK if stat.S_ISLNK(mode) else _SUBMODULE if stat.S_ISDIR(mode) else ""


def _texts(root: Path, paths: Iterable[str]) -> Mapping[str, bytes]:
    found = {}
    for path in paths:
        with suppress(OSError), os.fdopen(os.open(root / path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            found[path] = file.read(MAX_BYTES + 1)
    return found


def _blobs(git: Git, entries: Mapping[str, TreeEntry], paths: Iterable[str]) -> Mapping[str, bytes]:
    wanted = list(paths)
    texts = git.blobs((entries[path].sha for path in wanted), most=_MOST_TEXT)
    return {path: texts[entries[path].sha] for path in wanted if entries[path].sha in texts}


class PipelineTree:
    """A tree with what was read of it.

    outputs: of its pointers, by path. generated: those that a controller wrote, with their ``meta.gitdata``: they came
    along from an output branch and are no inputs. broken: what an input may be called that cannot be read -> why.
    remarks: what is wrong with pointers, a line each, for people.
    """

    def __init__(self, files: Files) -> None:
        self.files, self.entries, self.failure = files, files.entries, files.failure
        self.outputs: dict[str, Tracked] = {}
        self.generated: dict[str, dict[str, str]] = {}
        self.broken: dict[str, str] = {}
        self._names: dict[str, str] = {}  # a pointer's own name -> the path of its data, if that is another
        self._pipelines: dict[str, tuple[Stage, ...]] = {}
        try:
            self._read_pointers()
        except InvalidInputError as error:
            self.failure = f"{error.message}: {error.hint}"

    @property
    def remarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.broken.values()))

    def _read_pointers(self) -> None:
        names = [path for path in self.entries if is_pointer(path)]
        unmerged = [name for name in names if name in self.files.unmerged]
        plain = [name for name in names if self.entries[name].mode in _FILES and name not in unmerged]
        texts = self.files.read(plain)
        pointers = read_pointers(texts, unmerged)
        for name in names:
            if name in pointers.problems:
                problem = pointers.problems[name].remark
                self.broken |= dict.fromkeys(_claimed(name, texts.get(name, b"")), problem)
            elif name not in pointers.found:
                why = _UNREAD if name in plain else "a symlink; a pointer must be the file itself"
                self.broken[_stem(name)] = f"{name}: {why}"
        for name, pointer in pointers.found.items():
            for tracked in outs_of(name, pointer):
                self.outputs[tracked.path] = tracked
                if pointer.generated:
                    self.generated[tracked.path] = {k: str(v) for k, v in pointer.meta["gitdata"].items()}
                elif _stem(name) != tracked.path:
                    self._names.setdefault(_stem(name), tracked.path)
        for path in self.broken:
            self.outputs.pop(path, None)
            self.generated.pop(path, None)

    def pipeline(self, default_branch: str) -> tuple[Stage, ...]:
        """The stages in topological order. Raises InvalidInputError with a line per problem."""
        if default_branch not in self._pipelines:
            self._pipelines[default_branch] = self._load_pipeline(default_branch)
        return self._pipelines[default_branch]

    def _load_pipeline(self, default_branch: str) -> tuple[Stage, ...]:
        if self.failure:
            raise InvalidInputError(self.failure)
        specs = [path for path in self.entries if is_spec(path)]
        refused = {path: "merge conflict; resolve it" for path in specs if path in self.files.unmerged}
        refused |= {path: _OTHER for path in self.entries if is_other_spec(path)}
        refused |= {
            path: "a spec cannot be a symlink; put the file itself there"
            for path in specs
            if self.entries[path].mode not in _FILES
        }
        sources = sources_of(path for path in self.entries if not is_pointer(path))
        for path in self.outputs.keys() - self.generated.keys():
            sources[path] = "both" if path in sources else "pointer"
        sources |= dict.fromkeys(self.broken, "broken")
        texts = self.files.read(path for path in specs if path not in refused)
        refused |= {path: _UNREAD for path in specs if path not in refused and path not in texts}
        names = {name: path for name, path in self._names.items() if name not in sources}
        return load_pipeline(
            texts, sources, default_branch=default_branch or None, refused=refused, pointer_names=names
        )


def _claimed(name: str, text: bytes) -> list[str]:
    """What the data of a pointer that is a problem may be called."""
    try:
        return [tracked.path for tracked in outs_of(name, parse_pointer(text, name))] or [_stem(name)]
    except InvalidInputError:
        return [_stem(name)]


def _stem(name: str) -> str:
    return name.removesuffix(".dvc")
