"""prov show and prov trace on a pipeline that a real controller ran: pointer and git inputs, three stages."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from gitdata.controller.notes import NOTES_REF
from gitdata.formats.dvc import dir_oid, dump_dir, dump_pointer, object_key
from gitdata.identity import canonical, sha256
from gitdata.model import Entry, Output
from helpers.lab import Lab
from helpers.machine import Program, Repo

DETECT = 'for f in /pfs/images/*; do n=$(basename "$f"); cat "$f" /pfs/rules/rule.json > /pfs/out/$n.json; done'
THREAT = 'for f in /pfs/detect/*; do cp "$f" /pfs/out/; done'
PLOT = "cat /pfs/threat/* > /pfs/out/plot.txt"


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def images(lab: Lab, **files: bytes) -> str:
    """A data folder as `dvc add` makes it; the oid."""
    listing = tuple(Entry(name, md5(data), len(data)) for name, data in sorted(files.items()))
    for data in files.values():
        lab.store.write(object_key(md5(data)), data)
    folder = dump_dir(listing)
    oid = dir_oid(folder)
    lab.store.write(object_key(oid), folder)
    lab.work.write("images.dvc", dump_pointer(Output("images", oid, sum(map(len, files.values())), len(files))))
    return oid


@pytest.fixture
def lab(home: Path, tmp_path: Path) -> Lab:
    lab = Lab.create(tmp_path)
    lab.work.write(".dvc/config", f"[core]\n    remote = s\n['remote \"s\"']\n    url = {tmp_path / 'data'}\n")
    images(lab, a=b"image a", b=b"image b")
    lab.push("images")
    lab.work.write("rules/rule.json", "{}\n")
    lab.push("rules")
    cross = {"cross": [{"pfs": {"repo": "images", "glob": "/*"}}, {"pfs": {"repo": "rules", "glob": "/"}}]}
    lab.stage("detect", DETECT, cross)
    lab.stage("threat", THREAT, {"pfs": {"repo": "detect", "glob": "/*"}})
    lab.stage("plot", PLOT, {"pfs": {"repo": "threat", "glob": "/"}})
    lab.push("stages")
    lab.settle()
    return lab


@pytest.fixture
def gitdata(lab: Lab, gitdata: Program) -> Program:
    gitdata.cwd = lab.work.path
    return gitdata


def test_prov_show_and_trace(lab: Lab, gitdata: Program, tmp_path: Path) -> None:
    source = lab.work.head()

    # show: one record for each run, with everything a reader needs
    shown = gitdata.json("prov", "show")
    assert shown["commit"] == source
    assert [
        r["statement"]["predicate"]["buildDefinition"]["externalParameters"]["stage"] for r in shown["records"]
    ] == [
        "detect",
        "threat",
        "plot",
    ]
    assert all(sha256(canonical(r["statement"])) == r["id"] for r in shown["records"])
    lab.work.git("fetch", "--quiet", "origin")
    for revision in (source, "main", "origin/gitdata/main", "gitdata/main"):
        assert gitdata.json("prov", "show", revision) == shown
    text = gitdata("prov", "show").stdout
    assert f"sh -e <<< {DETECT}" in text
    assert "detect  success  2 processed, 2 total" in text
    assert f"sha256 {manifest(a=b'image a', b=b'image b')}" in text, "the worker's digests of what it read"
    assert lab.work.git("for-each-ref refs/notes") == "", "fetching never touches a person's own notes"

    # trace: the datum's own inputs, not those of its neighbours
    whole = gitdata.json("prov", "trace", "threat/a.json@main")
    assert whole["source"] == source
    top = whole["trace"]
    assert top["exact"]
    assert top["sha256"] == hashlib.sha256(b"image a{}\n").hexdigest()
    [detected] = top["inputs"]
    assert (detected["path"], detected["exact"]) == ("detect/a.json", True)
    image, rule = detected["inputs"]
    assert (image["path"], image["kind"], image["md5"]) == ("images/a", "data", md5(b"image a"))
    assert image["sha256"] == hashlib.sha256(b"image a").hexdigest()
    assert image["commit"] == lab.work.head("HEAD~2")
    assert (rule["path"], rule["kind"], rule["commit"]) == ("rules/rule.json", "git", lab.work.head("HEAD~1"))
    assert detected["made_by"]["commit"] == source
    assert detected["made_by"]["environment"].startswith("ctx:") or detected["made_by"]["environment"]
    assert detected["made_by"]["cmd"] == ["sh", "-e"]

    # the whole tree, for people
    text = gitdata("prov", "trace", "plot/plot.txt").stdout
    for path in ("plot/plot.txt", "threat/a.json", "detect/b.json", "images/b", "rules/rule.json"):
        assert path in text
    assert text.count("by detect:") == 1, "a run is described once"

    # any revision that names the commit does
    for revision in (source, "origin/gitdata/main", lab.tip() or ""):
        assert gitdata.json("prov", "trace", f"threat/a.json@{revision}") == whole

    # mistakes end in one clear line
    assert "no such file" in gitdata("prov", "trace", "threat/zzz", code=6).stderr
    assert "no stage" in gitdata("prov", "trace", "images/a", code=6).stderr
    assert "nonsense: no commit" in gitdata("prov", "show", "nonsense", code=6).stderr
    assert "no provenance" in gitdata("prov", "show", "HEAD~3", code=6).stderr

    # without the data remote: the inputs of whole runs, and it says so
    (tmp_path / "data").rename(tmp_path / "away")
    done = gitdata("prov", "trace", "threat/a.json@main", "--json")
    assert "whole runs" in done.stderr
    top = json.loads(done.stdout)["trace"]
    assert not top["exact"]
    assert top["inputs"][0]["path"] == "detect"
    assert {one["path"] for one in top["inputs"][0]["inputs"]} == {"images", "rules"}

    # without the git remote: what was fetched before
    shutil.move(tmp_path / "origin.git", tmp_path / "gone.git")
    done = gitdata("prov", "show", "--json")
    assert "fetched before" in done.stderr
    assert json.loads(done.stdout) == shown


def manifest(**files: bytes) -> str:
    lines = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def test_reused_and_stale_outputs_still_know_where_they_come_from(lab: Lab, gitdata: Program) -> None:
    first = lab.work.head()
    before = gitdata.json("prov", "show")["records"]
    images(lab, a=b"image a", b=b"image b", c=b"image c")
    lab.stage("plot", "exit 3", {"pfs": {"repo": "threat", "glob": "/"}}, datum_tries=1)
    second = lab.push("one more image, and a plot that fails")
    lab.settle()
    records = gitdata.json("prov", "show", second)["records"]
    states = {
        r["statement"]["predicate"]["buildDefinition"]["externalParameters"]["stage"]: r["statement"]["predicate"][
            "runDetails"
        ]["byproducts"][0]["annotations"]
        for r in records
    }
    assert states["detect"]["datums"]["skipped"] == 2
    # A datum that an earlier run did keeps that run's commit and times, and each file the commit that changed it:
    top = gitdata.json("prov", "trace", "threat/b.json@main")["trace"]
    assert top["exact"]
    (image, _) = top["inputs"][0]["inputs"]
    assert (image["path"], image["commit"], image["exact"]) == ("images/b", lab.work.head(f"{first}~2"), True)
    made = {name: one["made_by"] for name, one in (("threat", top), ("detect", top["inputs"][0]))}
    for record in before:
        definition = record["statement"]["predicate"]["buildDefinition"]
        stage, run = definition["externalParameters"]["stage"], made.get(definition["externalParameters"]["stage"])
        if run is not None:
            assert (run["stage"], run["commit"]) == (stage, first)
            assert run["run"] == definition["internalParameters"]["run_key"]
            details = record["statement"]["predicate"]["runDetails"]["metadata"]
            assert (run["job"], run["started"]) == (details["invocationId"], details["startedOn"])
            assert run["finished"] == details["finishedOn"]
    top = gitdata.json("prov", "trace", "threat/c.json@main")["trace"]
    (image, _) = top["inputs"][0]["inputs"]
    assert (image["commit"], top["made_by"]["commit"], top["inputs"][0]["made_by"]["commit"]) == (second,) * 3
    text = gitdata("prov", "trace", "threat/b.json@main").stdout
    assert f"data, changed in {lab.work.head(f'{first}~2')[:12]}\n" in text
    assert second[:12] not in text
    # The plot is the first commit's, and is traced there:
    whole = gitdata.json("prov", "trace", "plot/plot.txt@main")
    assert whole["source"] == first
    assert {one["path"] for one in whole["trace"]["inputs"]} == {"threat/a.json", "threat/b.json"}

    # A push that runs nothing has the records of what it reuses, the same bytes.
    lab.stage("plot", PLOT, {"pfs": {"repo": "threat", "glob": "/"}})
    images(lab, a=b"image a", b=b"image b")
    third = lab.push("back again")
    assert lab.started(lab.settle()) == []
    assert gitdata.json("prov", "show", third)["records"] == before
    assert before[0]["statement"]["predicate"]["buildDefinition"]["resolvedDependencies"][0]["digest"] == {
        "gitCommit": first
    }


def test_a_stage_that_was_renamed_is_traced_to_its_datums(lab: Lab, gitdata: Program) -> None:
    lab.work.git("rm", "--quiet", "stages/plot.json")
    lab.stage("draw", PLOT, {"pfs": {"repo": "threat", "glob": "/"}})
    lab.push("another name")
    assert lab.started(lab.settle()) == []
    top = gitdata.json("prov", "trace", "draw/plot.txt@main")["trace"]
    assert (top["exact"], top["made_by"]["stage"]) == (True, "plot")
    assert {one["path"] for one in top["inputs"]} == {"threat/a.json", "threat/b.json"}


def test_specs_that_name_the_default_branch_are_traced(lab: Lab, gitdata: Program) -> None:
    lab.origin.run("branch", "-m", "main", "trunk")
    lab.work.git("branch", "-m", "main", "trunk")
    lab.work.git("fetch", "--quiet", "--prune", "origin")
    lab.work.git("remote", "set-head", "origin", "--auto")
    lab.stage("plot", PLOT, {"pfs": {"repo": "threat", "glob": "/", "branch": "trunk"}})
    lab.push("trunk", "trunk")
    lab.settle()
    assert gitdata.json("prov", "trace", "threat/a.json@trunk")["trace"]["exact"]


def test_what_nobody_recorded_is_said_plainly(repo: Repo, tmp_path: Path) -> None:
    program = Program("gitdata", cwd=repo.path)
    bare = Repo.create(tmp_path / "origin.git", bare=True)
    assert "no git remote" not in program("prov", "show", code=6).stderr
    repo.git("remote", "add", "origin", str(bare.path))
    repo.git("push", "--quiet", "origin", "main")
    done = program("prov", "show", code=6)
    assert "no provenance" in done.stderr
    # A forged note is not shown: its id does not match.
    forged = '{"id":"00","statement":{"_type":"https://in-toto.io/Statement/v1"},"v":1}'
    repo.git("notes", "--ref", NOTES_REF, "add", "-m", forged, "HEAD")
    assert "no provenance" in program("prov", "show", code=6).stderr
