"""Requests: small blobs that anybody may have written."""

from __future__ import annotations

import hashlib
from typing import get_args

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.requests import Kind, Request, dump_request, parse_request

printable = st.text(st.characters(categories=["L", "N", "P"]), max_size=40)


@settings(deadline=None)  # other tests may have the processor
@given(st.builds(Request, st.sampled_from(get_args(Kind)), printable, printable, printable, st.integers(0, 2**53 - 1)))
def test_a_request_survives_and_is_named_by_its_bytes(request: Request) -> None:
    data = dump_request(request)
    assert parse_request(data, "x") == request
    assert request.id == hashlib.sha256(data).hexdigest()
    fields = {name: getattr(request, name) for name in ("kind", "target", "branch", "by", "time")}
    assert data == rfc8785.dumps({"v": 1, **fields})
    assert request.ref == f"refs/gitdata/requests/{request.id}"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[" * 3000,
        b" " * 5000,
        b'{"v":2,"kind":"retry","target":"","branch":"","by":"","time":1}',
        b'{"v":1,"kind":"erase","target":"","branch":"","by":"","time":1}',
        b'{"v":1,"kind":["retry"],"target":"","branch":"","by":"","time":1}',
        b'{"v":1,"kind":"retry","target":7,"branch":"","by":"","time":1}',
        b'{"v":1,"kind":"retry","target":"a\\u001b[2J","branch":"","by":"","time":1}',
        b'{"v":1,"kind":"retry","target":"","branch":"","by":"","time":"1"}',
        b'{"v":1,"kind":"retry","target":"","branch":"","by":"","time":9007199254740992}',
        b'{"v":1,"kind":"retry","target":"","branch":"","by":""}',
    ],
)
def test_what_is_no_request_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidInputError, match="refs/x"):
        parse_request(data, "refs/x")
