"""Stage specs: what is accepted, and what it becomes."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from gitdata.formats.spec import parse_specs, stage_from_json, stage_json
from gitdata.formats.spec_schema import schema
from gitdata.model import (
    CrossInput,
    Notify,
    Parallelism,
    PfsInput,
    Scheduling,
    Secret,
    Stage,
    Toleration,
    Transform,
    UnionInput,
)
from helpers.specs import BASE, problems, read, spec


def test_the_schema_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(schema())


def test_a_small_spec() -> None:
    assert read(BASE) == Stage(
        name="validate",
        transform=Transform("stage-images/validate", ("python", "validate.py")),
        input=PfsInput("images", "/*", "images"),
        file="stages/v.json",
    )


FULL = b"""
# a comment
pipeline: {name: object-detect}
description: finds things
transform:
  image: registry.example/detect:1
  cmd: [sh]
  stdin: ["for f in /pfs/images/*; do detect $f; done"]
  err_cmd: ["true"]
  err_stdin: []
  env: {B: "2", A: yes}
  secrets:
    - {name: db, env_var: PGPASS, key: word}
    - {name: files, mount_path: /secrets}
  accept_return_code: [3, 1, 3]
  working_dir: /work
  user: "1000"
  imagePullSecrets: [registry, a-registry, registry]
