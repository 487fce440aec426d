"""``gitdata stage validate`` as a user runs it: in the working tree, on a commit, as JSON."""

from __future__ import annotations

import json

import pytest

from helpers.machine import Program, Repo
from helpers.specs import spec

GOOD = json.dumps(spec(transform__image="x:1", standby=True))
GENERATED = "outs:\n- md5: d41d8cd98f00b204e9800998ecf8427e.dir\n  size: 0\n  nfiles: 0\n  hash: md5\n  path: {}\n"
META = "meta:\n  gitdata:\n    v: 1\n    state: success\n"


@pytest.fixture
def images(repo: Repo) -> Repo:
    """A repository whose spec is in order."""
    repo.write("images.dvc", GENERATED.format("images"))
    repo.write("stages/validate.json", GOOD)
    return repo


def test_specs_in_order_pass_with_their_warnings(images: Repo, gitdata: Program) -> None:
    done = gitdata("stage", "validate")
    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "warning: stages/validate.json: $.standby: has no effect here: a job ends when its datums are done",
        "1 stage is in order: validate",
    ]


def test_each_problem_is_a_line_and_the_exit_code_is_4(images: Repo, gitdata: Program) -> None:
    images.write(
        "stages/a.yaml", "pipeline: {name: a}\ntransform: {image: x, cmd: [x]}\ninput: {pfs: {repo: b, glob: /}}\n"
    )
    images.write("stages/b.json", json.dumps(spec(pipeline__name="c", foo=1)))
    done = gitdata("stage", "validate", code=4)
    assert done.stdout.splitlines() == ["stages/b.json: $.foo: unknown field; remove it"]
    images.write("stages/b.json", json.dumps(spec(pipeline__name="c", transform__image="x", input__pfs__glob="/[")))
    done = gitdata("stage", "validate", code=4)
    assert done.stdout.startswith('stages/b.json: $.input.pfs.glob: "/[": ')


def test_from_a_subfolder_it_is_the_same(images: Repo, gitdata: Program) -> None:
    assert "1 stage is in order" in gitdata("stage", "validate", cwd=images.path / "stages").stderr


def test_a_commit_is_checked_as_it_is(images: Repo, gitdata: Program) -> None:
    good = images.commit("good")
    images.write("stages/validate.json", GOOD.replace("images", "imagse"))
    images.commit("bad")
    images.write("stages/validate.json", GOOD)
    gitdata("stage", "validate")
    gitdata("stage", "validate", good)
    done = gitdata("stage", "validate", "HEAD", code=4)
    assert 'named "imagse"; did you mean "images"?' in done.stdout


def test_json_is_the_whole_of_stdout(images: Repo, gitdata: Program) -> None:
    found = gitdata.json("stage", "validate")
    assert [stage["name"] for stage in found["stages"]] == ["validate"]
    assert found["problems"] == []
    assert len(found["warnings"]) == 1
    images.write("stages/x.json", "{")
    found = gitdata.json("stage", "validate", code=4)
    assert found["stages"] == []
    assert found["problems"][0].startswith("stages/x.json:1:2: not JSON")


def test_no_specs_are_no_problem(repo: Repo, gitdata: Program) -> None:
    assert "no stages" in gitdata("stage", "validate").stderr


def test_pointers_that_came_from_an_output_branch_are_no_sources(images: Repo, gitdata: Program) -> None:
    images.write("validate.dvc", GENERATED.format("validate") + META)
    gitdata("stage", "validate")
    images.commit("with an output's pointer")
    gitdata("stage", "validate", "HEAD")
    images.write("validate.dvc", GENERATED.format("validate"))
    done = gitdata("stage", "validate", code=4)
    assert "the repository has validate.dvc" in done.stdout


def test_ignored_files_are_no_sources(images: Repo, gitdata: Program) -> None:
    images.write("validate/out.txt", "an output in the workspace")
    assert "the repository has validate" in gitdata("stage", "validate", code=4).stdout
    images.write(".gitignore", "/validate\n")
    gitdata("stage", "validate")


def test_a_deleted_source_is_gone_before_it_is_committed(images: Repo, gitdata: Program) -> None:
    images.commit("all")
    (images.path / "images.dvc").unlink()
    assert 'named "images"' in gitdata("stage", "validate", code=4).stdout
    gitdata("stage", "validate", "HEAD")


def test_the_default_branch_of_origin_is_this_commit(images: Repo, gitdata: Program) -> None:
    images.write("stages/validate.json", json.dumps(spec(transform__image="x:1", input__pfs__branch="trunk")))
    assert '"trunk" is another branch' in gitdata("stage", "validate", code=4).stdout
    images.git("symbolic-ref", "refs/remotes/origin/HEAD", "refs/remotes/origin/trunk")
    gitdata("stage", "validate")


def test_a_spec_that_is_a_symlink_is_refused(images: Repo, gitdata: Program) -> None:
    (images.path / "stages" / "passwd.json").symlink_to("/etc/passwd")
    assert gitdata("stage", "validate", code=4).stdout == (
        "stages/passwd.json: a spec cannot be a symlink; put the file itself there\n"
    )


def test_what_is_no_commit_and_what_is_no_repository(repo: Repo, gitdata: Program) -> None:
    assert "nope: no commit" in gitdata("stage", "validate", "nope", code=6).stderr
    assert "no git working tree here" in gitdata("stage", "validate", cwd=repo.path.parent, code=3).stderr


@pytest.mark.parametrize("name", ["edges.jsonnet", "deep/er/edges.JSON5"])
def test_a_spec_in_a_language_that_is_not_read_is_named(repo: Repo, gitdata: Program, name: str) -> None:
    gitdata("init", "--no-hooks")
    repo.write(f"stages/{name}", "function() {}\n")
    assert f"stages/{name}: specs in this language are not read" in gitdata("stage", "validate", code=4).stdout
