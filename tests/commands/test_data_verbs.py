"""The verbs that version data, on a folder remote, with stock DVC as the referee."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from helpers.machine import Program, Repo


def written(repo: Repo) -> dict[str, bytes]:
    """The files that adding writes beside the data."""
    return {p.name: p.read_bytes() for p in [*repo.path.glob("[!.]*.dvc"), repo.path / ".gitignore"]}


def clone(shared: Repo, gitdata: Program, tmp_path: Path) -> Repo:
    Repo(tmp_path / "origin.git").clone(tmp_path / "clone")
    gitdata("init", cwd=tmp_path / "clone")
    return Repo(tmp_path / "clone")


def objects(folder: Path) -> dict[str, bytes]:
    return {p.parent.name + p.name: p.read_bytes() for p in folder.glob("files/md5/??/*")}


# -------------------------------------------------------------------------------------------------------- the referee


def test_dvc_agrees_with_what_we_write_and_we_with_dvc(data: Repo, gitdata: Program, dvc: Program) -> None:
    data.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    data.write("odd name #1.txt", "odd")
    gitdata("add", "images", "run.sh", "odd name #1.txt")
    ours = written(data)
    assert "up to date" in dvc("status").stdout
    dvc("add", "images", "run.sh", "odd name #1.txt")
    assert written(data) == ours
    assert data.git("ls-files", "--others", "--exclude-standard") == ""
    data.commit("data")
    data.write("images/c.jpg", "c")
    dvc("add", "images")
    data.git("add", "images.dvc")
    assert gitdata.json("status")["clean"]


def test_dvc_pulls_what_we_push_and_we_check_out_what_dvc_pushes(
    shared: Repo, gitdata: Program, dvc: Program, tmp_path: Path
) -> None:
    other = clone(shared, gitdata, tmp_path)
    dvc("pull", cwd=other.path)
    assert (other.path / "images/deep/b.jpg").read_text() == "bb"
    other.write("images/c.jpg", "c")
    dvc("add", "images", cwd=other.path)
    dvc("push", cwd=other.path)
    other.git("commit", "-qam", "by dvc")
    other.git("push", "-q")
    gitdata("pull")
    assert (shared.path / "images/c.jpg").read_text() == "c"
    assert "up to date" in dvc("status").stdout


def test_what_dvc_imports_is_nobodys_to_push(shared: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> None:
    source = Repo.create(tmp_path / "source")
    dvc("init", "-q", cwd=source.path)
    source.write("model/weights", "w")
    dvc("add", "-q", "model", cwd=source.path)
    source.commit("model")
    dvc("import", "-q", source.path, "model")
    shared.git("add", "model.dvc", ".gitignore")
    skip = {"GITDATA_SKIP_HOOKS": "1"}  # as somebody without gitdata commits and pushes
    shared.git("commit", "-qm", "imported", env=skip)
    shared.git("push", "-q", env=skip)
    other = clone(shared, gitdata, tmp_path)
    assert "hint: `dvc pull model.dvc`" in gitdata("pull", cwd=other.path, code=6).stderr
    assert (other.path / "images/a.jpg").read_text() == "a"
    other.write("images/c.jpg", "c")
    gitdata("commit", "-m", "more", cwd=other.path)
    gitdata("push", cwd=other.path)
    dvc("pull", "-q", "model.dvc", cwd=other.path)
    gitdata("pull", cwd=other.path)
    gitdata("push", cwd=other.path)
    assert len(objects(tmp_path / "store")) == 7  # now the two of the import too


def test_dvc_keeps_a_pointer_with_comments_as_we_rewrite_it(data: Repo, gitdata: Program, dvc: Program) -> None:
    gitdata("add", "images")
    pointer = data.path / "images.dvc"
    pointer.write_text("# from the roof\n" + pointer.read_text() + "  desc: cameras\n")
    data.write("images/c.jpg", "c")
    gitdata("add", "images")
    assert pointer.read_text().startswith("# from the roof\n")
    assert "desc: cameras" in pointer.read_text()
    assert "nfiles: 3" in pointer.read_text()
    assert "up to date" in dvc("status").stdout


def test_dvcignore_counts_as_it_does_for_dvc(data: Repo, gitdata: Program, dvc: Program) -> None:
    data.write(".dvcignore", "*.tmp\n/images/deep/\n!keep.tmp\n")
    data.write("images/x.tmp", "x")
    data.write("images/keep.tmp", "x")
    gitdata("add", "images")
    ours = (data.path / "images.dvc").read_bytes()
    assert b"nfiles: 2" in ours
    dvc("add", "images")
    assert (data.path / "images.dvc").read_bytes() == ours


# --------------------------------------------------------------------------------------------------------------- init


def test_init_adds_only_what_is_missing(repo: Repo, gitdata: Program, tmp_path: Path) -> None:
    gitdata("init", "--remote", tmp_path / "store")
    staged = repo.git("diff", "--cached", "--name-only").split()
    assert staged == [".dvc/.gitignore", ".dvc/config", ".dvcignore"]
    before = (repo.path / ".dvc/config").read_text()
    assert "nothing was missing" in gitdata("init", "--remote", tmp_path / "store").stderr
    assert (repo.path / ".dvc/config").read_text() == before
    done = gitdata("init", "--remote", tmp_path / "elsewhere", code=5)
    assert "dvc remote modify" in done.stderr


def test_init_in_a_repository_of_dvc(repo: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> None:
    dvc("init", "-q")
    listed = sorted(p.name for p in (repo.path / ".dvc").iterdir())
    before = [(repo.path / name).read_bytes() for name in (".dvcignore", ".dvc/.gitignore")]
    gitdata("init", "--remote", "../store")
    assert [(repo.path / name).read_bytes() for name in (".dvcignore", ".dvc/.gitignore")] == before
    assert set(listed) <= {p.name for p in (repo.path / ".dvc").iterdir()}
    assert "../../store" in (repo.path / ".dvc/config").read_text()
    assert str(tmp_path / "store") in dvc("remote", "list").stdout


def test_our_files_are_those_that_dvc_init_writes(repo: Repo, gitdata: Program, dvc: Program, tmp_path: Path) -> None:
    gitdata("init")
    other = Repo.create(tmp_path / "other")
    dvc("init", "-q", cwd=other.path)
    for name in (".dvcignore", ".dvc/.gitignore", ".dvc/config"):
        assert (repo.path / name).read_bytes() == (other.path / name).read_bytes()


def test_secrets_of_a_remote_stay_out_of_git(repo: Repo, gitdata: Program) -> None:
    options = ("--option", "endpointurl=http://localhost:1", "--option", "secret_access_key=hunter2")
    gitdata("init", "--remote", "s3://bucket/x", *options, "--option", "access_key_id=me")
    assert "hunter2" not in (repo.path / ".dvc/config").read_text()
    local = repo.path / ".dvc/config.local"
    assert "hunter2" in local.read_text()
    assert local.stat().st_mode & 0o077 == 0
    repo.commit("init")
    assert ".dvc/config.local" not in repo.git("ls-files")


# ---------------------------------------------------------------------------------------------------------- add, put


@pytest.mark.parametrize(
    ("name", "make", "code", "said"),
    [
        ("README.md", None, 4, "git rm -r --cached"),
        (".", None, 4, "repository itself"),
        ("nothing", None, 6, "no such file"),
        ("../outside", "file", 4, "outside"),
        ("images/link", "folder link", 4, "symlink"),
        ("pipe", "fifo", 4, "neither a file nor a folder"),
        ("x.dvc", "file", 4, "x.dvc"),
        (".dvc/config", None, 4, ".dvc"),
        ("edge ", "file", 4, "rename"),
    ],
)
def test_what_cannot_be_data_is_refused(
    data: Repo, gitdata: Program, name: str, make: str | None, code: int, said: str
) -> None:
    place = data.path / name
    if make == "file":
        place.write_text("x")
    elif make == "folder link":
        place.symlink_to(data.path / "images/deep")
    elif make == "fifo":
        os.mkfifo(place)
    done = gitdata("add", name, code=code)
    assert said in done.stderr
    assert not list(data.path.glob("[!.]*.dvc")) or name == "x.dvc"


def test_nested_outputs_are_refused(data: Repo, gitdata: Program) -> None:
    data.write("all/one/x", "x")
    gitdata("add", "all/one")
    assert "all/one" in gitdata("add", "all", code=4).stderr
    assert "lies inside" in gitdata("add", "images", "images/deep", code=4).stderr
    gitdata("add", "images")
    assert "images.dvc: unchanged" in gitdata("add", "images/deep").stdout
    assert not (data.path / "images/deep.dvc").exists()


def test_only_changed_files_are_read_again(data: Repo, gitdata: Program) -> None:
    time.sleep(0.2)  # a file that is younger may still change under the same time
    gitdata("add", "images")
    index = data.path / ".git/gitdata/stat.json"
    a, b = (hashlib.md5(text, usedforsecurity=False).hexdigest() for text in (b"a", b"bb"))
    index.write_text(index.read_text().replace(a, b))
    assert gitdata.json("status")["outputs"][0]["state"] == "changed"  # it believed the index: a.jpg was not read
    data.write("images/a.jpg", "a")
    assert gitdata.json("status")["clean"]


def test_put_of_every_kind(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "more/sub").mkdir(parents=True)
    (tmp_path / "more/sub/x.jpg").write_text("x")
    (tmp_path / "one.jpg").write_text("one")
    gitdata("put", tmp_path / "one.jpg", tmp_path / "more", "images/")
    gitdata("put", "-", "images/stdin.jpg", input="from stdin")
    assert (data.path / "images/one.jpg").read_text() == "one"
    assert (data.path / "images/more/sub/x.jpg").read_text() == "x"
    assert (data.path / "images/stdin.jpg").read_text() == "from stdin"
    assert "nfiles: 5" in (data.path / "images.dvc").read_text()
    assert "images.dvc" in data.git("diff", "--cached", "--name-only")
    gitdata("put", tmp_path / "more", "fresh")
    assert (data.path / "fresh/sub/x.jpg").read_text() == "x"
    assert gitdata.json("status")["clean"]
    assert not list((data.path / ".dvc/tmp").glob("put-*"))


def test_a_killed_checkout_leaves_nothing_that_git_adds(data: Repo, gitdata: Program) -> None:
    data.write("images/large", "x" * 100_000)
    gitdata("add", "images")
    data.commit("data")
    shutil.rmtree(data.path / "images")
    words = (  # ended by the kernel in the middle of a write
        "from resource import *; from signal import *; from gitdata.cli import main; signal(SIGXFSZ, SIG_DFL); "
        "setrlimit(RLIMIT_CORE, (0, 0)); setrlimit(RLIMIT_FSIZE, (50_000, 50_000)); main()"
    )
    killed = subprocess.run([sys.executable, "-c", words, "checkout"], cwd=data.path, check=False)
    assert killed.returncode == -signal.SIGXFSZ
    assert len(list(data.path.glob(".*.gitdata-tmp"))) == 1
    data.git("add", "--all")
    assert data.git("status", "--porcelain") == ""
    gitdata("checkout")
    assert list(data.path.glob(".*.gitdata-tmp")) == []


def test_put_never_drops_what_is_not_here(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    other = clone(shared, gitdata, tmp_path)
    before = (other.path / "images.dvc").read_bytes()
    other.write("new.jpg", "n")
    assert "gitdata checkout images" in gitdata("put", "new.jpg", "images/", cwd=other.path, code=5).stderr
    assert (other.path / "images.dvc").read_bytes() == before
    gitdata("checkout", cwd=other.path)
    gitdata("put", "new.jpg", "images/", cwd=other.path)
    assert b"nfiles: 3" in (other.path / "images.dvc").read_bytes()


def test_put_from_the_web(data: Repo, gitdata: Program, tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web/x y.jpg").write_text("from the web")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "web"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/x%20y.jpg"
        gitdata("put", url, "images/")
        gitdata("put", url, "images/small", "--max-size", "3", code=4)
        gitdata("put", url + "z", "images/gone", code=7)
        server.shutdown()
    assert (data.path / "images/x y.jpg").read_text() == "from the web"
    assert not (data.path / "images/small").exists()
    assert gitdata.json("status")["clean"]


@pytest.mark.parametrize(
    ("source", "dest", "code"),
    [
        ("file:///etc/passwd", "images/x", 4),
        ("ftp://localhost/x", "images/x", 4),
        ("nothing", "images/x", 6),
        ("one.txt", "../x", 4),
        ("one.txt", ".git/hooks/x", 4),
        ("one.txt", "images/.git/x", 4),
        ("one.txt", "link/x", 4),
        ("-", "images/", 2),
    ],
)
def test_put_refuses(data: Repo, gitdata: Program, tmp_path: Path, source: str, dest: str, code: int) -> None:
    (tmp_path / "out").mkdir()
    (data.path / "link").symlink_to(tmp_path / "out")
    data.write("one.txt", "1")
    gitdata("put", source, dest, code=code, input="x")
    assert not list((tmp_path / "out").iterdir())
    assert not (data.path / ".git/hooks/x").exists()


# ------------------------------------------------------------------------------------------- status, commit, pull, diff


def test_status_names_each_file_and_state(shared: Repo, gitdata: Program) -> None:
    assert gitdata.json("status")["clean"]
    shared.write("images/new.jpg", "n")
    shared.write("images/a.jpg", "changed")
    (shared.path / "images/deep/b.jpg").unlink()
    shown = gitdata("status", "--exit-code", code=1).stdout
    assert "new file: new.jpg" in shown
    assert "modified: a.jpg" in shown
    assert "deleted: deep/b.jpg" in shown
    gitdata("commit", "-m", "changes")
    found = gitdata.json("status")
    assert found["clean"]
    assert found["unpushed_commits"] == 1
    assert "nfiles: 2" in shared.git("show", "HEAD:images.dvc")
    files = gitdata.json("diff", "HEAD~1", "HEAD")["files"]
    assert [(f["path"], f["change"]) for f in files] == [
        ("images/a.jpg", "modified"),
        ("images/deep/b.jpg", "deleted"),
        ("images/new.jpg", "added"),
    ]
    assert gitdata.json("diff")["files"] == []
    shared.write("images/later.jpg", "l")
    assert gitdata("diff", "--exit-code", code=1).stdout.split()[:2] == ["A", "images/later.jpg"]
    log = gitdata.json("log")["commits"]
    assert [c["subject"] for c in log] == ["changes", "data"]
    assert log[1]["outputs"][0]["after"]["files"] == 2


def test_pull_brings_data_and_keeps_mine(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    other = clone(shared, gitdata, tmp_path)
    gitdata("pull", cwd=other.path)
    assert (other.path / "images/a.jpg").read_text() == "a"
    shared.write("images/theirs.jpg", "t")
    gitdata("commit", "-qm", "theirs")
    gitdata("push")
    other.write("images/mine.jpg", "m")
    done = gitdata("pull", cwd=other.path, code=5)
    assert "mv images images.mine" in done.stderr
    assert (other.path / "images/mine.jpg").exists()
    assert not (other.path / "images/theirs.jpg").exists()
    gitdata("checkout", "images", cwd=other.path, code=5)
    gitdata("checkout", "--force", "images", cwd=other.path)
    assert (other.path / "images/theirs.jpg").exists()
    assert not (other.path / "images/mine.jpg").exists()


def test_commit_refuses_where_both_changed(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    other = clone(shared, gitdata, tmp_path)
    gitdata("pull", cwd=other.path)
    shared.write("images/theirs.jpg", "t")
    gitdata("commit", "-qm", "theirs")
    gitdata("push")
    other.write("images/mine.jpg", "m")
    gitdata("pull", cwd=other.path, code=5)
    before = other.head()
    assert "changed here and in git: images" in gitdata("commit", "-m", "x", cwd=other.path, code=5).stderr
    assert other.head() == before


def test_ls_and_get_at_any_revision(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    shared.write("images/a.jpg", "newer")
    gitdata("commit", "-qm", "newer")
    shared.git("branch", "gitdata/main", "HEAD~1")
    names = [e["path"] for e in gitdata.json("ls", "-r", "gitdata/main:images")["entries"]]
    assert names == ["images/a.jpg", "images/deep/b.jpg"]
    assert [e["path"] for e in gitdata.json("ls", "images")["entries"]] == ["images/a.jpg", "images/deep"]
    assert "README.md" in gitdata("ls").stdout
    gitdata("get", "gitdata/main:images", "-o", tmp_path / "old")
    assert (tmp_path / "old/a.jpg").read_text() == "a"
    assert gitdata("get", "images/a.jpg", "-o", "-").stdout == "newer"
    assert gitdata("get", "HEAD:README.md", "-o", "-").stdout.startswith("a repository")
    gitdata("get", "gitdata/main:images", "-o", tmp_path / "old", code=5)
    gitdata("get", "HEAD:nothing", code=6)
    gitdata("ls", "nowhere:images", code=6)
    shutil.rmtree(shared.path / ".dvc/cache")
    gitdata("get", "gitdata/main:images/deep", "-o", tmp_path / "fetched")
    assert (tmp_path / "fetched/b.jpg").read_text() == "bb"


def test_get_of_a_whole_revision(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    shared.write("tools/run", "#!/bin/sh\n").chmod(0o755)
    (shared.path / "tools/link").symlink_to("run")
    shared.commit("tools")
    for target, run in (("HEAD:", "one/tools/run"), ("HEAD:tools", "two/run"), ("tools", "three/run")):
        said = gitdata("get", target, "-o", tmp_path / run.partition("/")[0]).stderr
        assert os.access(tmp_path / run, os.X_OK)
        left_out = ".dvc/, tools/link" if target == "HEAD:" else "tools/link"
        assert said.splitlines()[1:] == [f"left out (symlinks, submodules, DVC's own): {left_out}"]
    assert (tmp_path / "one/images/deep/b.jpg").read_text() == "bb"
    assert not os.access(tmp_path / "one/README.md", os.X_OK)


def test_names_are_checked_before_anything_is_fetched(shared: Repo, gitdata: Program, tmp_path: Path) -> None:
    blob = shared.git("hash-object", "-w", "README.md")
    shared.git("update-index", "--add", "--cacheinfo", f"100644,{blob},dvc~1/config")
    shared.git("commit", "-qm", "a bad name", env={"GITDATA_SKIP_HOOKS": "1"})
    shutil.rmtree(shared.path / ".dvc/cache")
    assert "refused path 'dvc~1/config'" in gitdata("get", "HEAD:", "-o", tmp_path / "x", code=4).stderr
    assert not list((shared.path / ".dvc").glob("cache/files/md5/??/*"))


def test_an_output_branch_of_the_remote_needs_no_prefix(shared: Repo, gitdata: Program) -> None:
    shared.git("push", "-q", "origin", "main:gitdata/main")
    shared.git("fetch", "-q", "origin")
    assert gitdata("get", "gitdata/main:images/a.jpg", "-o", "-").stdout == "a"
    assert gitdata("get", "origin/gitdata/main:images/a.jpg", "-o", "-").stdout == "a"


def test_options_of_git_pass_through(data: Repo, gitdata: Program) -> None:
    gitdata("add", "images")
    gitdata("commit", "--quiet", "-m", "--strange message", "--author", "A <a@b.c>")
    assert data.git("log", "-1", "--format=%an %s") == "A --strange message"
    assert "git commit" in gitdata("commit", "--help").stdout


def test_a_file_added_to_a_folder_that_was_emptied_leaves_the_others_in_its_pointer(
    shared: Repo, gitdata: Program, dvc: Program
) -> None:
    before = gitdata("ls", "-r", "HEAD:images").stdout
    shutil.rmtree(shared.path / "images")
    shared.write("images/new.jpg", "new")
    assert "are not here and stay" in gitdata("add", "images/new.jpg").stderr
    shared.commit("one more")
    after = gitdata("ls", "-r", "HEAD:images").stdout
    assert set(before.splitlines()) < set(after.splitlines())
    assert "images/new.jpg" in after
    gitdata("checkout", "images")
    assert "up to date" in dvc("status").stdout
    (shared.path / "images/new.jpg").unlink()  # with the others here it is a deletion
    gitdata("add", "images")
    shared.commit("one less")
    assert gitdata("ls", "-r", "HEAD:images").stdout == before
