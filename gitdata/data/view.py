"""One tree of files: what git keeps and what pointers name, at a revision or in the working tree.

Called by ``ls``, ``get`` and ``diff``. Listings come from the cache, else from the remote (verified); file contents are
fetched into the cache. It must never write to the working tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Literal

from gitdata.data.hashing import hash_bytes
from gitdata.data.repository import Repository, pointers_at
from gitdata.data.revisions import commit_of
from gitdata.data.tracked import Tracked, outputs
from gitdata.data.transfer import Progress, object_sizes, pull_objects, read_listing
from gitdata.errors import GitdataError, InvalidInputError, MissingDataError
from gitdata.formats.dvcdir import check_paths
from gitdata.model import Entry, Listing
from gitdata.text import quoted

_MOST_CANDIDATES = 2000


@dataclass(frozen=True, slots=True)
class Node:
    """A file or folder of a view. oid: of data; a git blob's sha for a file that git keeps; "" for a plain folder."""

    path: str
    kind: Literal["data", "git", "folder"]
    folder: bool
    oid: str = ""
    size: int | None = None
    files: int | None = None
    exec: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """What ``get`` writes. listing: relative to the path that was asked for; its data is in the cache.

    texts: the bytes of what git keeps, by oid. folder: whether the path is one. left_out: what git keeps there and is
    not written: symlinks, submodules, and DVC's own folders, each of those once.
    """

    listing: Listing
    texts: Mapping[str, bytes]
    folder: bool
    left_out: tuple[str, ...]


def split_revision(repo: Repository, text: str) -> tuple[str | None, str]:
    """``REV:PATH`` as (commit sha, path from the root); without a revision the path is relative to here."""
    revision, colon, path = text.partition(":")
    if not colon or (repo.root / text).exists():
        return None, text
    return commit_of(repo.git, revision), path.strip("/")


