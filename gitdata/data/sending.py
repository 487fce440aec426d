"""Data before refs: what a push must have on the data remotes before its commits get to the git server.

Called by ``push`` and the pre-push hook. Every object of every output that the push brings is on its remote when
``send`` returns, or it raises; but for what `dvc import` brought from another repository (that goes along where it is
here) and what a remote's kind leaves to DVC. What an earlier push left behind is sent too where it is here; where it
is not, that is said and is no reason to refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from gitdata.backends.objects import ObjectStore, OtherKindError
from gitdata.data.cache import Cache
from gitdata.data.legacy import send_legacy
from gitdata.data.outgoing import Outgoing
from gitdata.data.outside import check_remote_folder
from gitdata.data.repository import Repository
from gitdata.data.transfer import Progress, Transferred, push_objects, read_listing
from gitdata.errors import GitdataError, InvalidInputError, MissingDataError
from gitdata.formats.dvcdir import object_key


@dataclass(slots=True)
class Sent:
    """objects, bytes: what moved. present: how many were there. remarks: what a person must know.

    proven: (remote, oid) of outputs that are there now. lost: what an earlier push left behind is not here either.
    """

    objects: int = 0
    bytes: int = 0
    present: int = 0
    remarks: list[str] = field(default_factory=list)
    proven: set[tuple[str, str]] = field(default_factory=set)
    lost: bool = False

    def add(self, done: Transferred) -> None:
        self.objects, self.bytes = self.objects + done.objects, self.bytes + done.bytes
        self.present += done.present


def send(
    repo: Repository,
    brought: Iterable[Outgoing],
    earlier: Iterable[Outgoing],
    progress: Progress | None = None,
    *,
    must_answer: bool = False,
) -> Sent:
    """Send both. Raises MissingDataError naming path and oid of what is lost of ``brought``.

    must_answer: raise also where a remote cannot be asked for what an earlier push may have left behind.
    """
    sent = Sent()
    must, may = _wanted(repo.cache, brought), _wanted(repo.cache, earlier)
    for remote in dict.fromkeys([*must, *may]):
        new = must.get(remote, [])
        taken = {one.oid for one in new}
        old = [one for one in may.get(remote, []) if one.oid not in taken]
        try:
            store, named = repo.remote(remote), repo.remote_config(remote)
            check_remote_folder(repo.root, repo.git, named.name, named.url)
        except OtherKindError as error:
            if new:
                sent.remarks.append(f"{error.message}; the data of this push is left to `dvc push`")
            continue
        except InvalidInputError as error:
            elsewhere = {one.oid for side in (must, may) for other in side for one in side[other] if other != remote}
            nowhere = [one for one in new if one.oid not in elsewhere]
            if nowhere:
                raise InvalidInputError(
                    f"{_named(nowhere)}: {error.message}", hint=f"`dvc remote add {remote or 'NAME'} URL`; {error.hint}"
                ) from error
            sent.remarks.append(f"{error.message}: {_named([*new, *old])} cannot be there")
            sent.lost = True
            continue
        if new:
            _send_all(repo.cache, store, new, sent, progress)
            sent.proven |= {(remote, one.oid) for one in new}
        try:
            _send_earlier(repo.cache, store, remote, old, sent, progress)
        except GitdataError as error:
            if must_answer:
                raise
            sent.lost = True
            sent.remarks.append(f"whether earlier data is on {store.url} could not be told: {error.message}")
    return sent


def _wanted(cache: Cache, outputs: Iterable[Outgoing]) -> dict[str, list[Outgoing]]:
    found: dict[str, list[Outgoing]] = {}
    for one in outputs:
        if not one.imported or _is_here(cache, one.oid):
            found.setdefault(one.remote, []).append(one)
    return found


def _is_here(cache: Cache, oid: str) -> bool:
    return cache.has(oid) and (not oid.endswith(".dir") or all(cache.has(entry.oid) for entry in cache.listing(oid)))


def _send_all(
    cache: Cache, store: ObjectStore, outputs: Sequence[Outgoing], sent: Sent, progress: Progress | None
) -> None:
    paths = {one.oid: one.path for one in outputs if not one.legacy}
    try:
        sent.add(push_objects(store, cache, paths, progress))
    except MissingDataError as error:
        lost = _lost(cache, store, paths)
        if not lost:
            raise
        raise _lost_error(store, lost) from error
    for one in outputs:
        if one.legacy:
            done, gone = send_legacy(store, cache, one.oid, one.path)
            sent.add(done)
            if gone:
                raise _lost_error(store, gone)


def _send_earlier(
    cache: Cache, store: ObjectStore, remote: str, outputs: Sequence[Outgoing], sent: Sent, progress: Progress | None
) -> None:
    try:
        _send_all(cache, store, outputs, sent, progress)
        sent.proven |= {(remote, one.oid) for one in outputs}
    except MissingDataError:
        for one in outputs:
            _send_one(cache, store, remote, one, sent)


def _send_one(cache: Cache, store: ObjectStore, remote: str, one: Outgoing, sent: Sent) -> None:
    try:
        _send_all(cache, store, [one], sent, None)
        sent.proven.add((remote, one.oid))
    except MissingDataError:
        sent.lost = True
        sent.remarks.append(
            f"{one.path}: its data is neither here nor on {store.url}, an earlier push left it behind;"
            " `gitdata push` in a clone that has it sends it"
        )


def _named(outputs: Sequence[Outgoing]) -> str:
    more = f" and {len(outputs) - 3} more" if len(outputs) > 3 else ""
    return ", ".join(one.path for one in outputs[:3]) + more


def _lost_error(store: ObjectStore, lost: Sequence[tuple[str, str]]) -> MissingDataError:
    shown = "; ".join(f"{path} ({oid})" for path, oid in lost[:3])
    more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
    return MissingDataError(
        f"data is neither in the cache nor on {store.url}: {shown}{more}",
        hint="bring the files back and `gitdata add` them, or pull from a remote that has them",
    )


def _lost(cache: Cache, store: ObjectStore, paths: dict[str, str]) -> list[tuple[str, str]]:
    """(path, oid) of what nobody has; the first few are enough for a message."""
    lost: list[tuple[str, str]] = []
    for oid, path in sorted(paths.items(), key=lambda item: item[1]):
        members = [(path, oid)]
        if oid.endswith(".dir"):
            try:
                listing = cache.listing(oid) if cache.has(oid) else read_listing(store, oid)
            except MissingDataError:
                listing = ()
            members += [(f"{path}/{entry.path}", entry.oid) for entry in listing]
        for name, one in members:
            if not cache.has(one) and store.head(object_key(one)) is None:
                lost.append((name, one))
            if len(lost) > 10:
                return lost
    return lost
