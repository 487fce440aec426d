"""DVC's configuration: read like ConfigObj does, edited without losing a line."""

from __future__ import annotations

import pytest
from configobj import ConfigObj
from hypothesis import given
from hypothesis import strategies as st

from gitdata.errors import InvalidInputError
from gitdata.formats.dvcconfig import RemoteConfig, merge, parse_config, remotes, set_option, set_remote

TEXT = """\
# ours
[core]
    remote = Loc
['remote "loc"']
    url = ../remote   # here
[remote "s3r"]
    url = s3://b/p
    endpointurl = "http://h:1/#x"
    ssl_verify = 'a "b"'
[cache]
    type = "hardlink,symlink"
"""


def test_what_dvc_writes_is_read() -> None:
    config = parse_config(TEXT, "config")
    assert config["core"] == {"remote": "Loc"}
    assert config["cache"] == {"type": "hardlink,symlink"}
    assert remotes(config) == {
        "loc": RemoteConfig("loc", "../remote", {}),
        "s3r": RemoteConfig("s3r", "s3://b/p", {"endpointurl": "http://h:1/#x", "ssl_verify": 'a "b"'}),
    }


def test_names_are_lower_case() -> None:
    assert parse_config("[Core]\nRemote = X\n['remote \"Mine\"']\nURL = /x\n", "c") == {
        "core": {"remote": "X"},
        "remote.mine": {"url": "/x"},
    }


def test_later_files_win_key_by_key() -> None:
    shared = parse_config("['remote \"r\"']\nurl = s3://b\nprofile = p\n", "a")
    private = parse_config("['remote \"r\"']\nsecret_access_key = s\nprofile = q\n", "b")
    assert merge(shared, private)["remote.r"] == {"url": "s3://b", "profile": "q", "secret_access_key": "s"}


@pytest.mark.parametrize("text", ["x = 1\n", "[core\n", "[core]\nnonsense\n", '[core]\nx = "open\n', "[[a]]\n"])
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(InvalidInputError, match=r"config:\d"):
        parse_config(text, "config")


def test_an_edit_keeps_every_other_line() -> None:
    assert set_option(TEXT, "remote.loc", "url", "/new") == TEXT.replace("url = ../remote   # here", "url = /new")
    assert set_option(TEXT, "core", "autostage", "true") == TEXT.replace("= Loc\n", "= Loc\n    autostage = true\n")
    assert set_option(TEXT, "remote.s3r", "profile", "p").splitlines()[9] == "    profile = p"
    assert set_option(TEXT, "cache", "dir", "/c") == TEXT + "    dir = /c\n"
    assert set_option("", "core", "remote", "x") == "[core]\n    remote = x\n"


def test_a_remote_is_added_as_dvc_adds_it() -> None:
    text = set_remote("", "storage", "s3://bucket/p", {"endpointurl": "http://h:1"}, default=True)
    assert text == (
        "[core]\n    remote = storage\n['remote \"storage\"']\n    url = s3://bucket/p\n    endpointurl = http://h:1\n"
    )
    assert set_remote(text, "storage", "s3://bucket/p", {"endpointurl": "http://h:1"}, default=True) == text


def test_what_would_empty_the_file_is_refused() -> None:
    for value in ("é", "a\nb", "both \" and '#"):
        with pytest.raises(InvalidInputError):
            set_option(TEXT, "core", "remote", value)
    with pytest.raises(InvalidInputError):
        set_remote("", 'a"]b', "/x", default=False)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)))
def test_configobj_reads_what_is_set(value: str) -> None:
    try:
        text = set_option("# c\n[core]\n    a = 1\n", "core", "b", value)
    except InvalidInputError:
        assert '"' in value
        assert "'" in value
        return
    assert parse_config(text, "c")["core"] == {"a": "1", "b": value}
    assert ConfigObj(text.splitlines(), interpolation=False)["core"]["b"] == value
