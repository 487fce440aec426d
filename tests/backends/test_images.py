"""Folder images: their identity, their code from git, their virtual environment; real git and real uv, no network."""

from __future__ import annotations

import os
import platform
import signal
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest

from gitdata.backends.git import Git
from gitdata.backends.images import folder_environment_id, prepare
from gitdata.backends.processes import Processes
from gitdata.errors import BusyError, InvalidInputError, MachineError, RemoteError
from gitdata.identity import sha256
from helpers.builds import running, slow_package, wait_for
from helpers.machine import Repo

PREPARE = """
import sys; from pathlib import Path; from gitdata.backends.git import Git
from gitdata.backends.images import prepare
prepare(Git(Path(sys.argv[1])), sys.argv[2], 'images/tool', Path(sys.argv[3]))
"""
HELLO = {"hello.py": "def main():\n    print('hello from the package')\n"}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache-home"


def wheel(folder: Path, name: str = "hello", version: str = "1.0") -> Path:
    """A wheel with a module and a command, made by hand."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(f"{name}.py", HELLO["hello.py"])
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{info}/entry_points.txt", f"[console_scripts]\n{name}-command = {name}:main\n")
        file.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels as the only package index, said in pip's words."""
    wheel(tmp_path / "wheels")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    return tmp_path / "wheels"


def image(repo: Repo, **files: str) -> str:
    for name, text in files.items():
        repo.write(f"images/tool/{name}", text)
    return repo.commit("image")


def test_the_identity_is_the_tree_the_requirements_and_the_interpreter(repo: Repo) -> None:
    git = Git(repo.path)
    first = image(repo, **{"main.py": "1\n"})
    tree = repo.git(f"rev-parse {first}:images/tool")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    machine = f"{sys.platform}-{platform.machine()}"
    assert folder_environment_id(git, first, "images/tool") == f"venv:{tree}:-:{version}:{machine}"
    assert folder_environment_id(git, first, "./images/tool/") == f"venv:{tree}:-:{version}:{machine}"
    second = image(repo, **{"requirements.txt": "hello\n"})
    assert f":{sha256(b'hello' + bytes([10]))}:" in folder_environment_id(git, second, "images/tool")
    repo.write("elsewhere", "x")
    assert folder_environment_id(git, repo.commit("other"), "images/tool") == folder_environment_id(
        git, second, "images/tool"
    )


@pytest.mark.parametrize("path", ["images/none", "images/tool/main.py", "../x", "/etc", ".", "a\nb", "-x"])
def test_what_is_no_folder_is_refused(repo: Repo, path: str) -> None:
    commit = image(repo, **{"main.py": "1\n"})
    with pytest.raises(InvalidInputError, match="no such folder"):
        folder_environment_id(Git(repo.path), commit, path)


def test_code_is_the_commits_and_not_the_work_trees(repo: Repo, cache: Path) -> None:
    tool = repo.write("images/tool/run", "#!/bin/sh\n")
    tool.chmod(0o755)
    commit = image(repo, **{"main.py": "1\n", "sub/ä b.txt": "text", ".gitignore": "x\n"})
    repo.write("images/tool/main.py", "changed and not committed\n")
    found = prepare(Git(repo.path), commit, "images/tool", cache)
    assert found.venv is None
    assert found.id == folder_environment_id(Git(repo.path), commit, "images/tool")
    files = {p.relative_to(found.code).as_posix(): p for p in found.code.rglob("*") if p.is_file()}
    assert set(files) == {"main.py", "run", "sub/ä b.txt", ".gitignore"}
    assert files["main.py"].read_text() == "1\n"
    assert files["run"].stat().st_mode & 0o777 == 0o755
    assert files["main.py"].stat().st_mode & 0o777 == 0o644
    assert found.code.parent == cache / "images"
    assert prepare(Git(repo.path), commit, "images/tool", cache) == found
    assert [p.name for p in (cache / "images").iterdir()] == [found.code.name]


def test_symlinks_and_submodules_are_refused_and_leave_nothing(repo: Repo, cache: Path) -> None:
    repo.write("images/tool/main.py", "1\n")
    (repo.path / "images/tool/link").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInputError, match="link is a symlink"):
        prepare(Git(repo.path), repo.commit("link"), "images/tool", cache)
    repo.git("rm", "-q", "images/tool/link")
    repo.git("update-index", "--add", "--cacheinfo", f"160000,{repo.git('rev-parse HEAD')},images/tool/module")
    repo.git("commit", "-q", "-m", "module")
    with pytest.raises(InvalidInputError, match="module is a submodule"):
        prepare(Git(repo.path), repo.git("rev-parse HEAD"), "images/tool", cache)
    assert not list(cache.glob("images/*"))


