"""Who runs this process. Apart from ``machine``, which every start imports: this takes a millisecond more.

A container may run as a user that no file names.
"""

from __future__ import annotations

import getpass
import os


def user_name() -> str:
    """The name of the user who runs this, the number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError: from Python 3.13 on
        return str(os.getuid())
