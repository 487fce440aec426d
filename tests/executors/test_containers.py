"""Image references on the local executor: the conformance suite in containers, and what is particular to them."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executors.bench import Bench
from executors.conformance import EACH, Conformance
from gitdata.controller.requests import push_request
from gitdata.errors import InvalidInputError, MachineError
from gitdata.executors.base import Executor
from gitdata.executors.local import LocalExecutor
from gitdata.formats.requests import Request
from gitdata.model import Secret
from helpers.containers import IMAGE, Containers, find_containers, registry
from helpers.lab import Lab, faster

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="root: another user can only be had as root")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Containers | str:
    folder = tmp_path_factory.mktemp("containers")
    return find_containers(folder)


@pytest.fixture
def containers(found: Containers | str, home: Path, monkeypatch: pytest.MonkeyPatch) -> Containers:
    if isinstance(found, str):
        pytest.skip(f"image references: {found}")
    for name, value in found.environment.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.fixture
def executor(containers: Containers, bench: Bench) -> Iterator[LocalExecutor]:
    bench.default_image = IMAGE
    made = LocalExecutor(bench.url, cores=2, cache_home=bench.cache_home, container_options=containers.options)
    yield made
    made.close()
    assert list(bench.cache_home.glob("jobs/*")) == []
    assert containers.existing(bench.cache_home) == []


class TestContainerConformance(Conformance):
    """Every promise of the Protocol; what speaks of image folders is said here of images."""

    def test_code_is_the_image_folder_and_the_working_folder(self, executor: Executor, bench: Bench) -> None:
        assert bench.run(executor, bench.stage("pwd; cat /etc/passwd"), {"a": b""}).log().startswith("/\nroot:x:0")
        assert bench.run(executor, bench.stage("pwd", working_dir="/bin"), {"a": b""}).log() == "/bin\n"

    def test_the_log_is_the_end_of_what_was_printed(self, executor: Executor, bench: Bench) -> None:
        # An engine keeps the order within standard output and within standard error, not between them.
        log = bench.run(executor, bench.stage("head -c 3000000 /dev/zero; echo end"), {"a": b""}).log()
        assert len(log) == 1 << 20
        assert log.endswith("\0end\n")

    def test_environment_names_the_image_and_refuses_what_cannot_run(self, executor: Executor, bench: Bench) -> None:
        commit = bench.repo.git("rev-parse", "HEAD")
        first = executor.environment(bench.git, commit, bench.stage("true"))
        assert first == executor.environment(bench.git, commit, bench.stage("false"))
        assert first.id.startswith("oci:sha256:")
        with pytest.raises(InvalidInputError, match="secret"):
            executor.environment(
                bench.git, commit, bench.stage("true", secrets=(Secret("no-such", "key", "VARIABLE"),))
            )
        for image in ("-v/:/x", "dir:/tmp", "../image", "/etc", "a b", "."):
            with pytest.raises(InvalidInputError):
                executor.environment(bench.git, commit, bench.stage("true", image=image))


# ------------------------------------------------------------------------------------------------- what a command gets


@root_only
@pytest.mark.parametrize(("user", "uid", "gid"), [("12345", "12345", "0"), ("user", "4321", "4321"), ("7:8", "7", "8")])
def test_the_user_is_one_of_the_image(executor: LocalExecutor, bench: Bench, user: str, uid: str, gid: str) -> None:
    script = "exec 2>/dev/null; id -u; id -g; cp /pfs/in/a /pfs/out/a; touch /tmp/x; mkdir -m 700 /pfs/out/d"
    script += "; echo x > /pfs/out/d/x"
    done = bench.run(executor, bench.stage(script, user=user), {"a": b"1"})
    assert done.output() == {"a": b"1", "d/x": b"x\n"}, done.log()
    assert done.log().split()[:2] == [uid, gid]


def test_the_images_own_command_and_variables(executor: LocalExecutor, bench: Bench, containers: Containers) -> None:
    image = "localhost/gitdata-own:1"
    containers.make_image(image, "x", 'ENTRYPOINT ["sh", "-c"]', 'CMD ["echo $IT > /pfs/out/said"]', "ENV IT=works")
    assert bench.run(executor, bench.stage(cmd=(), image=image), {"a": b""}).output() == {"said": b"works\n"}
    stage = bench.stage(cmd=("cat", "/content"), image=image, env=(("IT", "-"),))
    assert bench.run(executor, stage, {"a": b""}).log() == "x"


def test_secrets_are_on_no_command_line(bench: Bench, containers: Containers) -> None:
    bench.default_image = IMAGE
    secrets = {"api": {"key": "hush # 'x' \"y\"", "lines": "a\nb"}}
    executor = LocalExecutor(
        bench.url, cache_home=bench.cache_home, secrets=secrets, container_options=containers.options
    )
    stage = bench.stage('echo "$API_KEY ${#API_KEY}"; sleep 2', secrets=(Secret("api", "key", "API_KEY"),))
    plan = bench.plan(executor, stage, {"in": bench.input({"a": b""})})
    job = bench.job(plan)
    executor.start(job, bench.git)
    bench.wait(executor, job.name, until=lambda: bool(containers.existing(bench.cache_home)))
    lines = [p.read_bytes() for p in Path("/proc").glob("[0-9]*/cmdline") if p.exists()]
    bench.wait(executor, job.name)
    executor.close()
    assert any(b"gitdata.worker" in line for line in lines)
    assert not any(b"hush" in line for line in lines)
    (result,) = bench.results(plan)[0]
    assert bench.store.read(f"gitdata/v1/main/logs/{result.log}").decode() == f"*** {len(secrets['api']['key'])}\n"
    with pytest.raises(InvalidInputError, match="more than one line"):
        bench.run(executor, bench.stage("true", secrets=(Secret("api", "lines", "X"),)), {"a": b""})


def test_variables_of_a_spec_do_not_reach_the_engine(executor: LocalExecutor, bench: Bench) -> None:
    env = (("CONTAINERS_STORAGE_CONF", "/nothing"), ("DOCKER_HOST", "tcp://nowhere"), ("LINES", "a\nb=c"))
    done = bench.run(executor, bench.stage('echo "$DOCKER_HOST $LINES"', env=env), {"a": b""})
    assert done.log() == "tcp://nowhere a\nb=c\n"


def test_names_that_cannot_be_mounted_are_copied(executor: LocalExecutor, bench: Bench) -> None:
    big = b"BIG" + bytes(9 << 20)
    files = {'a,readonly=false"\n=x': big, "b": big}
    done = bench.run(executor, bench.stage("head -c 3 /pfs/in/a*; head -c 3 /pfs/in/b", input=EACH), files)
    assert done.status.state == "succeeded"
    both = bench.run(executor, bench.stage('for f in /pfs/in/*; do head -c 3 "$f"; done'), files)
    assert both.log() == "BIGBIG"


# ------------------------------------------------------------------------------------------------------- which image


def test_a_tag_is_resolved_once_and_an_old_digest_is_kept(bench: Bench, containers: Containers, tmp_path: Path) -> None:
    with registry(tmp_path) as host:
        if host is None or not containers.engine.is_podman:
            pytest.skip("image references: a registry needs podman and Debian's docker-registry")
        Path(containers.environment["CONTAINERS_REGISTRIES_CONF"]).write_text(
            f'[[registry]]\nlocation = "{host}"\ninsecure = true\n'
        )
        image, digests = f"{host}/tools/test:latest", []
        for content in ("one", "two"):
            containers.make_image(image, content)
            containers.call("push", "--digestfile", str(tmp_path / "digest"), image)
            digests.append((tmp_path / "digest").read_text())
            containers.call("rmi", "--force", image)
            executor = LocalExecutor(bench.url, cache_home=bench.cache_home, container_options=containers.options)
            bench.default_image = image
            done = bench.run(executor, bench.stage("cat /content"), {"a": b""})
            assert done.plan.environment.id == f"oci:{digests[-1]}"
            assert done.log() == content
            if content == "two":  # what an earlier commit ran, though the tag has moved and nothing of it is here
                stage = bench.stage("cat /content > /pfs/out/said")
                commit = bench.repo.git("rev-parse", "HEAD")
                old = executor.environment(bench.git, commit, stage, f"oci:{digests[0]}")
                assert old.id == f"oci:{digests[0]}"
                assert containers.engine.resolve(f"{host}/tools/test@{digests[0]}") == old.id
                assert executor._engine is not None
                assert executor._engine.bring(image, old.id) != executor._engine.bring(image, f"oci:{digests[1]}")
            executor.close()
        with pytest.raises(InvalidInputError, match="cannot be had"):
            containers.engine.resolve(f"{host}/tools/none:1")
    executor = LocalExecutor(bench.url, cache_home=bench.cache_home)
    with pytest.raises(MachineError, match="could not be reached"):
        executor.environment(bench.git, bench.repo.git("rev-parse", "HEAD"), bench.stage("", image=f"{host}/gone:1"))


def test_a_tag_that_moved_recomputes_nothing(containers: Containers, tmp_path: Path) -> None:
    def push(content: str, *tags: str) -> None:
        for tag in tags:
            containers.make_image(f"{host}/tools/test:{tag}", content)
            containers.call("push", f"{host}/tools/test:{tag}")
            containers.call("rmi", "--force", f"{host}/tools/test:{tag}")

    def settle(tag: str, branch: str = "main") -> tuple[dict[str, str], list[str]]:
        transform = {
            "image": f"{host}/tools/test:{tag}",
            "cmd": ["sh", "-c", 'cat /content > "/pfs/out/$(basename $in)"'],
        }
        lab.stage("say", "", transform=transform)
        lab.push("more", branch)
        said = lab.settle(faster(branches=("*",)))  # each time a new controller
        return lab.files("say", branch), lab.started(said)

    def refreshed(*targets: str) -> list[str]:
        for target in targets:
            push_request(lab.origin, str(lab.origin.path), Request("refresh", target, "main", "me", 1))
        started = lab.started(lab.settle())
        assert lab.origin.refs("refs/gitdata/requests") == {}
        return started

    (tmp_path / "lab").mkdir()
    lab = Lab.create(tmp_path / "lab")
    lab.container_options = containers.options
    with registry(tmp_path) as host:
        if host is None or not containers.engine.is_podman:
            pytest.skip("image references: a registry needs podman and Debian's docker-registry")
        Path(containers.environment["CONTAINERS_REGISTRIES_CONF"]).write_text(
            f'[[registry]]\nlocation = "{host}"\ninsecure = true\n'
        )
        push("one", "v1")
        lab.work.write("in/a", "a")
        assert settle("v1") == ({"a": "one"}, ["say"])
        push("two", "v1", "v2")
        lab.work.write("README", "words")
        assert settle("v1") == ({"a": "one"}, [])
        lab.work.write("in/b", "b")
        assert settle("v1") == ({"a": "one", "b": "one"}, ["say"])
        assert settle("v1", "new") == ({"a": "one", "b": "one"}, []), "as its nearest ancestor with outputs"
        assert refreshed("other") == []
        assert refreshed("say", "other") == ["say"]
        assert lab.files("say") == {"a": "two", "b": "two"}
        push("three", "v1")
        assert refreshed("") == ["say"]
        assert lab.files("say") == {"a": "three", "b": "three"}
        push("two", "v1")
        lab.work.write("stages/say.json", "{")
        lab.push("a slip of the pen")
        lab.settle()
        assert lab.output().error
        assert settle("v1") == ({"a": "three", "b": "three"}, []), "it moved, but nobody asked"
        assert settle("v2") == ({"a": "two", "b": "two"}, ["say"])
        assert settle("v1") == ({"a": "two", "b": "two"}, ["say"])  # the text changed: v1 is asked for once more


def test_without_an_engine_references_are_refused_in_words(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/git").symlink_to(str(shutil.which("git")))
    docker = tmp_path / "bin/docker"
    docker.write_text("#!/bin/sh\necho 'the daemon does not answer' >&2; exit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    executor = LocalExecutor(bench.url, cache_home=bench.cache_home)
    with pytest.raises(MachineError, match="podman is not installed; docker does not work: the daemon does not answer"):
        executor.environment(bench.git, bench.repo.git("rev-parse", "HEAD"), bench.stage("", image="python:3.11"))
    executor.close()


def test_options_that_the_engine_refuses_fail_the_job(bench: Bench, containers: Containers) -> None:
    bench.default_image = IMAGE
    executor = LocalExecutor(bench.url, cache_home=bench.cache_home, container_options=("--no-such-option",))
    status = bench.run(executor, bench.stage("true"), {"a": b""}).status
    executor.close()
    assert (status.state, status.infrastructure) == ("failed", True)
    assert "unknown flag" in status.message
    assert "container_options" in status.message


# ---------------------------------------------------------------------------------------------- nothing is left behind


@pytest.mark.parametrize("victim", ["controller", "everything"])
def test_containers_end_with_the_controller(bench: Bench, containers: Containers, victim: str) -> None:
    bench.default_image = IMAGE
    plan_of = LocalExecutor(bench.url, cache_home=bench.cache_home, container_options=containers.options)
    job = bench.job(bench.plan(plan_of, bench.stage("sleep 600"), {"in": bench.input({"a": b""})}))
    plan_of.close()
    script = (
        "import sys, time, pickle; from pathlib import Path; from gitdata.backends.git import Git;"
        "from gitdata.executors.local import LocalExecutor;"
        "url, home, repo, options, job = pickle.load(sys.stdin.buffer);"
        "e = LocalExecutor(url, cache_home=Path(home), container_options=options); e.start(job, Git(Path(repo)));"
        "time.sleep(600)"
    )
    controller = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE)
    assert controller.stdin is not None
    pickle.dump((bench.url, str(bench.cache_home), str(bench.repo.path), containers.options, job), controller.stdin)
    controller.stdin.close()
    _until(lambda: bool(containers.existing(bench.cache_home, "Up")))
    if victim == "everything":
        for guard in _guards(bench):
            os.kill(guard, signal.SIGKILL)
    controller.kill()
    controller.wait()
    if victim == "everything":  # then the next controller does it
        time.sleep(1)
        assert containers.existing(bench.cache_home)
        LocalExecutor(bench.url, cache_home=bench.cache_home).close()
        assert not containers.existing(bench.cache_home)
    _until(lambda: not containers.existing(bench.cache_home))


def _guards(bench: Bench) -> list[int]:
    """The guards of this test's workers and of nobody else's."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if "gitdata.worker.guard" in words and any(f"={bench.cache_home}/" in word for word in words):
                found.append(int(folder.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def _until(so: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.05)
