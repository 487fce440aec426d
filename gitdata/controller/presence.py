"""Presence: whether the bytes of outputs are still on the data remote, which a record or a pointer cannot say.

Called by the verbs that show runs to people: `dvc gc --cloud`, or a rule of the bucket, may have removed them. The
controller proves every output itself while it plans (``facts``). Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable

from gitdata.backends.objects import ObjectStore
from gitdata.controller.recorded import many
from gitdata.data.transfer import missing, read_listing
from gitdata.errors import InvalidInputError, MissingDataError
from gitdata.model import Listing

_MOST = 20_000  # files that are asked for in one go: of more, the listings alone


def absent(store: ObjectStore, outputs: Iterable[str]) -> dict[str, int]:
    """Output -> how many of its objects are not there, of those that lack any. Without its listing it counts as one.

    Raises RemoteError where the store cannot be asked.
    """

    def read(oid: str) -> Listing | None:
        try:
            return read_listing(store, oid)
        except (MissingDataError, InvalidInputError):
            return None

    folders = sorted({oid for oid in outputs if oid.endswith(".dir")})
    read_now = dict(zip(folders, many(read, folders), strict=True))
    wanted: set[str] = set()
    for listing in read_now.values():
        wanted |= {entry.oid for entry in listing or ()} if len(wanted) < _MOST else set()
    gone = missing(store, wanted) if wanted else set()
    counts = {
        oid: 1 if listing is None else len({entry.oid for entry in listing} & gone) for oid, listing in read_now.items()
    }
    return {oid: count for oid, count in counts.items() if count}


def words(count: int) -> str:
    return f"{count} object{'' if count == 1 else 's'} of its output {'is' if count == 1 else 'are'} gone"
