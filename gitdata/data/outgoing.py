"""What a push must have on the data remote before its commits get there.

Called by ``push`` and the pre-push hook. Data before refs: every object of every pointer that the pushed commits bring
is on the remote when this returns, but for what `dvc import` brought from another repository: that goes along where it
is here. It must never let a push through whose data is in nobody else's reach.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gitdata.backends.git import Git
from gitdata.backends.git_records import is_sha
from gitdata.data.cache import Cache
from gitdata.data.repository import Repository, pointers_at
from gitdata.data.transfer import Progress, Transferred, push_objects, read_listing
from gitdata.errors import MissingDataError
from gitdata.formats.dvc import Pointer, output_path, parse_pointer
from gitdata.formats.dvcdir import object_key


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the pre-push hook's input."""

    local_ref: str
    local: str
    remote_ref: str
    remote: str


def parse_lines(text: str) -> list[Line]:
    """The lines that can bring data: no deletions, no notes, none of gitdata's own refs."""
    lines = [Line(*parts) for parts in (row.split(" ") for row in text.splitlines()) if len(parts) == 4]
    return [
        line
        for line in lines
        if is_sha(line.local)
        and set(line.local) != {"0"}
        and not line.remote_ref.startswith(("refs/notes/", "refs/gitdata/"))
    ]


def new_pointers(git: Git, lines: Iterable[Line], remote: str) -> dict[str, list[tuple[str, Pointer]]]:
    """The pointers that these pushes bring: git's blob sha -> (path, pointer)."""
    found: dict[str, str] = {}
    for line in lines:
        known = is_sha(line.remote) and git.resolve(line.remote) is not None
        out = git.run(
            *("rev-list", "--objects", "--full-history", line.local),
            *([f"^{line.remote}"] if known else []),
            *("--not", f"--remotes={remote}", "--", "*.dvc"),
        )
        for row in out.splitlines():
            sha, _, name = row.decode(errors="surrogateescape").partition(" ")
            if name.endswith(".dvc") and not name.endswith("/.dvc") and name != ".dvc":
                found[sha] = name
    blobs = git.blobs(found)
    return {sha: [(name, parse_pointer(blobs[sha], name))] for sha, name in found.items() if sha in blobs}


def send_new(repo: Repository, lines: Iterable[Line], remote: str, progress: Progress | None = None) -> Transferred:
    """Bring the data of what a push brings to the data remote. Raises MissingDataError naming path and oid."""
    found = new_pointers(repo.git, lines, remote)
    return send(repo, [pair for pairs in found.values() for pair in pairs], progress)


def send_head(repo: Repository, progress: Progress | None = None) -> Transferred:
    """Bring the data of the current commit to the data remote."""
    head = repo.git.resolve("HEAD")
    found = pointers_at(repo.git, head) if head else {}
    return send(repo, list(found.items()), progress)


def send(repo: Repository, pointers: Iterable[tuple[str, Pointer]], progress: Progress | None = None) -> Transferred:
    wanted: dict[str, dict[str, str]] = {}
    for name, pointer in pointers:
        for out, extra in zip(pointer.outs, pointer.extras or ({},) * len(pointer.outs), strict=False):
            if not out.oid or pointer.legacy or not _is_pushed(extra):
                continue
            if not pointer.imported or _is_here(repo.cache, out.oid):
                place = str(extra.get("remote") or "")
                wanted.setdefault(place, {})[out.oid] = output_path(name, pointer, out)
    moved = count = present = 0
    for place, paths in wanted.items():
        done = _send_to(repo, place or None, paths, progress)
        moved, count, present = moved + done.objects, count + done.bytes, present + done.present
    return Transferred(moved, count, present)


def _is_pushed(extra: Mapping[str, object]) -> bool:
    return extra.get("push") is not False and extra.get("cache") is not False


def _is_here(cache: Cache, oid: str) -> bool:
    return cache.has(oid) and (not oid.endswith(".dir") or all(cache.has(entry.oid) for entry in cache.listing(oid)))


def _send_to(repo: Repository, place: str | None, paths: dict[str, str], progress: Progress | None) -> Transferred:
    store = repo.remote(place)
    try:
        return push_objects(store, repo.cache, paths, progress)
    except MissingDataError as error:
        lost = _lost(repo, place, paths)
        if not lost:
            raise
        shown = "; ".join(f"{path} ({oid})" for path, oid in lost[:3])
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise MissingDataError(
            f"data is neither in the cache nor on {store.url}: {shown}{more}",
            hint="bring the files back and `gitdata add` them, or pull from a remote that has them",
        ) from error


def _lost(repo: Repository, place: str | None, paths: dict[str, str]) -> list[tuple[str, str]]:
    """(path, oid) of what nobody has; the first few are enough for a message."""
    store, lost = repo.remote(place), []
    for oid, path in sorted(paths.items(), key=lambda item: item[1]):
        members = [(path, oid)]
        if oid.endswith(".dir"):
            try:
                listing = repo.cache.listing(oid) if repo.cache.has(oid) else read_listing(store, oid)
            except MissingDataError:
                listing = ()
            members += [(f"{path}/{entry.path}", entry.oid) for entry in listing]
        for name, one in members:
            if not repo.cache.has(one) and store.head(object_key(one)) is None:
                lost.append((name, one))
            if len(lost) > 10:
                return lost
    return lost
