"""Every verb that takes a revision or a path says the same of one that does not exist."""

from __future__ import annotations

from helpers.machine import Program, Repo

VERBS = [
    ["plan", "{}"],
    ["job", "wait", "{}", "--timeout", "1"],
    ["log", "{}"],
    ["diff", "{}"],
    ["diff", "HEAD", "{}"],
    ["ls", "{}:images"],
    ["get", "{}:images", "-o", "out"],
    ["prov", "show", "{}"],
    ["prov", "trace", "c/a@{}"],
    ["stage", "validate", "{}"],
    ["images", "list", "--registry", "r.example/x", "--rev", "{}"],
    ["images", "build", "--registry", "r.example/x", "--rev", "{}"],
]


def test_an_unknown_revision_is_6_everywhere(shared: Repo, gitdata: Program) -> None:
    for words in VERBS:
        done = gitdata(*(word.format("nosuch") for word in words), code=6)
        assert "nosuch: no commit, branch or tag" in done.stderr, words
        assert "hint: " in done.stderr
    assert not (shared.path / "out").exists()


def test_a_path_that_does_not_exist_is_6_with_the_nearest_name(shared: Repo, gitdata: Program) -> None:
    shared.write("README.md", "read me")
    shared.commit("text")
    before = sorted(path.name for path in shared.path.iterdir())
    for words, target, hint in (
        (["ls"], "HEAD:images/a.jgp", "did you mean images/a.jpg?"),
        (["ls", "-r"], "images/depe/b.jpg", "did you mean images/deep?"),
        (["ls"], "HEAD:imagse", "did you mean images?"),
        (["ls"], "READMEE.md", "did you mean README.md?"),
        (["get"], "images/a.jgp", "did you mean images/a.jpg?"),
        (["get"], "HEAD:images/a.jpg/x", "did you mean images/a.jpg?"),
        (["get"], "HEAD:images/nothing-of-the-kind", "gitdata ls"),
    ):
        done = gitdata(*words, target, code=6)
        assert target.rpartition(":")[2] in done.stderr
        assert hint in done.stderr
    assert sorted(path.name for path in shared.path.iterdir()) == before
