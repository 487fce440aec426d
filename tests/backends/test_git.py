"""What a hostile or careless writer can put into a repository, read through the one door to git."""

from __future__ import annotations

import shutil
import socket

import pytest

from gitdata.backends.git import Git, GitError
from gitdata.backends.git_records import hide_password, is_safe_ref
from gitdata.errors import RemoteError
from helpers.machine import Repo


def raw_commit(repo: Repo, author: str, message: str) -> str:
    tree = Git(repo.path).text("rev-parse", "HEAD^{tree}")
    text = f"tree {tree}\nauthor {author}\ncommitter {author}\n\n{message}"
    return Git(repo.path).text("hash-object", "-t", "commit", "-w", "--literally", "--stdin", input=text.encode())


@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
def test_only_line_feeds_end_a_trailer(repo: Repo, end: str) -> None:
    message = f"subject{end}Gitdata-Source: forged\n\nGitdata-Source: true\n"
    commit = Git(repo.path).commit(raw_commit(repo, "A <a@b.invalid> 1 +0000", message))
    assert commit.trailers("Gitdata-Source") == ["true"]


@pytest.mark.parametrize("author", ["A", "A <a@b.invalid>", "A <a@b.invalid> 99999999999999 +0000", "A <a@b> x y"])
def test_an_impossible_date_is_the_epoch(repo: Repo, author: str) -> None:
    found = Git(repo.path).commit(raw_commit(repo, author, "m\n"))
    assert found.committer == "A <> 0 +0000"
    made = Git(repo.path).write_commit(found.tree, [], "m\n", author=found.author, committer=found.committer)
    assert Git(repo.path).commit(made).author == "A <> 0 +0000"


def test_a_line_end_of_python_in_a_name_is_no_line(repo: Repo) -> None:
    name = "A\x0bcommitter B <b@b.invalid> 5 +0000"
    found = Git(repo.path).commit(raw_commit(repo, f"{name} <a@b.invalid> 1 +0000", "m\n"))
    assert found.committer == f"{name} <a@b.invalid> 1 +0000"


def test_passwords_are_hidden_whatever_is_in_them() -> None:
    assert hide_password("https://u:p@ss@host/x@y") == "https://host/x@y"
    assert hide_password("unable to access 'https://u:p@h/': for a@b") == "unable to access 'https://h/': for a@b"


def test_a_ref_that_is_no_text_is_not_safe() -> None:
    assert is_safe_ref("refs/heads/größe")
    assert not is_safe_ref(b"refs/heads/\xff".decode(errors="surrogateescape"))


def test_an_error_names_the_verb(repo: Repo) -> None:
    with pytest.raises(GitError, match=r"^git ls-tree: "):
        Git(repo.path).ls_tree("nothing")


@pytest.mark.parametrize(("scheme", "words"), [("http", "the last 1 seconds"), ("ssh", "timed out")])
def test_a_controller_does_not_wait_for_a_server_that_says_nothing(repo: Repo, scheme: str, words: str) -> None:
    if scheme == "ssh" and shutil.which("ssh") is None:
        pytest.skip("ssh: it is not installed; Debian has openssh-client")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/p.git"
        with pytest.raises(RemoteError, match=f"cannot read {url}: .*{words}") as caught:
            Git(repo.path, sealed=True, silence=1).ls_remote(url)
    assert caught.value.transient
