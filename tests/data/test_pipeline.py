"""One reader of a pipeline: the commit hook, `stage validate`, `plan` and the controller say the same of any tree."""

from __future__ import annotations

import argparse
import json
import shutil
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gitdata.backends.git import Git
from gitdata.commands import stage_validate
from gitdata.commands.workshops import wish
from gitdata.controller.sources import Tree
from gitdata.controller.watch import Remote, look
from gitdata.data.pipeline import PipelineTree, working_files
from gitdata.data.repository import Repository
from gitdata.data.stagecheck import staged_problems
from gitdata.data.workspace import Workspace
from gitdata.errors import InvalidInputError
from gitdata.formats.spec import stage_json
from helpers.machine import Program, Repo

MD5 = "0cc175b9c0f1b6a831c399e269772661"
REPOS = ["images", "pics", "rules", "rules/a.json", "deep/images", "nothing", "first", "second"]


def spec(name: str, repo: str, branch: str | None) -> str:
    pfs = {"repo": repo, "glob": "/*"} | ({} if branch is None else {"branch": branch})
    transform = {"image": "image", "cmd": ["true"]}
    return json.dumps({"pipeline": {"name": name}, "transform": transform, "input": {"pfs": pfs}})


def pointer(path: str, more: str = "") -> str:
    return f"outs:\n- md5: {MD5}\n  size: 1\n  hash: md5\n  path: {path}\n{more}"


@dataclass(frozen=True)
class Link:
    target: str


specs = st.one_of(
    st.builds(spec, st.sampled_from(["first", "second", "pics", "Images"]), st.sampled_from(REPOS),
              st.sampled_from([None, "", "master", "develop", "main", "topic"])),
    st.sampled_from(["", "{", "[1]", '{"a": ' + "9" * 5000 + "}", "a: &x 1", '{"pipeline": {"name": "first"}}']),
    st.just(Link("../rules/a.json")),
)  # fmt: skip
pointers = st.sampled_from(
    [pointer("images"), pointer("pics"), pointer("images", "meta:\n  gitdata:\n    v: 1\n"), pointer("/etc"),
     f"outs:\n- md5: {MD5}\n  path: images\n", "<<<<<<< HEAD\n", "outs: 1\n", pointer("images", "cloud: x\n"),
     pointer("../images"), Link("images.dvc"), ""]
)  # fmt: skip
texts = st.sampled_from(["a", "b", Link("a.json")])
trees = st.fixed_dictionaries(
    {},
    optional={
        "stages/a.json": specs,
        "stages/b.yaml": specs,
        "stages/deep/c.json": specs,
        "stages/.hidden.json": specs,
        "stages/readme.md": texts,
        "images.dvc": pointers,
        "pics.dvc": pointers,
        "deep/images.dvc": pointers,
        "stages/d.dvc": pointers,
        "rules/a.json": texts,
        "images/x": texts,
        ".gitignore": st.sampled_from(["/ignored*\n", "/pics\n"]),
        "ignored.dvc": st.just(pointer("ignored")),
        "image/Dockerfile": st.just("FROM scratch\n"),
    },
)


