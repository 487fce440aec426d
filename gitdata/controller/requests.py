"""Requests on the wire: a person pushes one, the controller reads those that are open.

``push_request`` is called by the verbs that ask (``job retry`` and others), ``open_requests`` by the controller and by
who waits for it. A request is fulfilled by deleting its ref in the same atomic push as what was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gitdata.backends.git import Git
from gitdata.errors import InvalidInputError, RemoteError
from gitdata.formats.requests import PREFIX, SIZE_LIMIT, Request, dump_request, parse_request

_FETCHED = "refs/gitdata/fetched/requests/"
_MOST = 1000  # refs that are named to git in one go


def push_request(git: Git, remote: str, request: Request) -> str:
    """Put the request on the remote (a name or URL) and return its id. The same request twice is one."""
    name = request.id
    done = git.push(remote, {request.ref: git.write_blob(dump_request(request))})
    if not done.accepted:
        raise RemoteError(
            f"the remote refused the request: {done.reason}",
            hint=f"you need the right to push {PREFIX}*",
        )
    return name


def open_requests(git: Git, url: str, problems: list[str] | None = None) -> dict[str, Request]:
    """The open requests by id. What cannot be read is left out, with a line for each in ``problems``."""
    refs = git.ls_remote(url, PREFIX + "*")
    if not refs:
        return {}
    named = [f"+{ref}:{_FETCHED}{ref.removeprefix(PREFIX)}" for ref in refs]
    try:
        git.fetch(url, *(named if len(named) <= _MOST else [f"+{PREFIX}*:{_FETCHED}*"]))
    except RemoteError:
        # One of them was fulfilled in between, and then git fetches none: take what is still there.
        git.fetch(url, f"+{PREFIX}*:{_FETCHED}*")
    found, bad = read_requests(git, refs)
    fetched = (f"delete {_FETCHED}{ref.removeprefix(PREFIX)}\n" for ref in refs)
    git.run("update-ref", "--stdin", input="".join(fetched).encode())  # nobody else would
    if problems is not None:
        problems.extend(bad.values())
    return found


def read_requests(git: Git, refs: Mapping[str, str]) -> tuple[dict[str, Request], dict[str, str]]:
    """Of refs whose objects are here: the requests by id, and ref -> what is wrong with those that are none.

    An object that is not here is neither: somebody fulfilled the request in between.
    """
    sizes = _blob_sizes(git, refs.values())
    blobs = git.blobs(sha for sha in refs.values() if sizes.get(sha, SIZE_LIMIT + 1) <= SIZE_LIMIT)
    found: dict[str, Request] = {}
    bad: dict[str, str] = {}
    for ref, sha in sorted(refs.items()):
        if sha not in blobs:
            if sha in sizes:
                bad[ref] = f"{ref}: not a request: too big, or not a blob"
            continue
        try:
            request = parse_request(blobs[sha], ref)
        except InvalidInputError as error:
            bad[ref] = error.message
            continue
        if request.ref == ref:
            found[request.id] = request
        else:
            bad[ref] = f"{ref}: the name is not the sha256 of the request"
    return found, bad


def _blob_sizes(git: Git, shas: Iterable[str]) -> dict[str, int]:
    """The sizes of what is here; what is not a blob counts as too big."""
    out = git.text("cat-file", "--batch-check", input="".join(f"{sha}\n" for sha in shas).encode())
    sizes: dict[str, int] = {}
    for line in out.splitlines():
        sha, kind, *rest = line.split(" ")
        if rest:
            sizes[sha] = int(rest[0]) if kind == "blob" else SIZE_LIMIT + 1
    return sizes
