"""Finding keys and passwords that were written into a spec: they would be in git, and in every clone, for
ever.

Called by ``spec`` alone, which refuses them with the right way. Only says where; never repeats a value.
"""

from __future__ import annotations

import re

RIGHT_WAY = "name it under transform.secrets, or put it into the controller's configuration, and revoke this one"

_NAME = re.compile(
    r"(?:^|[_.-])(?:(?:api|access|secret|private|account|auth)?key|(?:auth|api|access)?token|pass(?:wd|phrase)?|pwd)$"
    r"|password|passwd|secret|credential",
    re.IGNORECASE,
)

_VALUES = (
    ("a SendGrid key", re.compile(r"\bSG\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")),
    ("an AWS access key", re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b")),
    ("a private key", re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----")),
    ("a GitHub token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{22})")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20}")),
    ("a Slack token", re.compile(r"\bxox[abposr]-[A-Za-z0-9-]{10}")),
    ("a URL with a password", re.compile(r"://[^/\s:@$'\"]{0,200}:[^/\s@${}'\"]{1,200}@")),
)


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name usually holds a secret."""
    return _NAME.search(name) is not None


def secret_in(value: str) -> str | None:
    """What kind of secret stands in a text, or None."""
    return next((what for what, shape in _VALUES if shape.search(value)), None)
