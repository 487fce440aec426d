"""What the URL of a data remote means, and what is refused where it is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.remoteurl import RemoteUrl, parse_remote_url


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        ("s3://bucket", RemoteUrl("s3", bucket="bucket")),
        ("s3://bucket/", RemoteUrl("s3", bucket="bucket")),
        ("S3://b/a/prefix/", RemoteUrl("s3", bucket="b", prefix="a/prefix")),
        ("s3://old_Bucket.name/a b/é", RemoteUrl("s3", bucket="old_Bucket.name", prefix="a b/é")),
        ("/srv/data", RemoteUrl("folder", path="/srv/data")),
        ("../data", RemoteUrl("folder", path="../data")),
        ("./odd@name:x", RemoteUrl("folder", path="./odd@name:x")),
        ("file:///srv/data", RemoteUrl("folder", path="/srv/data")),
        ("gs://bucket/x", RemoteUrl("gs")),
        ("ssh://me@host/x", RemoteUrl("ssh")),
        ("https://host/x?token", RemoteUrl("https")),
    ],
)
def test_what_can_be_a_remote(url: str, meaning: RemoteUrl) -> None:
    assert parse_remote_url(url) == meaning


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("s3://", "the bucket is missing"),
        ("s3:///a", "the bucket is missing"),
        ("s3://bucket//", "//"),
        ("s3://bucket//a", "//"),
        ("s3://bucket/a//b", "//"),
        ("s3://bucket/a//", "//"),
        ("s3://bucket/./a", "'.'"),
        ("s3://bucket/a/../b", "'..'"),
        ("s3://bucket/..", "'..'"),
        ("s3://bucket?versionId=1", "a query"),
        ("s3://bucket/a?b", "a query"),
        ("s3://bucket/a#b", "a fragment"),
        ("s3://buc ket/a", "name of a bucket"),
        ("s3://bu..cket/a", "name of a bucket"),
        ("s3://-bucket", "name of a bucket"),
        ("s3://bücket", "name of a bucket"),
        ("s3://localhost:9000/bucket", "endpointurl"),
        ("s3://bucket/a ", "a space"),
        (" s3://bucket/a", "a space"),
        ("s3://bucket/a\n", "a control character"),
        ("s3://buc\x00ket", "a control character"),
        ("/srv/\x1b[2Jdata", "a control character"),
        ("s3:/bucket/a", "s3://bucket/a"),
        ("s3:\\\\bucket", "s3://bucket"),
        ("file://host/data", "not a host"),
        ("file://data", "not a host"),
        ("me@host:/data", "another machine"),
        ("ftp://host/data", "'ftp'"),
        ("http://", "nothing follows"),
    ],
)
def test_what_is_refused(url: str, said: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_remote_url(url)
    assert said in caught.value.message + caught.value.hint


def test_keys_in_a_url_are_not_shown() -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_remote_url("s3://AKIA:secret@bucket/a")
    assert "secret" not in caught.value.message + caught.value.hint


@given(st.text(max_size=40))
def test_every_prefix_that_is_taken_makes_keys(prefix: str) -> None:
    """What passes here is never refused later as a key."""
    try:
        found = parse_remote_url(f"s3://bucket/{prefix}")
    except InvalidInputError:
        return
    assert all(part not in ("", ".", "..") for part in (found.prefix or "x").split("/"))
    assert found.prefix.isprintable()