@pytest.fixture
def clone(repo: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    """A clone of ``hub``, whose default branch is ``develop``."""
    gitdata("init")
    repo.git("branch", "-m", "develop")
    repo.commit("init")
    Git(tmp_path).run("init", "--quiet", "--bare", "--initial-branch=develop", "hub.git")
    repo.git("remote", "add", "hub", tmp_path / "hub.git")
    repo.git("push", "-q", "-u", "hub", "develop")
    repo.git("remote", "set-head", "hub", "-a")
    return repo


def fill(repo: Repo, tree: dict[str, str | Link]) -> None:
    """Make the working tree, the index and a commit hold these files."""
    for path in repo.path.iterdir():
        if path.is_dir() and not path.is_symlink() and path.name not in (".git", ".dvc"):
            shutil.rmtree(path)
        elif path.name not in (".git", ".dvc", ".dvcignore"):
            path.unlink()
    for name, content in tree.items():
        if isinstance(content, Link):
            place = repo.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(content.target)
        else:
            repo.write(name, content)
    repo.git("add", "--all", ".")
    repo.git("commit", "-q", "--allow-empty", "--no-verify", "-m", "a tree")


Answer = tuple[list[str], list[object], set[str]]


def read(tree: PipelineTree, default_branch: str) -> Answer:
    try:
        return [], [stage_json(stage) for stage in tree.pipeline(default_branch)], set(tree.remarks)
    except InvalidInputError as error:
        return error.message.split("\n"), [], set(tree.remarks)


def validate(*revision: str) -> tuple[list[str], list[object], set[str]]:
    parser = argparse.ArgumentParser()
    stage_validate.configure(parser)
    out = StringIO()
    with redirect_stdout(out), redirect_stderr(StringIO()):
        stage_validate.run(parser.parse_args(["--json", *revision]))
    found = json.loads(out.getvalue())
    return found["problems"], found["stages"], set(found["warnings"])


SOUND = {"image/Dockerfile": "FROM scratch\n", "stages/a.json": spec("first", "images", "develop")}


@example(tree={**SOUND, "images.dvc": pointer("images")})
@example(tree={**SOUND, "pics.dvc": pointer("images")})
@example(tree={**SOUND, "images.dvc": pointer("images"), "stages/b.json": Link("../rules/a.json")})
@example(tree={**SOUND, "images.dvc": Link("pics.dvc"), "pics.dvc": pointer("pics")})
@example(tree={**SOUND, "images.dvc": "<<<<<<< HEAD\n"})
@example(tree={**SOUND, "images.dvc": pointer("images", "meta:\n  gitdata:\n    v: 1\n")})
@example(tree={**SOUND, "images.dvc": pointer("images"), "pics.dvc": pointer("images")})
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(tree=trees)
def test_every_entry_point_says_the_same_of_any_tree(clone: Repo, tmp_path: Path, tree: dict[str, str | Link]) -> None:
    fill(clone, tree)
    repository = Repository.find(clone.path)
    git = repository.git
    asked = wish(git, "HEAD", "develop")
    planned = read(Tree(git, asked.commit), asked.default_branch)
    clone.git("push", "-q", "--force", "--no-verify", "hub", "HEAD:develop")
    remote = look(Git(tmp_path / "hub.git"), str(tmp_path / "hub.git"), Remote())
    controlled = read(Tree(Git(tmp_path / "hub.git"), remote.refs["refs/heads/develop"]), remote.default)
    problems, warnings = staged_problems(Workspace(repository))
    with chdir(clone.path):
        assert validate() == validate("HEAD") == planned == controlled
    assert (problems, set(warnings)) == (planned[0], planned[2])


def test_a_pointer_that_cannot_be_read_is_the_problem_of_the_stages_that_use_it(clone: Repo) -> None:
    fill(clone, {
        "images.dvc": "<<<<<<< HEAD\n", "pics.dvc": pointer("pics"), "image/Dockerfile": "FROM scratch\n",
        "stages/a.json": spec("first", "images", None), "stages/b.json": spec("second", "pics", None),
    })  # fmt: skip
    tree = PipelineTree(working_files(Git(clone.path)))
    assert [stage.name for stage in tree.pipeline("develop")] == ["first", "second"]
    assert set(tree.broken) == {"images"}
    (remark,) = tree.remarks
    assert remark.startswith("images.dvc:")


def test_data_is_called_by_its_path_and_a_stage_may_have_neither_name(clone: Repo) -> None:
    tree = {
        "pics.dvc": pointer("images"),
        "image/Dockerfile": "FROM scratch\n",
        "stages/a.json": spec("first", "images", None),
    }
    fill(clone, tree)
    assert read(PipelineTree(working_files(Git(clone.path))), "")[0] == []
    for path, text, said in (
        (
            "stages/b.json",
            spec("second", "pics", None),
            '"pics" is the name of a pointer; name the data that it is of:',
        ),
        ("stages/c.json", spec("pics", "images", None), "the repository has pics.dvc, and the output needs that name"),
        ("stages/d.json", spec("images", "image", None), "the repository has images.dvc, and the output needs"),
    ):
        fill(clone, {**tree, path: text})
        (problem,) = read(PipelineTree(working_files(Git(clone.path))), "")[0]
        assert problem.startswith(path)
        assert said in problem
