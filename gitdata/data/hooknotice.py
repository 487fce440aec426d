"""One line where git does not call gitdata's hooks: without them the promises about commits and pushes do not hold.

Called by the command line before the verbs that rely on the hooks. It must stay free of imports that cost. Where all is
well it is one call of git and a look at a few files; all else is asked only where a hook is missing. Reads only.
"""

from __future__ import annotations

import os

from gitdata.backends.peek import peek
from gitdata.data.hooknames import CLIENT, FIRST_LINES, VERSION, marked

# Where people list what another manager of hooks is to call (docs/hooks.md, "With pre-commit").
_MANAGED = (
    ".pre-commit-config.yaml",
    "lefthook.yml",
    "lefthook.yaml",
    ".lefthook.yml",
    ".overcommit.yml",
    "package.json",
)
_CALLS = (b"gitdata hook ", b"gitdata-pre-commit")


def hooks_notice() -> str:
    """What is to be said about the hooks of the repository around the working directory; "" for nothing."""
    if os.environ.get("GITDATA_SKIP_HOOKS"):
        return ""
    found = peek("rev-parse", "--path-format=absolute", "--show-toplevel", "--git-path", "hooks")
    lines = os.fsdecode(found).splitlines() if found else []
    if len(lines) != 2 or not os.path.isfile(f"{lines[0]}/.dvc/config"):  # noqa: PTH113
        return ""
    root, folder = lines
    missing = [name for name in CLIENT if not _in_place(f"{folder}/{name}")]
    if not missing or peek("config", "--type=bool", "--get", "gitdata.hooks", cwd=root) == b"false\n":
        return ""
    others = any(os.path.exists(f"{folder}/{name}") for name in missing)  # noqa: PTH110
    if others and any(_calls(f"{root}/{name}") for name in (*_MANAGED, f".husky/{missing[0]}")):
        return ""
    older = all(_in_place(f"{folder}/{name}", "") for name in missing)
    what = "are of another version" if older else "are not in place"
    which = "" if len(missing) == len(CLIENT) else f" ({', '.join(missing)})"
    cure = "`gitdata hooks install` (or `git config gitdata.hooks false`, to do without)"
    return f"gitdata: gitdata's git hooks {what} here{which}: {cure}"


def _in_place(path: str, version: str = VERSION) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return marked(file.read(FIRST_LINES), version) and os.access(path, os.X_OK)
    except OSError:
        return False


def _calls(path: str) -> bool:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            text = file.read()
    except OSError:
        return False
    return any(call in text for call in _CALLS)