parallelism_spec: {coefficient: 0.5}
input:
  cross:
    - pfs: {repo: images, branch: master, glob: /*}
    - union:
      - atom: {repo: ./data/more/, glob: "", name: extra}
      - pfs: {repo: rules/rule.json, glob: /, name: extra}
datum_tries: "5"
datum_timeout: 1.5h
job_timeout: 7200s
salt: pepper
resource_requests: {cpu: 0.5, memory: 1G, gpu: {type: nvidia.com/gpu, number: 1}}
notify: {glob: "/mail/*", via: sendgrid, hold_over: 7}
schedulingSpec: {nodeSelector: {kubernetes.io/arch: arm64, example.com/pool: gpu}, priorityClassName: batch}
tolerations:
  - {key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}
  - {key: spot, value: "yes", effect: NoExecute, tolerationSeconds: "30"}
network: open
serviceAccount: reader
"""


def test_everything_that_is_honoured() -> None:
    stage = read(FULL, "stages/o.yaml")
    assert stage == Stage(
        name="object-detect",
        transform=Transform(
            image="registry.example/detect:1",
            cmd=("sh",),
            stdin=("for f in /pfs/images/*; do detect $f; done",),
            err_cmd=("true",),
            err_stdin=(),
            env=(("A", "yes"), ("B", "2")),
            secrets=(Secret("db", "word", "PGPASS"), Secret("files", mount_path="/secrets")),
            accept_return_code=(1, 3),
            working_dir="/work",
            user="1000",
        ),
        input=CrossInput(
            (
                PfsInput("images", "/*", "images"),
                UnionInput((PfsInput("data/more", "", "extra"), PfsInput("rules/rule.json", "/", "extra"))),
            )
        ),
        parallelism=Parallelism(1, 500),
        datum_tries=5,
        datum_timeout_ms=5_400_000,
        job_timeout_ms=7_200_000,
        salt="pepper",
        description="finds things",
        resources=(
            ("requests.cpu", "0.5"),
            ("requests.gpu", '{"number":1,"type":"nvidia.com/gpu"}'),
            ("requests.memory", "1G"),
        ),
        notify=Notify("/mail/*", "sendgrid", 7),
        file="stages/o.yaml",
        scheduling=Scheduling(
            node_selector=(("example.com/pool", "gpu"), ("kubernetes.io/arch", "arm64")),
            tolerations=(
                Toleration("nvidia.com/gpu", "Exists", "", "NoSchedule"),
                Toleration("spot", "Equal", "yes", "NoExecute", 30),
            ),
            priority_class="batch",
            pull_secrets=("a-registry", "registry"),
            service_account="reader",
            network="open",
        ),
    )
    assert stage_from_json(json.loads(json.dumps(stage_json(stage)))) == stage


def test_camel_case_and_quoted_integers_are_the_same_spec() -> None:
    snake = spec(
        parallelism_spec={"constant": 4}, datum_tries=2, datum_timeout="300ms", transform__accept_return_code=[1]
    )
    camel = spec(
        parallelismSpec={"constant": "4"}, datumTries="2", datumTimeout="300ms", transform__acceptReturnCode=["1"]
    )
    assert read(snake) == read(camel)
    assert read(camel).parallelism == Parallelism(4)


def test_several_documents_in_one_file() -> None:
    second = spec(pipeline__name="b")
    text = json.dumps(BASE, indent="\t") + "\n\n" + json.dumps(second)
    assert [s.name for s in parse_specs(text.encode(), "stages/all.json")] == ["validate", "b"]
    yaml = f"---\n{json.dumps(BASE)}\n---\n{json.dumps(second)}\n---\n".encode()
    assert [s.name for s in parse_specs(yaml, "stages/all.yml")] == ["validate", "b"]
    assert [s.name for s in parse_specs(text.encode(), "stages/all.yaml")] == ["validate", "b"]


def test_a_problem_in_one_of_several_documents_says_in_which() -> None:
    data = json.dumps(BASE) + json.dumps(spec(pipeline__name="b", datum_tries=-1))
    assert problems(data.encode()) == ["stages/v.json#2: $.datum_tries: -1 is less than 0; change it"]


def test_null_means_absent_and_zero_the_default() -> None:
    raw = spec(description=None, datum_tries=0, parallelism_spec={"constant": 0}, transform__stdin=None, notify=None)
    assert read(raw) == read(BASE)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("300ms", 300), ("1.5h", 5_400_000), ("2h45m", 9_900_000), ("7200s", 7_200_000), ("0", 0), ("0s", 0), ("1ns", 1),
     ("1us", 1), ("1500\u00b5s", 2), ("1.s", 1000), ("8784h", 31_622_400_000)],
)  # fmt: skip
def test_durations(text: str, milliseconds: int) -> None:
    assert read(spec(datum_timeout=text)).datum_timeout_ms == milliseconds


@pytest.mark.parametrize("branch", ["master", "main", "trunk", ""])
def test_the_branch_of_an_input_is_this_commits(branch: str) -> None:
    data = json.dumps(spec(input__pfs__branch=branch)).encode()
    (stage,) = parse_specs(data, "stages/v.json", default_branch=None if branch == "main" else "trunk")
    assert stage.input == PfsInput("images", "/*", "images", "")


def test_what_is_not_honoured_is_a_warning() -> None:
    raw = spec(
        chunkSpec={"number": 1},
        standby=True,
        enableStats=False,
        podPatch="[]",
        transform__debug=True,
        input__pfs__lazy=True,
        input__pfs__empty_files=False,
        podSpec="{}",
    )
    assert read(raw).warnings == (
        "stages/v.json: $.transform.debug: not honoured yet",
        "stages/v.json: $.input.pfs.lazy: not honoured yet: files are whole",
        "stages/v.json: $.chunkSpec: not honoured yet",
        "stages/v.json: $.standby: has no effect here: a job ends when its datums are done",
        "stages/v.json: $.podPatch: not honoured yet",
        "stages/v.json: $.podSpec: not honoured yet",
    )


def test_every_field_of_pachyderm_is_known() -> None:
    fields = [
        "pipeline",
        "description",
        "metadata",
        "transform",
        "parallelism_spec",
        "resource_requests",
        "resource_limits",
        "sidecar_resource_requests",
        "sidecar_resource_limits",
        "datum_timeout",
        "datum_tries",
        "job_timeout",
        "input",
        "output_branch",
        "egress",
        "s3_out",
        "scale_down_threshold",
        "standby",
        "autoscaling",
        "incremental",
        "cache_size",
        "enable_stats",
        "service",
        "spout",
        "max_queue_size",
        "chunk_spec",
        "datum_set_spec",
        "hashtree_spec",
        "scheduling_spec",
        "tolerations",
        "pod_spec",
        "pod_patch",
        "reprocess_spec",
        "salt",
        "update",
        "reprocess",
        "dry_run",
        "spec_commit",
        "tf_job",
        "determined",
        "maximum_expected_uptime",
    ]
    assert set(fields) <= set(schema()["properties"])
    transform = [
        "image",
        "cmd",
        "stdin",
        "err_cmd",
        "err_stdin",
        "env",
        "secrets",
        "image_pull_secrets",
        "accept_return_code",
        "debug",
        "user",
        "working_dir",
        "dockerfile",
        "build",
        "memory_volume",
        "datum_batching",
    ]
    assert set(transform) <= set(schema()["$defs"]["transform"]["properties"])
    pfs = [
        "name",
        "repo",
        "branch",
        "glob",
        "lazy",
        "empty_files",
        "from_commit",
        "join_on",
        "outer_join",
        "group_by",
        "s3",
        "repo_type",
        "project",
        "commit",
        "trigger",
        "propagation_spec",
        "reference",
    ]
    assert set(pfs) <= set(schema()["$defs"]["pfs"]["properties"])
    assert {"pfs", "atom", "cross", "union", "join", "group", "cron", "git"} == set(
        schema()["$defs"]["input"]["properties"]
    )
