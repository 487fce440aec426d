"""A look at a git repository without loading anything: for `gitdata status` where nothing moved.

Called by ``data.quick`` alone. The door for all else is ``backends.git``, whose records and helpers take 50 ms to
import, half of what a no-op may take. Reads only.
"""

from __future__ import annotations

import os
import subprocess

# With one of these set, git means another repository or index than the one around the working directory.
_REDIRECTED = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_CONFIG_COUNT")


def peek(*args: str, cwd: str | None = None) -> bytes | None:
    """What git prints; None where it fails, or where the environment sends it elsewhere."""
    if any(name in os.environ for name in _REDIRECTED):
        return None
    env = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(["git", *args], cwd=cwd, env=env, capture_output=True, check=False)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None
