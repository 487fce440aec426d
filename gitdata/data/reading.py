"""Reading what is named by its content: an answer with other bytes is asked for again before anything is said of it.

Called by ``transfer`` and by whoever reads records. What a network, a proxy or a tired server did to one answer must
never pass for the fault of the object: only where two connections agree with what the server lists is it damaged.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from gitdata.backends.objects import NotListedError, ObjectStore
from gitdata.errors import RemoteError


def read_sound(
    store: ObjectStore,
    key: str,
    is_sound: Callable[[bytes], bool],
    read: Callable[[ObjectStore, str], bytes] = lambda store, key: store.read(key),
) -> bytes | None:
    """The bytes of an object, sound; None where the store holds others under its name.

    Raises MissingDataError (no such object), RemoteError: transient where the answers cannot be told from bad ones.
    """
    first = b""
    with suppress(RemoteError):
        first = read(store, key)
        if is_sound(first):
            return first
    again = store.fresh()
    data = read(again, key)
    if is_sound(data):
        return data
    if data == first and _listed_size(again, key) == len(data):
        return None
    raise RemoteError(f"{store.url}: {key} comes with other bytes than its name says, or cut short", transient=True)


def _listed_size(store: ObjectStore, key: str) -> int | None:
    """What the server says of the object where it is not asked for its bytes."""
    try:
        sizes = (info.size for info in store.list(key.rpartition("/")[0] + "/") if info.key == key)
        return next(sizes, None)
    except NotListedError:
        found = store.head(key)
        return found.size if found else None
