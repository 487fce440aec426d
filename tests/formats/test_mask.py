"""Known secrets are taken out of any text, in the forms in which programs print them."""

from __future__ import annotations

import base64
from urllib.parse import quote

from hypothesis import given
from hypothesis import strategies as st

from gitdata.formats.mask import Mask, named_secrets, url_password

SECRETS = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=6, max_size=60)


@given(SECRETS, st.text(max_size=20), st.text(max_size=20))
def test_a_value_is_masked_wherever_it_stands(secret: str, before: str, after: str) -> None:
    mask = Mask([secret])
    for form in (secret, quote(secret, safe="")):
        assert form not in mask.text(f"{before}{form}{after}") or form in "***"
        assert form.encode() not in mask.bytes(f"{before}{form}{after}".encode()) or form in "***"


@given(SECRETS.filter(lambda text: len(text.encode()) >= 10), st.binary(max_size=10), st.binary(max_size=10))
def test_so_it_is_in_base64(secret: str, before: bytes, after: bytes) -> None:
    masked = Mask([secret]).text(base64.b64encode(before + secret.encode() + after).decode())
    assert "***" in masked
    assert len(masked) <= len(base64.b64encode(before + after)) + 3 + 12  # all but the ends, of less than a group


def test_lines_short_values_and_none() -> None:
    key = "-----BEGIN KEY-----\nabcdefghijkl\nmn\n-----END KEY-----\n"
    assert Mask([key, "short", ""]).text("x abcdefghijkl y short mn") == "x *** y short mn"
    assert Mask([]).bytes(b"as it is") == b"as it is"
    assert Mask(["longer-secret", "longer"]).text("longer-secret") == "***"


def test_what_is_known_to_be_secret() -> None:
    pairs = [("AWS_SECRET_ACCESS_KEY", "k1"), ("AWS_REGION", "eu"), ("SENDGRID_API_KEY", "k2")]
    assert list(named_secrets(pairs)) == ["k1", "k2"]
    assert list(url_password("https://me:pass-word@example.com/x")) == ["pass-word"]
    assert list(url_password("git@example.com:x")) == []
