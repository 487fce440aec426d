"""Known secret values, taken out of what people are shown or what is kept. Called wherever such text is made.

Pure. It knows only the values that it is given, and the forms in which programs print them (in a URL, in base64); what
a command makes of a secret otherwise, or writes to its output, is the command's own.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, urlsplit

SHORTEST = 6  # shorter values stand in too many innocent words
MASK = "***"
_SECRET_NAMES = frozenset(
    {"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SENDGRID_API_KEY", "secret_access_key", "session_token", "password"}
)


class Mask:
    """values: the secrets; those of several lines count line by line too."""

    def __init__(self, values: Iterable[str]) -> None:
        forms = {form for value in values for form in _forms(value)}
        longest = sorted(forms, key=lambda form: (-len(form), form))
        self._pattern = re.compile("|".join(map(re.escape, longest))) if longest else None
        encoded = [re.escape(form.encode(errors="surrogateescape")) for form in longest]
        self._bytes = re.compile(b"|".join(encoded)) if longest else None

    def text(self, text: str) -> str:
        return self._pattern.sub(MASK, text) if self._pattern else text

    def bytes(self, data: bytes) -> bytes:
        return self._bytes.sub(MASK.encode(), data) if self._bytes else data


def named_secrets(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The values of those variables and options that hold a key of the controller's own."""
    return (value for name, value in pairs if name in _SECRET_NAMES)


def url_password(url: str) -> Iterator[str]:
    """The password in a URL, if there is one."""
    try:
        found = urlsplit(url).password
    except ValueError:
        return
    if found:
        yield found


def _forms(value: str) -> Iterator[str]:
    for part in {value.strip(), *(line.strip() for line in value.splitlines())}:
        if len(part) < SHORTEST:
            continue
        yield part
        yield quote(part, safe="")
        yield from _in_base64(part.encode(errors="surrogateescape"))


def _in_base64(data: bytes) -> Iterator[str]:
    """What stays of a value wherever in an encoded text it stands."""
    for shift in range(3):
        shifted = b"\0" * shift + data
        whole = b64encode(shifted[: len(shifted) // 3 * 3]).decode()[(0, 2, 3)[shift] :]
        if len(whole) >= SHORTEST + 2:
            yield whole