def test_requirements_are_installed_once_for_all_images_that_have_them(repo: Repo, cache: Path, offline: Path) -> None:
    git = Git(repo.path)
    first = prepare(git, image(repo, **{"requirements.txt": "hello\n"}), "images/tool", cache)
    assert first.venv is not None
    done = subprocess.run([first.venv / "bin/hello-command"], capture_output=True, text=True, check=True)
    assert done.stdout == "hello from the package\n"
    # Compiled already: while stages run the environment cannot be written.
    assert list(first.venv.glob("lib/python*/site-packages/__pycache__/hello.*.pyc"))
    offline.joinpath("hello-1.0-py3-none-any.whl").unlink()
    second = prepare(git, image(repo, **{"main.py": "changed\n"}), "images/tool", cache)
    assert second.code != first.code
    assert second.venv == first.venv


def test_requirements_that_name_files_count_with_their_folder(repo: Repo, cache: Path, offline: Path) -> None:
    git = Git(repo.path)
    files = {"requirements.txt": "-r more.txt\n", "more.txt": "hello\n"}
    first = prepare(git, image(repo, **files), "images/tool", cache)
    second = prepare(git, image(repo, **{"more.txt": "hello==1.0\n"}), "images/tool", cache)
    assert first.venv != second.venv


def test_what_cannot_be_installed(repo: Repo, cache: Path, offline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git = Git(repo.path)
    commit = image(repo, **{"requirements.txt": "hello==9.9\n"})
    with pytest.raises(InvalidInputError, match=r"image images/tool: its requirements.*hello"):
        prepare(git, commit, "images/tool", cache)
    wheel(offline, version="9.9")
    assert prepare(git, commit, "images/tool", cache).venv is not None
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(RemoteError, match="could not be reached") as caught:
        prepare(git, image(repo, **{"requirements.txt": "not-there\n"}), "images/tool", cache)
    assert caught.value.transient


def test_an_environment_that_was_never_finished_is_built_anew(repo: Repo, cache: Path, offline: Path) -> None:
    commit = image(repo, **{"requirements.txt": "hello\n"})
    builder = subprocess.Popen([sys.executable, "-c", PREPARE, str(repo.path), commit, str(cache)])
    deadline = time.monotonic() + 20
    while not list(cache.glob("venvs/*/pyvenv.cfg")):
        assert time.monotonic() < deadline
        time.sleep(0.002)
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    found = prepare(Git(repo.path), commit, "images/tool", cache)
    assert found.venv is not None
    subprocess.run([found.venv / "bin/hello-command"], capture_output=True, check=True)


def test_what_installs_holds_the_lock_when_its_controller_is_killed(repo: Repo, cache: Path, tmp_path: Path) -> None:
    begun, go = tmp_path / "begun", tmp_path / "go"
    commit = image(repo, **slow_package(begun, go))
    builder = subprocess.Popen([sys.executable, "-c", PREPARE, str(repo.path), commit, str(cache)])
    wait_for(lambda: bool(running(begun)))
    builder.send_signal(signal.SIGKILL)
    builder.wait()
    [venv] = cache.glob("venvs/*/pyvenv.cfg")
    before = venv.stat()
    programs = Processes()
    programs.close()
    with pytest.raises(BusyError):  # another one may stop while it waits, and has touched nothing
        prepare(Git(repo.path), commit, "images/tool", cache, programs)
    assert venv.stat() == before
    assert len(running(begun)) == 2
    go.touch()
    assert prepare(Git(repo.path), commit, "images/tool", cache).venv == venv.parent
    assert list(venv.parent.glob("lib/python*/site-packages/slow-1.0.dist-info"))


def test_an_installer_that_is_killed_is_not_the_requirements_fault(repo: Repo, cache: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    commit = image(repo, **slow_package(begun, tmp_path / "never"))

    def kill() -> None:
        wait_for(lambda: bool(running(begun)))
        os.kill(int(begun.read_text().split()[2]), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    with pytest.raises(MachineError, match="uv was killed by signal 9") as caught:
        prepare(Git(repo.path), commit, "images/tool", cache)
    thread.join()
    assert caught.value.transient
    wait_for(lambda: not running(begun))


def test_many_at_once_make_one(repo: Repo, cache: Path, offline: Path) -> None:
    commit = image(repo, **{"requirements.txt": "hello\n", "main.py": "1\n"})
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(prepare(Git(repo.path), commit, "images/tool", cache)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(list((cache / "images").iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_the_machines_fault(repo: Repo, cache: Path) -> None:
    cache.write_text("a file where the cache should be")
    with pytest.raises(MachineError, match="cannot be prepared"):
        prepare(Git(repo.path), image(repo, **{"main.py": "1\n"}), "images/tool", cache)
