"""Folder images built by real builders and pushed to a real registry: names, digests, whose fault a failure is."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cluster.registry import Registry
from gitdata.backends.builders import ImageSettings, LocalBuilder, find_builder, registries
from gitdata.backends.contexts import FolderName, context_id, name_folder
from gitdata.backends.git import Git
from gitdata.backends.registry import image_command, resolve
from gitdata.errors import GitdataError, InvalidInputError, MachineError, RemoteError
from helpers.machine import Repo
from helpers.registries import PASSWORD, USER, base_image, running_registry

TREE = "0123456789012345678901234567890123456789"
SCRATCH = 'FROM scratch\nARG GREETING\nCOPY . /code\nCMD ["/code/hello", "$HOME"]\n'


@pytest.fixture
def settings(image_registry: Registry) -> ImageSettings:
    return ImageSettings(f"{image_registry.host}/team", builder="buildah")


@pytest.fixture(scope="module")
def private_registry() -> Iterator[Registry]:
    with running_registry(private=True, base=False) as registry:
        yield registry


def folder(repo: Repo, dockerfile: str = SCRATCH, name: str = "images/Hello_World") -> str:
    repo.write(f"{name}/Dockerfile", dockerfile)
    repo.write(f"{name}/hello", "#!/bin/sh\necho hello\n").chmod(0o755)
    return repo.commit(name)


def named(repo: Repo, commit: str, settings: ImageSettings, path: str = "images/Hello_World") -> FolderName:
    found = name_folder(Git(repo.path), commit, path, settings)
    assert found is not None
    return found


def build(repo: Repo, commit: str, settings: ImageSettings, **more: object) -> tuple[FolderName, str]:
    name = named(repo, commit, settings)
    builder = LocalBuilder(settings, **more)
    return name, builder.build(Git(repo.path), commit, name.folder, name.reference)


# ------------------------------------------------------------------------------------------------------------- names


def test_the_id_says_what_goes_into_the_image() -> None:
    plain = ImageSettings("registry.example/team")
    assert context_id(TREE, plain) == f"ctx:{TREE}:-:linux/amd64"
    assert context_id(TREE, replace(plain, platform="linux/arm64")) == f"ctx:{TREE}:-:linux/arm64"
    one, other = (context_id(TREE, replace(plain, args={"MODEL": value})) for value in ("a", "b"))
    assert one != other
    # printf '[["MODEL","a"]]' | sha256sum
    assert one == f"ctx:{TREE}:6cd6d6f6f752d96d30f716cc9dde9b9b3469fe6618619dae13224d83be62bbe0:linux/amd64"
    proxies = {"HTTPS_PROXY": "http://me:secret@proxy.example", "no_proxy": "localhost"}
    assert context_id(TREE, replace(plain, args=proxies)) == context_id(TREE, plain)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("stage-images/validate", "validate"),
        ("images/Hello_World/", "hello-world"),
        ("a/..b", "b"),
        ("ünï", "n"),
        ("日本", "image"),
        ("x" * 300, "x" * 100),
    ],
)
def test_any_folder_has_a_valid_name(repo: Repo, path: str, name: str) -> None:
    if len(path) < 255:
        commit = folder(repo, name=path)
        found = named(repo, commit, ImageSettings("registry.example:5000/team/"), path)
        host, _, rest = found.reference.partition("/")
        assert (host, rest.rpartition(":")[0]) == ("registry.example:5000", f"team/{name}")
        assert len(rest.rpartition(":")[2]) == 40


def test_what_is_no_folder_image(repo: Repo) -> None:
    commit = folder(repo)
    git, settings = Git(repo.path), ImageSettings("registry.example/team")
    assert name_folder(git, commit, "registry.example/x:1", settings) is None
    with pytest.raises(InvalidInputError, match="no registry is configured"):
        name_folder(git, commit, "images/Hello_World", ImageSettings())
    with pytest.raises(InvalidInputError, match="nor an image with its registry"):
        name_folder(git, commit, "images/Hello_World", ImageSettings("team"))
    with pytest.raises(InvalidInputError, match="has no Dockerfile") as caught:
        name_folder(git, commit, "images", settings)
    assert "add images/Dockerfile" in caught.value.hint


# ------------------------------------------------------------------------------------------------------------ builds


@pytest.mark.parametrize("program", ["buildah", "podman"])
def test_a_folder_is_built_and_pushed_and_found_by_its_tag(repo: Repo, settings: ImageSettings, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"building images: {program} is not installed")
    commit = folder(repo)
    repo.write("images/Hello_World/hello", "not in that commit\n")
    wanted = replace(settings, registry=f"{settings.registry}/{program}", builder=program, args={"GREETING": "hello"})
    said: list[str] = []
    name, digest = build(repo, commit, wanted, say=said.append)
    found = resolve(name.reference, registries(wanted))
    assert found.digest == digest
    assert image_command(found, registries(wanted)) == ("/code/hello", "$HOME")
    assert "built in" in said[0]
    again, _ = build(repo, repo.commit("elsewhere"), wanted)
    assert again.id != name.id


def test_a_dockerfile_gets_its_arguments_as_they_are_and_no_variable_of_ours(
    repo: Repo, settings: ImageSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "do-not-tell")
    asked = "ARG GREETING\nARG AWS_SECRET_ACCESS_KEY\n"
    asked += "RUN echo given=$GREETING key=$AWS_SECRET_ACCESS_KEY.; sleep 1; exit 3"
    given = replace(settings, args={"GREETING": "hello; exit 0"}, options=("--build-arg", "AWS_SECRET_ACCESS_KEY"))
    with pytest.raises(InvalidInputError):  # an argument without a value is the builder's own variable
        build(repo, folder(repo, f"FROM {base_image()}\n{asked}\n"), given, logs=tmp_path / "logs")
    [log] = (tmp_path / "logs").iterdir()
    assert "given=hello; exit 0 key=.\n" in log.read_text()


def test_options_reach_the_builder(repo: Repo, settings: ImageSettings, tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "authority.crt").write_text("trusted")
    commit = folder(repo, f"FROM {base_image()}\nRUN cat /given/authority.crt && sleep 1 && exit 3\n")
    options = ("--volume", f"{tmp_path}/given:/given:ro", "--isolation", "chroot")
    with pytest.raises(InvalidInputError, match="trusted"):
        build(repo, commit, replace(settings, options=options))


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        (f"FROM {base_image()}\nRUN echo this went wrong >&2 && sleep 1 && exit 3\n", "this went wrong"),
        ("FORM scratch\n", "no FROM statement"),
        ("FROM scratch\nCOPY missing /\n", "/missing"),
        ("FROM docker.io/library/nothing:1\n", "manifest unknown"),
    ],
)
def test_the_folders_fault_is_told_with_the_builders_words(
    repo: Repo, settings: ImageSettings, tmp_path: Path, dockerfile: str, words: str
) -> None:
    said: list[str] = []
    commit = folder(repo, dockerfile)
    with pytest.raises(InvalidInputError, match=words) as caught:
        build(repo, commit, settings, logs=tmp_path / "logs", say=said.append)
    assert "correct its Dockerfile" in caught.value.hint
    [log] = (tmp_path / "logs").iterdir()
    assert str(log) in caught.value.hint
    assert words in log.read_text()
    assert words in "\n".join(said)


def test_a_folder_holds_ordinary_files_only(repo: Repo, settings: ImageSettings) -> None:
    folder(repo)
    (repo.path / "images/Hello_World/link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInputError, match="link is a symlink"):
        build(repo, repo.commit("a link"), settings)


@pytest.mark.parametrize("host", ["127.0.0.1:1", "registry.invalid"])
def test_a_registry_that_cannot_be_reached(repo: Repo, settings: ImageSettings, host: str) -> None:
    with pytest.raises(RemoteError) as caught:
        build(repo, folder(repo), replace(settings, registry=f"{host}/team"))
    assert caught.value.transient


def test_the_network_inside_a_build_is_not_the_folders_fault(repo: Repo, settings: ImageSettings) -> None:
    get = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1/')"
    with pytest.raises(RemoteError, match="Connection refused") as caught:
        build(repo, folder(repo, f'FROM {base_image()}\nRUN python3 -c "{get}"\n'), settings)
    assert caught.value.transient


def test_a_private_registry_wants_a_login(
    repo: Repo, settings: ImageSettings, private_registry: Registry, tmp_path: Path
) -> None:
    commit = folder(repo)
    private = replace(settings, registry=f"{private_registry.host}/team")
    with pytest.raises(RemoteError, match="cannot be pushed") as caught:
        build(repo, commit, private)
    assert not caught.value.transient
    login = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    (tmp_path / "logins.json").write_text(json.dumps({"auths": {private_registry.host: {"auth": login}}}))
    known = replace(private, logins=str(tmp_path / "logins.json"))
    name, digest = build(repo, commit, known)
    found = resolve(name.reference, registries(known))
    assert found.digest == digest
    assert image_command(found, registries(known))
    with pytest.raises(InvalidInputError, match="refuses it"):
        resolve(name.reference, registries(private))


# ------------------------------------------------------------------------------------------------------------- limits


def _sleepers(marker: str) -> list[str]:
    done = subprocess.run(["pgrep", "--full", f"sleep {marker}"], capture_output=True, text=True)
    return done.stdout.split()


def test_a_build_that_takes_too_long_is_ended_with_all_it_began(repo: Repo, settings: ImageSettings) -> None:
    commit = folder(repo, f"FROM {base_image()}\nRUN echo begun && sleep 98761\n")
    with pytest.raises(InvalidInputError, match=r"ended after 10 s \(build_seconds\).*begun"):
        build(repo, commit, replace(settings, build_seconds=10.0))
    deadline = time.monotonic() + 10
    while _sleepers("98761"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_closing_ends_what_is_being_built(repo: Repo, settings: ImageSettings, tmp_path: Path) -> None:
    commit = folder(repo, f"FROM {base_image()}\nRUN sleep 98762\n")
    name = named(repo, commit, settings)
    builder = LocalBuilder(settings)
    errors: list[GitdataError] = []

    def work() -> None:
        try:
            builder.build(Git(repo.path), commit, name.folder, name.reference)
        except GitdataError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    deadline = time.monotonic() + 30
    while not _sleepers("98762"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    builder.close()
    thread.join(30)
    assert not thread.is_alive()
    assert isinstance(errors[0], MachineError)
    assert errors[0].transient
    with pytest.raises(MachineError):
        builder.build(Git(repo.path), commit, name.folder, name.reference)


def test_a_build_that_prints_without_end_fills_neither_memory_nor_disk(
    repo: Repo, settings: ImageSettings, tmp_path: Path
) -> None:
    commit = folder(
        repo, f"FROM {base_image()}\nRUN head -c 60M /dev/zero | tr '\\0' 'x'; echo; echo the end; sleep 1; exit 1\n"
    )
    with pytest.raises(InvalidInputError, match="the end"):
        build(repo, commit, settings, logs=tmp_path / "logs")
    [log] = (tmp_path / "logs").iterdir()
    assert log.stat().st_size == 32 << 20


# ---------------------------------------------------------------------------------------------------------- builders


@pytest.mark.parametrize(
    ("logs", "words"), [("a file/logs", "Not a directory"), ("logs", "No such file")], ids=["logs", "no digest"]
)
def test_a_disk_that_fails_a_push_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, logs: str, words: str
) -> None:
    """Of a builder that says that all is well, and writes no digest."""
    (tmp_path / "a file").touch()
    program = tmp_path / "bin" / "buildah"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")
    builder = LocalBuilder(ImageSettings("registry.example/a", builder="buildah"), logs=tmp_path / logs)
    with pytest.raises(MachineError, match=words):
        builder.push("plot", "registry.example/a/plot:1")


def test_a_machine_without_a_builder_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bin" / "podman"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho no storage here >&2; exit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent))
    with pytest.raises(MachineError) as caught:
        find_builder("auto")
    for words in ("buildah is not installed", "podman does not work: no storage here", "docker is not installed"):
        assert words in caught.value.message
    with pytest.raises(InvalidInputError, match="kaniko"):
        find_builder("kaniko")
    works = tmp_path / "bin" / "docker"
    works.write_text("#!/bin/sh\nexit 0\n")
    works.chmod(0o755)
    assert find_builder("auto") == str(works)
