"""Which object store a URL means: the one place that chooses.

Called by the repository, the controller and the workers. S3's client is imported only for an S3 URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from gitdata.backends.git_records import hide_password
from gitdata.backends.local import LocalStore
from gitdata.backends.objects import ObjectStore, OtherKindError
from gitdata.errors import InvalidInputError
from gitdata.formats.remoteurl import parse_remote_url

# DVC's keys for a remote in a folder, and those of all remotes: accepted, nothing to do for gitdata but for "shared".
_LOCAL_OPTIONS = frozenset(
    {"type", "shared", "slow_link_warning", "verify", "protected", "jobs", "checksum_jobs", "no_traverse"}
)

_NO_OPTIONS: Mapping[str, str] = MappingProxyType({})


def open_store(url: str, options: Mapping[str, str] = _NO_OPTIONS, *, patience: float = 0) -> ObjectStore:
    """The store of an absolute path, ``file:///…`` or ``s3://bucket/prefix``. Raises InvalidInputError for others.

    patience: for how many seconds a server that does not answer is asked again, 0 for what suits a person who waits.
    """
    place = parse_remote_url(url)
    if place.kind == "s3":
        # Deferred: obstore costs 20 ms to import, and a folder does not need it.
        from gitdata.backends.s3 import open_s3

        return open_s3(url, options, patience)
    if place.kind != "folder":
        raise OtherKindError(
            f"{hide_password(url)}: a remote of the kind {place.kind!r} is not supported yet",
            hint="use a folder or an s3:// URL; `dvc pull` and `dvc push` work with the others",
        )
    path = Path(place.path)
    if not path.is_absolute():
        raise InvalidInputError(f"{url!r}: a remote in a folder needs an absolute path")
    if is_versioned(options):
        raise OtherKindError(
            f"{url}: version_aware and worktree remotes are not supported", hint="use `dvc push` and `dvc pull` with it"
        )
    unknown = sorted(options.keys() - _LOCAL_OPTIONS - {"version_aware", "worktree"})
    if unknown:
        raise InvalidInputError(f"{url}: a remote in a folder has no option {unknown[0]!r}")
    return LocalStore(path, url, shared=options.get("shared", "").lower() == "group")


def is_versioned(options: Mapping[str, str]) -> bool:
    """Whether DVC keeps no objects there but the files themselves, under their own names."""
    return any(options.get(key, "false").lower() == "true" for key in ("version_aware", "worktree"))
