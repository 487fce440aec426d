"""Stage specs: the one line that each mistake is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gitdata.errors import InvalidInputError
from gitdata.formats.spec import load_pipeline
from helpers.specs import BASE, SOURCES, problems, read, spec


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (spec(datum_trys=3), '$.datum_trys: unknown field; did you mean datum_tries?'),
        (spec(parallelismSpecs={}), "$.parallelismSpecs: unknown field; did you mean parallelismSpec?"),
        (spec(zzzzzz=3), "$.zzzzzz: unknown field; remove it"),
        (spec(transform__comand=[]), "$.transform.comand: unknown field; did you mean cmd?"),
        (spec(input__pfs__globb="/"), "$.input.pfs.globb: unknown field; did you mean glob?"),
        ({**BASE, "a b\n\x1b": 1}, '$["a b\\n\\u001b"]: unknown field; remove it'),
        (spec(datumTries=1, datum_tries=1), '$.datumTries: stands twice, also as "datum_tries"; remove one'),
        (spec(pipeline=...), '$.pipeline: is missing; add {"name": "…"}'),
        (spec(input=...), "$.input: is missing; give it exactly one of pfs, cross, union"),
        (spec(spout={}), "$.spout: spouts are not supported yet: a stage must end; add data with `gitdata put`"),
        (spec(service={}), "$.service: services are not supported yet: a stage must end; remove it"),
        (spec(egress={}), "$.egress: egress is not supported yet; read the outputs from the output branch"),
        (spec(input__pfs__trigger={}),
         "$.input.pfs.trigger: triggers are not supported yet: every push runs what changed; remove it"),
        (spec(transform__cmd="python x"),
         ('$.transform.cmd: is a text, must be an array; write ["program", '
          '"argument"]')),
        (spec(transform__cmd=["", "x"]), "$.transform.cmd[0]: the program's name is empty; name a program"),
        (spec(transform__cmd=..., transform__stdin=["x"], transform__image="x:1"),
         '$.transform.stdin: has no command to read it; add "cmd", for example ["sh"]'),
        (spec(transform__cmd=["a", 1]), '$.transform.cmd[1]: is an integer, must be a text; quote it: "1"'),
        (spec(transform__env={"PORT": 8080}), '$.transform.env.PORT: is an integer, must be a text; quote it: "8080"'),
        (spec(transform__env={"A=B": "x"}), '$.transform.env: "A=B" does not have its form; use letters, digits and _'),
        (spec(transform__user=1000), '$.transform.user: is an integer, must be a text; quote it: "1000"'),
        (spec(transform__acceptReturnCode=[256]), "$.transform.acceptReturnCode[0]: 256 is more than 255; change it"),
        (spec(transform__secrets=[{"name": "s"}]),
         "$.transform.secrets[0]: needs either env_var (with key) or mount_path; give one of them"),
        (spec(transform__secrets=[{"name": "s", "env_var": "E"}]),
         "$.transform.secrets[0].key: is missing; name the key of the secret whose value the variable gets"),
        (spec(transform__secrets=[{"name": "s", "env_var": "E", "key": "k"}], transform__env={"E": "1"}),
         '$.transform.secrets[0].env_var: "E" is set by env, too; remove one'),
        (spec(parallelism_spec={"constant": 2, "coefficient": 1}),
         "$.parallelism_spec: has both constant and coefficient; remove one"),
        (spec(schedulingSpec={"nodeSelector": {"a b": "c"}}),
         ('$.schedulingSpec.nodeSelector: "a b" does not have its form; use a label of nodes such as '
          "kubernetes.io/arch")),
        (spec(schedulingSpec={"nodeSelector": {"a": "-c"}}),
         '$.schedulingSpec.nodeSelector.a: "-c" does not have its form; use at most 63 letters, digits, -, _ and .'),
        (spec(tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
         "$.tolerations[0].value: means nothing with the operator Exists; remove it"),
        (spec(tolerations=[{"value": "b"}]),
         '$.tolerations[0]: has no key; add one, or the operator "Exists" for every taint'),
        (spec(tolerations=[{"key": "a", "tolerationSeconds": 5}]),
         '$.tolerations[0].tolerationSeconds: needs the effect "NoExecute"; add it or remove the seconds'),
        (spec(network="half"), '$.network: "half" is none of ["open", "closed"]; change it'),
        (spec(service_account="Me/../x"),
         ('$.service_account: "Me/../x" does not have its form; use the name of an object of the cluster: '
          "lower case letters, digits, - and .")),
        (spec(datum_tries="many"), "$.datum_tries: is a text, must be an integer; change it"),
        (spec(datum_tries=2.5), "$.datum_tries: is a number, must be an integer; change it"),
        (spec(datum_tries=True), "$.datum_tries: is true or false, must be an integer; change it"),
        (spec(datum_timeout="5 minutes"),
         '$.datum_timeout: "5 minutes" does not have its form; write a duration such as "300s", "1.5h" or "2h45m"'),
        (spec(datum_timeout="-5s"),
         '$.datum_timeout: "-5s" does not have its form; write a duration such as "300s", "1.5h" or "2h45m"'),
        (spec(job_timeout=300),
         '$.job_timeout: is an integer, must be a text; write a duration such as "300s", "1.5h" or "2h45m"'),
        (spec(job_timeout="99999h"), '$.job_timeout: "99999h" is longer than a year; shorten it or remove it'),
        (spec(input={}), "$.input: has 0 fields; give it exactly one of pfs, cross, union"),
        (spec(input__cross=[{"pfs": {"repo": "images", "glob": "/"}}]),
         ("$.input: has 2 fields: pfs, cross; give it exactly one of pfs, cross, "
          "union")),
        (spec(input={"cross": []}), "$.input.cross: [] is empty; change it"),
        (spec(input={"join": []}), "$.input.join: join inputs are not supported yet; use pfs, cross or union"),
        (spec(incremental=True), (
         "$.incremental: incremental output is not supported; gitdata reuses "
          "unchanged datums by "
          "itself")),
        (spec(input={"join": [1]}), "$.input.join: join inputs are not supported yet; use pfs, cross or union"),
        (spec(input={"group": [1]}), "$.input.group: group inputs are not supported yet; use pfs, cross or union"),
        (spec(input={"cron": {"name": "x"}}),
         "$.input.cron: cron inputs are not supported yet; push from a scheduled job instead"),
        (spec(input={"git": {"URL": "x"}}), (
         "$.input.git: git inputs are not supported; name a path of this "
          "repository "
          "as the repo of a pfs input")),
        (spec(s3_out=True), "$.s3_out: output through an S3 endpoint is not supported yet; write to /pfs/out"),
        (spec(input__pfs__s3=True), "$.input.pfs.s3: input through an S3 endpoint is not supported yet; read /pfs"),
        (spec(input__pfs__glob=...),
         '$.input.pfs.glob: is missing; use "/" for one datum, "/*" for one per top-level entry'),
        (spec(input__pfs__glob="/[a"),
         "$.input.pfs.glob: \"/[a\": '[' is never closed; write \\[ for the character itself"),
        (spec(input__pfs__branch="dev"), ('$.input.pfs.branch: "dev" is another branch, which is not supported yet; '
          "remove it: an input is this commit's")),
        (spec(input__pfs__repo="../x"), '$.input.pfs.repo: "../x" is no path inside the repository; name one'),
        (spec(input__pfs__repo="/etc"), '$.input.pfs.repo: "/etc" is no path inside the repository; name one'),
        (spec(input__pfs__name="out"), "$.input.pfs.name: /pfs/out is the output; choose another name"),
        (spec(input__pfs__name="../x"),
         '$.input.pfs.name: "../x" does not have its form; use at most 100 letters, digits, -, _ and .'),
        (spec(input__pfs__name="a\n"),
         '$.input.pfs.name: "a\\n" does not have its form; use at most 100 letters, digits, -, _ and .'),
        (spec(input={"cross": [{"pfs": {"repo": "images", "glob": "/"}}, {"pfs": {"repo": "images", "glob": "/*"}}]}),
         '$.input.cross[1]: the name "images" is used more than once in a cross; give one input another name'),
        (spec(notify={"glob": "/{a"}),
         ("$.notify.glob: \"/{a\": '{' is never closed; write \\{ for the "
          "character itself")),
        (spec(notify={"glob": "/a", "via": "smoke"}), '$.notify.via: "smoke" is none of ["sendgrid"]; change it'),
        (spec(pipeline__name="-x"), (
         '$.pipeline.name: "-x" does not have its form; use at most 51 letters, '
          'digits, - and '
          "_, with a letter or digit first")),
        (spec(pipeline__name="x\n"), (
         '$.pipeline.name: "x\\n" does not have its form; use at most 51 '
          'letters, digits, - '
          "and _, with a letter or digit first")),
        (spec(pipeline__name="Out"), '$.pipeline.name: "Out" is reserved; choose another name'),
        (spec(pipeline__name="stages"), '$.pipeline.name: "stages" is reserved; choose another name'),
    ],
)  # fmt: skip
def test_each_mistake_is_one_line(raw: Any, line: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        read(raw)
    assert caught.value.message == f"stages/v.json: {line}"


def test_all_mistakes_of_all_files_are_told_at_once() -> None:
    files = {
        "stages/a.json": json.dumps(spec(datum_tries=-1, foo=1)).encode(),
        "stages/b.yaml": b"pipeline: [",
        "stages/c.json": json.dumps(
            spec(pipeline__name="c", transform__image="nowhere/:x", input__pfs__repo="no")
        ).encode(),
    }
    with pytest.raises(InvalidInputError) as caught:
        load_pipeline(files, SOURCES)
    assert [line.split(":")[0] for line in caught.value.message.split("\n")] == ["stages/a.json"] * 2 + [
        "stages/b.yaml"
    ]


@pytest.mark.parametrize(
    ("env", "word"),
    [
        ({"SENDGRID_API_KEY": "x"}, "holds a secret"),
        ({"GH_TOKEN": "x"}, "holds a secret"),
        ({"MYSQL_PASSWORD_1": "x"}, "holds a secret"),
        ({"client_secret": "x"}, "holds a secret"),
        ({"APIKEY": "x"}, "holds a secret"),
        ({"MAIL": "SG.abcdefghijklmnop.qrstuvwxyz0123456789"}, "a SendGrid key"),
        ({"ID": "AKIAABCDEFGHIJKLMNOP"}, "an AWS access key"),
        ({"DB": "postgres://ann:hunter2hunter2@db/x"}, "a URL with a password"),
    ],
)
def test_a_key_in_env_is_refused_and_never_repeated(env: dict[str, str], word: str) -> None:
    (line,) = problems(spec(transform__env=env))
    ((name, value),) = env.items()
    assert line.startswith(f"stages/v.json: $.transform.env.{name}: ")
    assert word in line
    assert "transform.secrets" in line
    assert value not in line or len(value) == 1


def test_a_key_anywhere_else_is_refused() -> None:
    key = "SG.abcdefghijklmnop.qrstuvwxyz0123456789"
    (line,) = problems(spec(transform__stdin=["true", f"curl -H 'Authorization: Bearer {key}'"]))
    assert line.startswith("stages/v.json: $.transform.stdin[1]: a SendGrid key is written here; ")
    assert key not in line


@pytest.mark.parametrize(
    "env", [{"KEYBOARD": "x"}, {"MONKEY": "x"}, {"API_KEY": ""}, {"TOKENIZER": "bpe"}, {"URL": "https://$U:$P@host/"}]
)
def test_ordinary_variables_are_no_secrets(env: dict[str, str]) -> None:
    assert read(spec(transform__env=env)).transform.env == tuple(env.items())
