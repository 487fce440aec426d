"""All stages together: names, inputs, images, cycles, order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gitdata.errors import InvalidInputError
from gitdata.formats.spec import is_spec, load_pipeline, parse_specs, sources_of
from helpers.specs import SOURCES, spec


def chain(**reads: str | list[str]) -> dict[str, bytes]:
    """Spec files of stages that read these repos."""
    files = {}
    for name, repos in reads.items():
        some = [{"pfs": {"repo": r, "glob": "/"}} for r in ([repos] if isinstance(repos, str) else repos)]
        raw = spec(pipeline__name=name, input={"cross": some})
        files[f"stages/{name}.json"] = json.dumps(raw).encode()
    return files


def wrong(files: dict[str, bytes], sources: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        load_pipeline(files, SOURCES if sources is None else sources)
    return caught.value.message.split("\n")


def test_sources_are_pointers_and_git_paths() -> None:
    assert {
        "images": "pointer",
        "data/more": "pointer",
        "rules/extra": "pointer",
        **dict.fromkeys(
            [
                "README.md", "rules", "rules/rule.json", "stage-images", "stage-images/validate", "stage-images/broken",
                "stage-images/validate/Dockerfile", "stage-images/validate/validate.py", "stage-images/broken/main.py",
                "stages", "stages/v.json",
            ],
            "git",
        ),
    } == SOURCES  # fmt: skip
    assert sources_of(["a.dvc", "a/b"])["a"] == sources_of(["a/b", "a.dvc"])["a"] == "both"
    assert sources_of(["x/y/a.dvc", "x/y/a/b/c", "x/y/a/d"])["x/y/a"] == "both"


def test_stages_come_after_those_they_read() -> None:
    files = chain(z="images", b=["a", "z"], a="z", c="rules/rule.json")
    assert [s.name for s in load_pipeline(files, SOURCES)] == ["c", "z", "a", "b"]


def test_a_file_name_that_is_no_text_is_a_problem() -> None:
    files = chain(a="images")
    assert wrong({**files, "stages/caf\udce9.json": files["stages/a.json"]}) == [
        r"'stages/caf\udce9.json': its name is not valid UTF-8; rename the file"
    ]


def test_no_specs_are_no_stages() -> None:
    assert load_pipeline({}, SOURCES) == ()


@pytest.mark.parametrize("repo", ["images", "data/more", "rules", "rules/rule.json", "stage-images"])
def test_a_repo_is_a_stage_a_pointer_or_a_git_path(repo: str) -> None:
    assert load_pipeline(chain(a=repo, b="a"), SOURCES)


@pytest.mark.parametrize(
    ("repo", "text"),
    [
        ("imagse", 'no stage, pointer or path is named "imagse"; did you mean "images"?'),
        ("validte", 'no stage, pointer or path is named "validte"; did you mean "validate"?'),
        ("nowhere-at-all", 'no stage, pointer or path is named "nowhere-at-all"; add it, or name another'),
        ("images/valid", '"images/valid" is inside "images"; name that as the repo and use a glob such as "/valid"'),
        ("validate/x", '"validate/x" is inside "validate"; name that as the repo and use a glob such as "/x"'),
    ],
)
def test_an_input_that_exists_nowhere(repo: str, text: str) -> None:
    files = chain(validate="images", b=repo)
    assert wrong(files) == [f"stages/b.json: $.input.cross[0].pfs.repo: {text}"]


def test_a_stage_that_could_not_be_read_is_not_missing() -> None:
    files = chain(a="images", b="a")
    files["stages/a.json"] = json.dumps(spec(pipeline__name="a", datum_tries=-1)).encode()
    assert wrong(files) == ["stages/a.json: $.datum_tries: -1 is less than 0; change it"]
    files["stages/a.json"] = b"{"
    assert len(wrong(files)) == 1


def test_a_repo_that_names_two_things() -> None:
    (line,) = wrong(chain(a="x"), {**SOURCES, "x": "both"})
    assert line == (
        'stages/a.json: $.input.cross[0].pfs.repo: "x" is a pointer and also a '
        "path in git; remove one of them from the "
        "repository"
    )


@pytest.mark.parametrize(
    ("files", "line"),
    [
        (chain(a="a"), "stages/a.json: $.input: the stages a -> a read each other; remove one of these inputs"),
        (chain(a="c", b="a", c="b", d="c", e="images"),
         "stages/a.json: $.input: the stages a -> b -> c -> a read each other; remove one of these inputs"),
    ],
)  # fmt: skip
def test_a_cycle_is_one_line_that_names_it(files: dict[str, bytes], line: str) -> None:
    assert wrong(files) == [line]


def test_a_stage_may_not_be_named_like_a_path() -> None:
    assert wrong(chain(images="data/more", Rules="rules")) == [
        (
            'stages/Rules.json: $.pipeline.name: "Rules": the repository has '
            "rules, and the output needs that name; rename one"
        ),
        (
            'stages/images.json: $.pipeline.name: "images": the repository has images.dvc, '
            "and the output needs that name; rename one"
        ),
    ]


def test_two_stages_of_one_name() -> None:
    files = chain(a="images")
    files["stages/b.json"] = files["stages/a.json"]
    assert wrong(files) == ['stages/b.json: $.pipeline.name: "a": this is a stage of stages/a.json; rename one']
    (line,) = wrong(chain(a_b="images", **{"A-b": "images"}))
    assert "the same on some systems" in line


def image(**change: Any) -> dict[str, bytes]:
    return {"stages/v.json": json.dumps(spec(**change)).encode()}


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"transform__image": "stage-images/vaildate"},
         ('$.transform.image: there is no folder "stage-images/vaildate" in the repository; did you mean '
          '"stage-images/validate"?')),
        ({"transform__image": "./x"},
         ('$.transform.image: there is no folder "./x" in the repository; add '
          'it, or name another')),
        ({"transform__image": "../x"},
         '$.transform.image: there is no folder "../x" in the repository; add it, or name another'),
        ({"transform__image": "stage-images/broken"},
         '$.transform.image: the folder "stage-images/broken" has no Dockerfile; add one'),
        ({"transform__cmd": ...},
         ('$.transform.cmd: is missing; a folder image needs it, for example '
          '["python", "main.py"]')),
    ],
)  # fmt: skip
def test_a_folder_that_is_no_image(change: dict[str, Any], line: str) -> None:
    assert wrong(image(**change)) == [f"stages/v.json: {line}"]


@pytest.mark.parametrize(
    "name", ["python:3.12", "tensorflow/tensorflow", "ghcr.io/a/b@sha256:" + "0" * 64, "stage-images/x:1"]
)
def test_an_image_reference_needs_no_command(name: str) -> None:
    (stage,) = load_pipeline(image(transform__image=name, transform__cmd=...), SOURCES)
    assert stage.transform.image == name


@pytest.mark.parametrize(
    ("path", "yes"),
    [("stages/a.json", True), ("stages/x/b.yaml", True), ("stages/c.YML", True), ("stages/README.md", False),
     ("a.json", False), ("x/stages/a.json", False), ("stages/.a.json", False), ("stages", False)],
)  # fmt: skip
def test_which_files_are_specs(path: str, yes: bool) -> None:
    assert is_spec(path) == yes


def test_the_schema_lies_beside_the_code() -> None:
    assert Path(parse_specs.__code__.co_filename).with_name("stage.schema.json").is_file()