class View:
    """commit: a sha, or None for the working tree's pointers and git's index."""

    def __init__(self, repo: Repository, commit: str | None) -> None:
        self.repo = repo
        self.commit = commit
        pointers = pointers_at(repo.git, commit) if commit else repo.pointers()
        self.outputs = outputs(pointers.found)
        self.remarks = [error.remark for error in pointers.problems.values()]  # and why sizes are not known
        self._listings: dict[str, Listing] = {}
        self._rows: dict[str, list[tuple[str, str, str, str]]] = {}

    # ------------------------------------------------------------------------------------------------------- looking

    def listing(self, output: Tracked) -> Listing:
        """The files of a data folder, or the one file that the output is. Sizes where the cache knows them."""
        out = output.out
        if not output.watched:
            raise InvalidInputError(f"{output.path}: {output.pointer} has hashes of DVC 2 or none")
        if not out.is_dir:
            return (Entry(out.path.rpartition("/")[2], out.oid, out.size, out.exec),)
        if out.oid not in self._listings:
            cache, here = self.repo.cache, self.repo.cache.has(out.oid)
            found = cache.listing(out.oid) if here else read_listing(self.repo.remote(output.remote), out.oid)
            self._listings[out.oid] = tuple(Entry(e.path, e.oid, cache.size(e.oid)) for e in found)
        return self._listings[out.oid]

    def containing(self, path: str) -> Tracked | None:
        """The output at a path or above it."""
        while path:
            if path in self.outputs:
                return self.outputs[path]
            path = path.rpartition("/")[0]
        return None

    def files(self, path: str, *, sizes: bool = False) -> list[Node]:
        """Every file at or below a path, by path. sizes: ask the remote for those that the cache does not know.

        Raises MissingDataError if there is none.
        """
        path = "" if path == "." else path
        found = list(self._data_files(path))
        if sizes:
            unknown: dict[str, set[str]] = {}  # by remote
            for node in found:
                if node.size is None and (output := self.containing(node.path)):
                    unknown.setdefault(output.remote, set()).add(node.oid)
            asked = {oid: size for name, oids in unknown.items() for oid, size in self.sizes(oids, name).items()}
            found = [replace(node, size=asked.get(node.oid, node.size)) for node in found]
        if self.containing(path) is None:
            found += self._git_files(path)
        if not found and path and path not in self.outputs:  # an output may be an empty folder
            raise self._absent(path)
        return sorted(found, key=lambda node: node.path)

    def sizes(self, oids: set[str], remote: str = "") -> dict[str, int]:
        """oid -> size of those that a remote has; no content moves. One that cannot be asked is a remark."""
        try:
            return object_sizes(self.repo.remote(remote), oids) if oids else {}
        except GitdataError as error:
            if error.message not in self.remarks:
                self.remarks.append(error.message)
            return {}

    def _data_files(self, path: str) -> Iterator[Node]:
        inside = self.containing(path)
        below = [inside] if inside else [o for p, o in self.outputs.items() if not path or p.startswith(path + "/")]
        for output in below:
            for entry in self.listing(output):
                full = f"{output.path}/{entry.path}" if output.out.is_dir else output.path
                if not path or full == path or full.startswith(path + "/"):
                    yield Node(full, "data", False, entry.oid, entry.size, exec=entry.exec)

    def _git_files(self, path: str) -> Iterator[Node]:
        for mode, sha, size, name in self._git_rows(path):
            if not mode.startswith("100"):
                continue
            file = self.repo.root / name
            if self.commit:
                yield Node(name, "git", False, sha, int(size), exec=mode == "100755")
            elif file.is_file():
                yield Node(name, "git", False, sha, file.stat().st_size, exec=mode == "100755")

    def _git_rows(self, path: str) -> list[tuple[str, str, str, str]]:
        """(mode, sha, size, path) of all that git keeps at or below a path; the index knows no sizes."""
        if path not in self._rows:
            self._rows[path] = list(self._read_rows(path))
        return self._rows[path]

    def _read_rows(self, path: str) -> Iterator[tuple[str, str, str, str]]:
        of_commit = ("ls-tree", "-r", "-l", "-z", "--full-tree", self.commit or "")
        args = of_commit if self.commit else ("ls-files", "-s", "-z")
        rows = self.repo.git.run("--literal-pathspecs", *args, "--", *([path] if path else []))
        for row in rows.split(b"\0")[:-1]:
            meta, _, raw = row.partition(b"\t")
            words = meta.decode().split()
            mode, sha, size = (words[0], words[2], words[3]) if self.commit else (words[0], words[1], "")
            yield mode, sha, size, raw.decode(errors="surrogateescape")

    def children(self, path: str) -> list[Node]:
        """What lies directly in a folder; a data folder that is not the one asked for is not opened."""
        path = "" if path == "." else path
        if self.containing(path) is not None:
            return fold(self.files(path, sizes=True), path)
        found = self._top(path)
        if not found and path:
            raise self._absent(path)
        return found

    def _top(self, path: str) -> list[Node]:
        """What lies directly in a folder that is not inside data; nothing where it is not there."""
        found = {node.path: node for node in fold(list(self._git_files(path)), path)}
        for output in self.outputs.values():
            if path and not output.path.startswith(path + "/"):
                continue
            first = output.path[len(path) + 1 if path else 0 :].split("/")[0]
            full = f"{path}/{first}" if path else first
            if full == output.path:
                out = output.out
                found[full] = Node(full, "data", out.is_dir, out.oid, out.size, out.nfiles)
            else:
                found.setdefault(full, Node(full, "folder", True))
        return [found[name] for name in sorted(found)]

    def _absent(self, path: str) -> MissingDataError:
        """What to say of a path that does not exist: the nearest name below the folder that does."""
        above = path
        names: dict[str, str] = {}  # what lies there -> the path of each
        while not names and above:
            above = above.rpartition("/")[0]
            inside = self.containing(above)
            there = fold(list(self._data_files(above)), above) if inside else self._top(above)
            names = {_below(node.path, above): node.path for node in there if node.path != above}
        wanted = _below(path, above).partition("/")[0]
        near = nearest(wanted, names)
        where = f"{self.commit[:10]}:" if self.commit else ""
        place = f"gitdata ls {quoted(where + above)}" if where + above else "gitdata ls"
        hint = f"did you mean {quoted(names[near])}?" if near else f"`{place}` lists what is there"
        return MissingDataError(f"{where}{path}: no such file or folder", hint=hint)

    # ------------------------------------------------------------------------------------------------------- reading

    def contents(self, path: str, progress: Progress | None = None) -> Contents:
        """Everything at a path, ready to be written. Raises InvalidInputError, before anything is fetched, where a name
        is not safe to write.
        """
        nodes = self.files(path)
        single = len(nodes) == 1 and nodes[0].path == path
        names = {node.path: node.path.rpartition("/")[2] if single else _below(node.path, path) for node in nodes}
        left_out = {} if single else self._left_out(path)
        nodes = [node for node in nodes if node.path not in left_out]
        check_paths([names[node.path] for node in nodes])
        blobs = self.repo.git.blobs(node.oid for node in nodes if node.kind == "git")
        texts, entries = {}, []
        for node in nodes:
            oid = node.oid
            if node.kind == "git":
                oid = hash_bytes(blobs[node.oid]).md5
                texts[oid] = blobs[node.oid]
            entries.append(Entry(names[node.path], oid, node.size, exec=node.exec))
        lacking: dict[str, set[str]] = {}
        for node in nodes:
            if node.kind == "data" and not self.repo.cache.has(node.oid):
                output = self.containing(node.path)
                lacking.setdefault(output.remote if output else "", set()).add(node.oid)
        for remote, oids in lacking.items():
            pull_objects(self.repo.remote(remote), self.repo.cache, oids, progress)
        return Contents(tuple(entries), texts, not single, tuple(dict.fromkeys(left_out.values())))

    def _left_out(self, path: str) -> dict[str, str]:
        """What git keeps below a path and cannot be written as a file -> what to call it."""
        found = {}
        for mode, _, _, name in [] if self.containing(path) else self._git_rows(path):
            above, own, _ = f"/{_below(name, path)}".partition("/.dvc/")
            if own:
                found[name] = f"{path}{above}{own}".lstrip("/")
            elif not mode.startswith("100"):
                found[name] = name
        return found


def _below(name: str, path: str) -> str:
    return name[len(path) + 1 if path else 0 :]


def nearest(name: str, candidates: Iterable[str]) -> str:
    """The candidate that somebody who typed ``name`` may have meant, "" for none."""
    similar = [one for one in candidates if abs(len(one) - len(name)) <= 4][:_MOST_CANDIDATES]
    return next(iter(get_close_matches(name[:200], similar, n=1, cutoff=0.6)), "")


def fold(nodes: list[Node], path: str) -> list[Node]:
    """Files below a path as the entries of its top level: files as they are, folders once, with sums."""
    found: dict[str, Node] = {}
    for node in nodes:
        if node.path == path:
            return [node]
        first, slash, _ = _below(node.path, path).partition("/")
        full = f"{path}/{first}" if path else first
        if not slash:
            found[full] = node
            continue
        old = found.get(full)
        size = None if node.size is None or (old and old.size is None) else node.size + ((old.size or 0) if old else 0)
        kind: Literal["data", "folder"] = "data" if node.kind == "data" else "folder"
        found[full] = Node(full, kind, True, "", size, (old.files or 0) + 1 if old else 1)
    return [found[name] for name in sorted(found)]
