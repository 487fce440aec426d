"""What this clone knows to be on the data remotes, so that a push of text alone asks no server.

Called by ``push`` and the pre-push hook. Per clone, ``gitdata/sent`` in git's common folder: a line per place and oid;
and ``gitdata/sent-rows``, which the hook compares in sh. A cache: without it everything is asked for again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from gitdata.data.files import write_whole
from gitdata.data.outgoing import Outgoing
from gitdata.data.repository import Repository
from gitdata.errors import InvalidInputError

_MOST_LINES = 50_000
_PATTERNS = ("*.dvc", "*dvc.lock", ".dvc/config")


def unproven(repo: Repository, outputs: Iterable[Outgoing]) -> list[Outgoing]:
    """Those that no push of this clone has proven to be on their remote."""
    known = set(_lines(repo))
    places = _Places(repo)
    return [one for one in outputs if f"{places.key(one.remote)} {one.oid}" not in known]


def record(repo: Repository, proven: Iterable[tuple[str, str]], *, complete: bool) -> None:
    """proven: (remote, oid). complete: all that the index names is there, or nothing can be done about it from here."""
    places = _Places(repo)
    old = _lines(repo)
    new = dict.fromkeys([*old, *(f"{places.key(remote)} {oid}" for remote, oid in sorted(proven))])
    folder = repo.common_dir / "gitdata"
    folder.mkdir(parents=True, exist_ok=True)
    if len(new) > len(old):
        write_whole(folder / "sent", "".join(f"{line}\n" for line in list(new)[-_MOST_LINES:]).encode())
    # What is staged and in no commit yet was not looked at.
    if complete and repo.git.call("diff", "--cached", "--quiet", "HEAD", "--", *_PATTERNS).returncode == 0:
        write_whole(folder / "sent-rows", f"{_rows(repo)}\n".encode())


def _lines(repo: Repository) -> Sequence[str]:
    file = repo.common_dir / "gitdata/sent"
    return file.read_text(errors="replace").splitlines() if file.is_file() else ()


def _rows(repo: Repository) -> str:
    """As ``sent_rows`` of the pre-push hook makes it: the pointers of the index, and where their data goes."""
    rows = repo.git.run("ls-files", "-s", "--", *_PATTERNS)
    local = repo.root / ".dvc/config.local"
    return repo.git.text("hash-object", "--stdin", input=rows + (local.read_bytes() if local.is_file() else b""))


class _Places:
    """A short key for the place that a remote's name means now."""

    def __init__(self, repo: Repository) -> None:
        self._repo = repo
        self._keys: dict[str, str] = {}

    def key(self, remote: str) -> str:
        if remote not in self._keys:
            try:
                config = self._repo.remote_config(remote)
            except InvalidInputError:
                return ""
            place = f"{config.url} {config.options.get('endpointurl', '')}"
            self._keys[remote] = hashlib.sha256(place.encode()).hexdigest()[:16]
        return self._keys[remote]
