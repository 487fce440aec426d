"""The completion scripts, asked the way the shell asks them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from gitdata.commands import completion
from gitdata.commands.verbs import VERBS
from helpers.machine import Program


def complete(script: str, *words: str, function: str = "_gitdata") -> list[str]:
    """What bash offers for the last of ``words``."""
    line = " ".join(f"'{word}'" for word in words)
    ask = f'{script}\nCOMP_WORDS=({line}) COMP_CWORD={len(words) - 1}\n{function}\nprintf "%s\\n" "${{COMPREPLY[@]}}"\n'
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture(scope="module")
def bash() -> str:
    return completion.bash()


def test_bash_offers_the_verbs(bash: str) -> None:
    offered = complete(bash, "gitdata", "")
    assert {verb.split()[0] for verb, _, heading in VERBS if heading} <= set(offered)
    assert "hook" not in offered
    assert complete(bash, "gitdata", "chec") == ["checkout"]


def test_bash_offers_the_second_word(bash: str) -> None:
    assert set(complete(bash, "gitdata", "job", "")) == {"cancel", "inspect", "list", "logs", "retry", "wait"}
    assert complete(bash, "gitdata", "hooks", "uni") == ["uninstall"]


def test_bash_offers_a_verbs_own_options(bash: str) -> None:
    assert "--json" in complete(bash, "gitdata", "status", "--")
    assert "--json" in complete(bash, "gitdata", "job", "list", "--")
    assert complete(bash, "gitdata", "init", "--rem") == ["--remote"]
    assert set(complete(bash, "gitdata", "completion", "")) == {"bash", "fish", "zsh", "--help"}


def test_bash_completes_git_data(bash: str) -> None:
    assert complete(bash, "git", "data", "chec", function="_git_data") == ["checkout"]
    assert complete(bash, "git", "-C", "/tmp", "data", "job", "wa", function="_git_data") == ["wait"]


def test_bash_leaves_other_arguments_to_file_names(bash: str) -> None:
    assert complete(bash, "gitdata", "add", "x") == []


def test_a_folder_before_the_verb(bash: str) -> None:
    assert complete(bash, "gitdata", "-C", "/tmp", "chec") == ["checkout"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_is_printed_is_a_script_of_that_shell(gitdata: Program, tmp_path: Path, shell: str) -> None:
    script = tmp_path / f"completion.{shell}"
    script.write_text(gitdata("completion", shell).stdout)
    for verb, _, heading in VERBS:
        assert not heading or verb.split()[-1] in script.read_text()
    if shutil.which(shell):
        subprocess.run([shell, "-n", str(script)], check=True)


def test_another_shell_is_refused(gitdata: Program) -> None:
    assert "invalid choice: 'tcsh'" in gitdata("completion", "tcsh", code=2).stderr
