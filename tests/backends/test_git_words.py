"""What git printed becomes one sentence and what it says to do."""

from __future__ import annotations

import pytest

from gitdata.backends.git_words import git_words


@pytest.mark.parametrize(
    ("stderr", "said", "cure"),
    [
        ("", "", ""),
        ("fatal: bad config line 6 in file .git/config\n", "bad config line 6 in file .git/config", ""),
        (
            "fatal: detected dubious ownership in repository at '/r'\nAdd it:\n\n\tgit config --add x /r\n",
            "detected dubious ownership in repository at '/r'",
            "Add it: git config --add x /r",
        ),
        ("fatal: unknown repository extension found:\n\tfoo\n", "unknown repository extension found: foo", ""),
        (
            "error: The following files would be overwritten by merge:\n\ta\n\tb c\nPlease commit them.\nAborting\n",
            "The following files would be overwritten by merge: a b c",
            "Please commit them.",
        ),
        ("warning: x\nerror: bad signature\nfatal: index file corrupt\n", "bad signature; index file corrupt", ""),
        (
            "fatal: Unable to create '/r/.git/index.lock': File exists.\n\nAnother git process seems to be running\n",
            "Unable to create '/r/.git/index.lock': File exists.",
            "Another git process seems to be running",
        ),
        ("fatal: Pathspec 'sub/x' is in submodule 'sub'\n", "Pathspec 'sub/x' is in submodule 'sub'", ""),
        ("hint: do this\nhint: and that\nfatal: x\n", "x", "do this and that"),
        ("fatal: unable to access 'https://u:secret@h/': x\n", "unable to access 'https://h/': x", ""),
        ("error: unknown option `x'\nusage: git x\n\n    -v\n", "unknown option `x'", ""),
        ("something else\n", "something else", ""),
    ],
)
def test_words(stderr: str, said: str, cure: str) -> None:
    assert git_words(stderr) == (said, cure)
